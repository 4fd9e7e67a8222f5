"""What the studies of a semantic pyramid share (Shocher et al. 2020)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from ganlab.data.decode import Fitting
from ganlab.networks.base import Condition
from ganlab.report.images import save_png
from ganlab.studies.latents.images import Painter
from ganlab.studies.latents.study import LatentStudy, Rows
from ganlab.studies.pyramid.edits import in_colour, is_pyramid, latents_within, samples
from ganlab.studies.pyramid.image_input import fitting_of
from ganlab.studies.reals import data_of
from ganlab.systems.conditioning import conditions_of

PER_ROW = 8  # variants in a row of a figure


class PyramidStudy(LatentStudy):
    """Paints from features of references. Without `truncation` latents are as the prior draws them.

    Classes are called by `class_names`; without it by the classifier's own names, or else the
    data's, where it has as many, or else by number.

    Raises:
        ValueError: a generator that is no pyramid, a truncation of 0 or less, or a file of names
            for another number of classes.
        FileNotFoundError: no such file of names.
    """

    fitting: Fitting  # how files become the generator's images; known once set up
    class_names: Sequence[str]

    def __init__(
        self,
        *,
        truncation: float | None = None,  # latents within this of 0: less diverse, more typical
        class_names: str | Path | None = None,  # text file, a line a class; None = see below
        **options: Any,  # of `LatentStudy`
    ) -> None:
        super().__init__(**options)
        if truncation is not None and truncation <= 0:
            raise ValueError(f"study.truncation={truncation} must be above 0, or null")
        self.threshold, self.names_file = truncation, class_names

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse another generator and read the files, before any work."""
        if not is_pyramid(pl_module):
            raise ValueError(
                f"this study needs a checkpoint of model=semantic_pyramid, and this one is of "
                f"{type(pl_module.generator_ema).__module__}"
            )
        data = data_of(trainer)
        self.fitting = fitting_of(data)
        self.class_names = class_names_of(pl_module, data, self.names_file)
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


def class_names_of(system: Any, data: Any, place: str | Path | None = None) -> list[str]:
    """Names of the classes that the classifier tells apart, in its order.

    Those of a file, a line a class; else the classifier's own; else the data's, where it has as
    many; else numbers.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it has another number of lines.
    """
    number = int(system.generator_ema.num_classes)
    if place is not None:
        return names_in(Path(place).expanduser(), number)
    own = getattr(system.conditioner.extractor, "class_names", ())
    dataset = getattr(data, "dataset", None) if getattr(data, "content_key", None) else None
    for names in (list(own), list(getattr(dataset, "class_names", []))):
        if len(names) == number:
            return [str(name) for name in names]
    return [str(i) for i in range(number)]


def names_in(path: Path, number: int, key: str = "study.class_names") -> list[str]:
    """The lines of a text file that are not empty. Raises as `class_names_of`."""
    if not path.is_file():
        raise FileNotFoundError(f"{key}={path}: no such file; it takes a text file, a line a class")
    text = path.read_text(encoding="utf-8", errors="replace")
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if len(names) != number:
        raise ValueError(f"{key}={path} names {len(names)} classes, the classifier has {number}")
    return names


def mean(values: Tensor) -> float:
    """The mean as a number."""
    return float(torch.as_tensor(values).double().mean())
