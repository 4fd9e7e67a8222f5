"""What the studies of a semantic pyramid paint with (Shocher et al. 2020)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ganlab.data.decode import Fitting
from ganlab.networks.base import Condition
from ganlab.report.drawings import Picture
from ganlab.report.images import labelled_grid
from ganlab.sampling import ConditionAt, Sampler
from ganlab.studies.bench import Bench
from ganlab.studies.findings import ImageFile
from ganlab.studies.latents.pictures import Rows
from ganlab.studies.pyramid.edits import in_colour, is_pyramid, latents_within, told_alike
from ganlab.studies.pyramid.image_input import fitting_of

PER_ROW = 8  # variants in a row of a figure


@dataclass(frozen=True, eq=False)
class Easel:
    """A pyramid's averaged generator and conditioner at a bench, latents perhaps truncated."""

    bench: Bench
    threshold: float | None  # latents within this of 0: less diverse, more typical; None = all
    class_names: Sequence[str]  # in the classifier's order

    @classmethod
    def at(
        cls, bench: Bench, threshold: float | None = None, class_names: str | Path | None = None
    ) -> "Easel":
        """The easel of this checkpoint.

        Classes are called by the file of `class_names`; without it by the classifier's own names,
        or else the data's, where it has as many, or else by number.

        Raises:
            ValueError: a generator that is no pyramid, or a file of names for another number of
                classes.
            FileNotFoundError: no such file of names.
        """
        if not is_pyramid(bench.system):
            raise ValueError(
                f"this study needs a checkpoint of model=semantic_pyramid, and this one is of "
                f"{type(bench.generator).__module__}"
            )
        return cls(bench, threshold, class_names_of(bench.system, bench.data, class_names))

    @property
    def conditioner(self) -> Any:
        """The system's: features of references, and what networks are told of them."""
        return self.bench.system.conditioner

    @property
    def stages(self) -> Mapping[str, tuple[int, ...]]:
        """Level -> shape of its features, fine to coarse."""
        generator: Any = self.bench.generator
        stages: Mapping[str, tuple[int, ...]] = generator.stages
        return stages

    @property
    def fitting(self) -> Fitting:
        """How files become the generator's images."""
        return fitting_of(self.bench.data)

    @property
    def stated(self) -> str:
        """Truncation in words."""
        return f"latents of seed {self.bench.seed}" + (
            "" if self.threshold is None else f" within {self.threshold:g} of 0"
        )

    def told(self, condition: Condition | ConditionAt) -> Sampler:
        """The bench's sampler, told this: the condition of one image for all, or by address."""
        at = told_alike(condition) if isinstance(condition, Condition) else condition
        return replace(self.bench.sampler, truncation=self.threshold, condition_at=at)

    def variants(self, condition: Condition, num: int) -> Tensor:
        """Images of the first latents, all told this, on the CPU."""
        return self.told(condition).images(range(num))

    def latents(self, num: int) -> Tensor:
        """The first latents, truncated."""
        return latents_within(self.bench.generator, range(num), self.bench.seed, self.threshold)

    def picture(self, rows: Rows, numbers: Mapping[str, ArrayLike], text: str) -> Picture:
        """A picture of captioned rows; its caption says which latents they are of."""
        numbers = {"seed": self.bench.seed, **numbers}
        return Picture(labelled_grid(rows), numbers, f"{text}; {self.stated}")

    def files(self, name: str, images: Tensor, text: Mapping[str, str]) -> Iterator[ImageFile]:
        """Each image as `<name>/<number>.png`."""
        for number, image in enumerate(images):
            metadata = {"seed": str(self.bench.seed), "index": str(number), **text}
            yield ImageFile(f"{name}/{number:03d}.png", image, metadata)


def checked_options(truncation: float | None, num_variants: int = 1) -> None:
    """Raise ValueError for a truncation of 0 or less, or where there is no variant."""
    if truncation is not None and truncation <= 0:
        raise ValueError(f"study.truncation={truncation} must be above 0, or null")
    if num_variants < 1:
        raise ValueError(f"study.num_variants must be at least 1, got {num_variants}")


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
