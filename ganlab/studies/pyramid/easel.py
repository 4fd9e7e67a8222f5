"""What the studies of a semantic pyramid paint with (Shocher et al. 2020)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ganlab.checks.places import file_named
from ganlab.data.decode import Fitting
from ganlab.data.image_input import fitting_of
from ganlab.data.positions import Images, names_of_classes
from ganlab.networks.base import Condition
from ganlab.report.drawings import Picture
from ganlab.report.images import labelled_grid
from ganlab.sampling import ConditionAt, Sampler
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings, ImageFile
from ganlab.studies.latents.pictures import Rows
from ganlab.studies.pyramid.edits import (
    find_level,
    latents_within,
    pyramid_features,
    stages_of,
    to_rgb,
    told_alike,
)
from ganlab.studies.question import Question, at_least
from ganlab.systems.semantic import PyramidFeatures

PER_ROW = 8  # variants in a row of a figure


@dataclass(frozen=True, eq=False)
class Easel:
    """A pyramid's averaged generator and conditioner at a bench, latents perhaps truncated."""

    bench: Bench
    conditioner: PyramidFeatures  # features of references, and what networks are told of them
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
        conditioner = pyramid_features(bench.system)
        if conditioner is None:
            raise ValueError(
                f"this study needs a checkpoint of model=semantic_pyramid, and this one is of "
                f"{type(bench.generator).__module__}"
            )
        names = class_names_of(conditioner, bench.data, class_names)
        return cls(bench, conditioner, threshold, names)

    @property
    def stages(self) -> Mapping[str, tuple[int, ...]]:
        """Level -> shape of its features, fine to coarse."""
        return stages_of(self.bench.generator)

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
        """A picture of captioned rows, in colour; its caption says which latents they are of."""
        coloured = [(caption, to_rgb(images)) for caption, images in rows]
        numbers = {"seed": self.bench.seed, **numbers}
        return Picture(labelled_grid(coloured), numbers, f"{text}; {self.stated}")

    def files(self, name: str, images: Tensor, text: Mapping[str, str]) -> Iterator[ImageFile]:
        """Each image as `<name>/<number>.png`."""
        for number, image in enumerate(images):
            metadata = {"seed": str(self.bench.seed), "index": str(number), **text}
            yield ImageFile(f"{name}/{number:03d}.png", image, metadata)


@dataclass(frozen=True, kw_only=True)
class PyramidQuestion(Question):
    """A question that a semantic pyramid answers.

    Raises:
        ValueError: a truncation of 0 or less.
    """

    truncation: float | None = None  # latents within this of 0: less diverse, more typical
    class_names: str | Path | None = None  # text file, a line a class; None = see `Easel.at`

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.truncation is not None and self.truncation <= 0:
            raise ValueError(f"study.truncation={self.truncation} must be above 0, or null")

    def easel(self, bench: Bench) -> Easel:
        """What is painted with. Raises as `Easel.at`."""
        return Easel.at(bench, self.truncation, self.class_names)


@dataclass(frozen=True, kw_only=True)
class EditQuestion(PyramidQuestion):
    """A question of what becomes of given images, painted anew in variants from one level.

    Raises:
        ValueError: no variant.
    """

    level: str | None = None  # a stage, or `conv5`; None = the coarsest map
    num_variants: int = 8  # of each image: latents 0 .. num_variants-1

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, num_variants=self.num_variants)

    def check(self, bench: Bench) -> None:
        """Read the files, and refuse a level that there is not."""
        easel = self.easel(bench)
        self.read(easel)
        self.level_of(easel)

    def read(self, easel: Easel) -> object:
        """The files that are named. Raises ValueError or OSError where they cannot be."""
        raise NotImplementedError

    def level_of(self, easel: Easel) -> str:
        """The level's own name."""
        return find_level(self.level, easel.stages)

    def run(self, bench: Bench) -> Findings:
        """Paint and measure; the first rank's work."""
        if not bench.ranks.first:
            return Findings()
        easel = self.easel(bench)
        return self.paint(easel, self.level_of(easel))

    def paint(self, easel: Easel, level: str) -> Findings:
        """Paint from this level, and measure."""
        raise NotImplementedError


def class_names_of(
    conditioner: PyramidFeatures, data: Images, place: str | Path | None = None
) -> list[str]:
    """Names of the classes that the classifier tells apart, in its order; see `Easel.at`."""
    number = int(conditioner.num_classes)
    if place is not None:
        return names_in(place, number)
    own = conditioner.extractor.class_names
    for names in (own, names_of_classes(data)):
        if len(names) == number:
            return [str(name) for name in names]
    return [str(i) for i in range(number)]


def names_in(place: str | Path, number: int, key: str = "study.class_names") -> list[str]:
    """The lines of a text file that are not empty. Raises as `Easel.at`."""
    path = file_named(place, key, "it takes a text file, a line a class")
    text = path.read_text(encoding="utf-8", errors="replace")
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if len(names) != number:
        raise ValueError(f"{key}={path} names {len(names)} classes, the classifier has {number}")
    return names


def mean(values: Tensor) -> float:
    """The mean as a number."""
    return float(torch.as_tensor(values).double().mean())
