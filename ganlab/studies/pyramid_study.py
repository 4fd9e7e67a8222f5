"""What the studies of a semantic pyramid share (Shocher et al. 2020)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from ganlab.data.decode import Fitting
from ganlab.networks.base import Condition
from ganlab.report.images import save_png
from ganlab.studies.image_input import fitting_of
from ganlab.studies.latent_images import Painter
from ganlab.studies.latent_study import LatentStudy, Rows
from ganlab.studies.pyramid_edits import in_colour, is_pyramid, latents_within, samples
from ganlab.studies.reals import data_of
from ganlab.systems.conditioning import conditions_of

PER_ROW = 8  # variants in a row of a figure


class PyramidStudy(LatentStudy):
    """Paints from features of references. Without `truncation` latents are as the prior draws them.

    Raises:
        ValueError: a generator that is no pyramid, or a truncation of 0 or less.
    """

    fitting: Fitting  # how files become the generator's images; known once set up
    class_names: Sequence[str]

    def __init__(
        self,
        *,
        truncation: float | None = None,  # latents within this of 0: less diverse, more typical
        **options: Any,  # of `LatentStudy`
    ) -> None:
        super().__init__(**options)
        if truncation is not None and truncation <= 0:
            raise ValueError(f"study.truncation={truncation} must be above 0, or null")
        self.threshold = truncation

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse another generator and read the files, before any work."""
        if not is_pyramid(pl_module):
            raise ValueError(
                f"this study needs a checkpoint of model=semantic_pyramid, and this one is of "
                f"{type(pl_module.generator_ema).__module__}"
            )
        data = data_of(trainer)
        self.fitting = fitting_of(data)
        self.class_names = class_names_of(data, int(pl_module.generator_ema.num_classes))
        super().setup(trainer, pl_module, stage)

    def painter_of(self, system: Any) -> Painter:
        """As for every generator; truncation is that of the latents it is given."""
        conditions, device = conditions_of(system), system.device
        return Painter(
            system.generator_ema,
            self.seed,
            condition_at=conditions,
            batch_size=self.batch_size,
            device=device,
        )

    @property
    def stated(self) -> str:
        """Truncation in words."""
        return f"latents of seed {self.seed}" + (
            "" if self.threshold is None else f" within {self.threshold:g} of 0"
        )

    def variants(self, system: Any, condition: Condition, num: int) -> Tensor:
        """Images of the first latents, all told this."""
        return samples(
            system.generator_ema,
            condition,
            range(num),
            self.seed,
            self.threshold,
            self.batch_size,
            system.device,
        )

    def latents(self, system: Any, addresses: Sequence[int]) -> Tensor:
        """These latents, truncated."""
        return latents_within(system.generator_ema, addresses, self.seed, self.threshold)

    def save_variants(self, name: str, images: Tensor, text: Mapping[str, str]) -> None:
        """Each image as `<name>/<number>.png`."""
        for number, image in enumerate(images):
            metadata = {"seed": str(self.seed), "index": str(number), **text}
            save_png(image, self.folder / name / f"{number:03d}.png", metadata)


def rows_of(title: str, images: Tensor) -> Rows:
    """Images as captioned rows of a figure, eight in a row."""
    chunks = in_colour(images).split(PER_ROW)
    return [(title if i == 0 else "", chunk) for i, chunk in enumerate(chunks)]


def class_names_of(data: Any, num_classes: int) -> list[str]:
    """The data's names of the classes; numbers where it has none, or another number of them."""
    dataset = getattr(data, "dataset", None) if getattr(data, "content_key", None) else None
    names = list(getattr(dataset, "class_names", []))
    return names if len(names) == num_classes else [str(i) for i in range(num_classes)]


def mean(values: Tensor) -> float:
    """The mean as a number."""
    return float(torch.as_tensor(values).double().mean())
