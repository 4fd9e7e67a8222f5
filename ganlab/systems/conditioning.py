"""What conditional networks are told: from a batch, the batch to train on and its conditions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ganlab.data import ImageData
from ganlab.data.batch import Batch
from ganlab.networks.base import Condition, Generator
from ganlab.nn.pyramid import reduce
from ganlab.systems.randomness import StepRandomness

SHOWN = 10  # classes in a message
ConditionsAt = Callable[[Sequence[int]], Condition]  # addresses of latents -> what they are told


class Conditioned(Protocol):
    """What a conditioner may ask of the system it serves."""

    @property
    def generator(self) -> Generator:
        """What is told."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it is told."""
        ...

    @property
    def data(self) -> ImageData | None:
        """The images at hand."""
        ...

    @property
    def randomness(self) -> StepRandomness:
        """All draws of the current step."""
        ...


class Conditioner:
    """What the networks are told of a batch; this one tells them nothing.

    A subclass may keep fewer images than it is given, and defines `at` to serve conditions at
    evaluation and `stages` where a penalty on images needs the features of a frozen network.
    """

    num_labels: int = 0  # classes it tells by the address alone; 0 = it tells other things
    class_names: Sequence[str] = ()  # of the classes it tells, in order, where it knows them
    at: ConditionsAt | None = None
    stages: Callable[[Tensor], Mapping[str, Tensor]] | None = None  # images -> stage -> features
    references: Callable[[Sequence[int]], Tensor] | None = None  # addresses -> the images told of

    def __call__(self, batch: Batch) -> tuple[Batch, Condition | None]:
        """The batch to train on, and what is told of it."""
        return batch, None

    def preflight(self) -> None:
        """Raise now, not in mid-run, when something that is needed is not to be had."""

    def attach(self, system: Conditioned) -> None:
        """Serve this system, before it trains or is studied."""

    def check(self, data: ImageData | None) -> None:
        """Raise ValueError, before training, where these images are not what it tells of."""


class CoarseReals(Conditioner):
    """Tells each image's next coarser version, so that every level of a pyramid repaints reals.

    Denton et al. (arXiv:1506.05751), section 2.3: level k is trained on the low-pass version of a
    real image. At evaluation a generator that gets no condition paints on its own coarser image.

    Raises:
        ValueError: a size below 1.
    """

    def __init__(
        self,
        size: int | None = None,  # pixels of the coarser version; None = half
    ) -> None:
        if size is not None and size < 1:
            raise ValueError(f"model.conditioner.size must be at least 1, got {size}")
        self.size = size

    def __call__(self, batch: Batch) -> tuple[Batch, Condition]:
        """The batch as it is, and d(I) of its images."""
        size = batch.image.shape[-1] // 2 if self.size is None else self.size
        return batch, Condition(coarse=reduce(batch.image, size))


class Labels(Conditioner):
    """Tells each image's class, to generator and discriminator alike.

    At evaluation latent i is told class i mod `num_labels`, so every class has its share.

    Raises:
        ValueError: on construction, fewer than two classes; in training, images without labels.
    """

    def __init__(
        self,
        num_labels: int,  # classes in the data
        label_names: Sequence[str] = (),  # in order; none = as the data has them
    ) -> None:
        if num_labels < 2:
            raise ValueError(f"model.conditioner.num_labels must be at least 2, got {num_labels}")
        self.num_labels, self.class_names = num_labels, tuple(label_names)

    def __call__(self, batch: Batch) -> tuple[Batch, Condition]:
        """The batch as it is, and its labels."""
        if batch.label is None:
            raise ValueError(
                "model.conditioner tells labels and these images have none: choose labelled data, "
                "or leave out model/conditioner=labels"
            )
        return batch, Condition(label=batch.label)

    def check(self, data: ImageData | None) -> None:
        """Refuse images of another number of classes, or of none.

        Raises:
            ValueError: names the key, and the classes there are.
        """
        if data is None or data.num_classes == self.num_labels:
            return
        names = data.dataset.class_names
        shown = ", ".join([*names[:SHOWN], *(["..."] if len(names) > SHOWN else [])])
        there = f"{len(names)} classes ({shown})" if names else "no labels"
        raise ValueError(
            f"model.conditioner.num_labels={self.num_labels}, and the images of data={data.name} "
            f"have {there}: num_labels=auto takes what they have, model.conditioner=null none"
        )

    def at(self, indices: Sequence[int]) -> Condition:
        """What latents of these addresses are told, on the CPU."""
        return Condition(label=torch.tensor(list(indices)) % self.num_labels)
