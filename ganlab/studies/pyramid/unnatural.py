"""`study=unnatural`: images from references that are none of the data's kind.

Shocher et al. 2020, section 4.2 and figure 5: paintings, line drawings, greyscale images. The
generator paints what it was trained to paint, so a drawing becomes an image.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganlab.report.tables import Table
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings, ImageFile
from ganlab.studies.pyramid.easel import Easel, checked_options, mean
from ganlab.studies.pyramid.edits import in_colour, level_named
from ganlab.studies.pyramid.image_input import named, read_images
from ganlab.studies.pyramid.measures import chroma, guesses, kept, spread
from ganlab.studies.question import Question

COLUMNS = [
    *("reference", "class", "same class", "change of features", "spread"),
    *("chroma of reference", "chroma"),
]


@dataclass(frozen=True, kw_only=True)
class Unnatural(Question):
    """Paints each of `images` in K variants from one level.

    Writes `figures/unnatural.png` (a row a reference) with its numbers, each variant as
    `unnatural/<reference>/<number>.png`, and `table.*`.

    Raises:
        ValueError: no image, no variant, a level that there is not, or what `Easel.at` refuses.
    """

    images: Sequence[str] | str | None = None  # files, or a folder of them
    level: str | None = None  # a stage, or `conv5`; None = the coarsest map
    num_variants: int = 4  # of each: latents 0 .. num_variants-1
    truncation: float | None = None  # latents within this of 0: less diverse, more typical
    class_names: str | Path | None = None  # text file, a line a class; None = see `Easel.at`

    def __post_init__(self) -> None:
        super().__post_init__()
        checked_options(self.truncation, self.num_variants)
        named(self.images, "study.images", "image files, or a folder of them")

    def check(self, bench: Bench) -> None:
        """Read the files."""
        easel = Easel.at(bench, self.truncation, self.class_names)
        level_named(self.level, easel.stages)
        self.read(easel)

    def read(self, easel: Easel) -> dict[str, Tensor]:
        """Name in the table and in files -> reference, (1, C, R, R)."""
        names, references = read_images(named(self.images, "study.images"), easel.fitting)
        return dict(zip(names, references.split(1), strict=True))

    def run(self, bench: Bench) -> Findings:
        """Paint each and measure; the first rank's work."""
        if not bench.ranks.first:
            return Findings()
        easel = Easel.at(bench, self.truncation, self.class_names)
        level, references = level_named(self.level, easel.stages), self.read(easel)
        images = {
            name: easel.variants(easel.conditioner.condition(each, level), self.num_variants)
            for name, each in references.items()
        }
        rows = [row(easel, name, level, references[name], images[name]) for name in references]
        shown = [
            (name, torch.cat([in_colour(references[name]), in_colour(images[name])]))
            for name in references
        ]
        columns = {column: [each[column] for each in rows] for column in COLUMNS[2:]}
        text = f"References (left) and {self.num_variants} images of each from {level}"
        notes = self.notes(easel, level)
        return Findings(
            tables={"table": Table(COLUMNS, rows, caption="Unnatural references", notes=notes)},
            figures={"unnatural": easel.picture(shown, columns, text)},
            images=files(easel, images, level),
            latents={"unnatural": easel.latents(self.num_variants)},
        )

    def notes(self, easel: Easel, level: str) -> list[str]:
        """How to read the table."""
        return [
            f"level {level}, {self.num_variants} images of each; {easel.stated}",
            "class: the classifier's guess of the reference; same class: share of images guessed "
            "alike; change of features: distance at the level, over the length of the reference's",
            "spread: mean root mean square difference of two images, as a share of the range from "
            "black to white; chroma: mean difference of the largest and smallest colour channel",
        ]


def row(easel: Easel, name: str, level: str, reference: Tensor, images: Tensor) -> dict[str, Any]:
    """What became of one reference."""
    conditioner = easel.conditioner
    guess = int(guesses(conditioner, reference).argmax())
    same = (guesses(conditioner, images).argmax(1) == guess).double()
    values = (
        easel.class_names[guess],
        mean(same),
        mean(kept(conditioner, images, conditioner.features(reference), level)),
        spread(images),
        mean(chroma(reference)),
        mean(chroma(images)),
    )
    return dict(zip(COLUMNS, (name, *values), strict=True))


def files(easel: Easel, images: Mapping[str, Tensor], level: str) -> Iterator[ImageFile]:
    """Each image, in a folder of its reference."""
    for place, (name, batch) in enumerate(images.items()):
        told = {"level": level, "reference": name}
        yield from easel.files(f"unnatural/{place:02d}_{name}", batch, told)
