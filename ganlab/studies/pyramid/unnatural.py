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

from ganlab.data.image_input import read_images, require_named
from ganlab.metrics.edits import chroma, spread
from ganlab.report.tables import Table
from ganlab.studies.findings import Findings, ImageFile
from ganlab.studies.pyramid.easel import Easel, EditQuestion, mean
from ganlab.studies.pyramid.edits import feature_change, guesses

COLUMNS = [
    *("reference", "class", "same class", "change of features", "spread"),
    *("chroma of reference", "chroma"),
]


@dataclass(frozen=True, kw_only=True)
class Unnatural(EditQuestion):
    """Paints each of `images` in K variants from one level.

    Writes `figures/unnatural.png` (a row a reference) with its numbers, each variant as
    `unnatural/<reference>/<number>.png`, and `table.*`.

    Raises:
        ValueError: no image, no variant, a level that there is not, or what `Easel.at` refuses.
    """

    images: Sequence[str] | str | None = None  # files, or a folder of them
    num_variants: int = 4  # of each: latents 0 .. num_variants-1

    def __post_init__(self) -> None:
        super().__post_init__()
        require_named(self.images, "study.images", "image files, or a folder of them")

    def read(self, easel: Easel) -> dict[str, Tensor]:
        """Name in the table and in files -> reference, (1, C, R, R)."""
        names, references = read_images(require_named(self.images, "study.images"), easel.fitting)
        return dict(zip(names, references.split(1), strict=True))

    def paint(self, easel: Easel, level: str) -> Findings:
        """Paint each and measure."""
        references = self.read(easel)
        images = {
            name: easel.variants(easel.conditioner.condition(each, level), self.num_variants)
            for name, each in references.items()
        }
        rows = [
            [name, *measure(easel, level, each, images[name])] for name, each in references.items()
        ]
        shown = [(name, torch.cat([each, images[name]])) for name, each in references.items()]
        columns = dict(zip(COLUMNS[2:], list(zip(*rows, strict=True))[2:], strict=True))
        text = f"References (left) and {self.num_variants} images of each from {level}"
        notes = self.notes(easel, level)
        return Findings(
            tables={"table": Table.of(COLUMNS, rows, "Unnatural references", notes)},
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


def measure(easel: Easel, level: str, reference: Tensor, images: Tensor) -> list[Any]:
    """What became of one reference, in the order of `COLUMNS`."""
    conditioner = easel.conditioner
    guess = int(guesses(conditioner, reference).argmax())
    return [
        easel.class_names[guess],
        mean((guesses(conditioner, images).argmax(1) == guess).double()),
        mean(feature_change(conditioner, images, conditioner.features(reference), level)),
        spread(images),
        mean(chroma(reference)),
        mean(chroma(images)),
    ]


def files(easel: Easel, images: Mapping[str, Tensor], level: str) -> Iterator[ImageFile]:
    """Each image, in a folder of its reference."""
    for place, (name, batch) in enumerate(images.items()):
        told = {"level": level, "reference": name}
        yield from easel.files(f"unnatural/{place:02d}_{Path(name).name}", batch, told)
