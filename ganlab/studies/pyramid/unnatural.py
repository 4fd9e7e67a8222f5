"""`study=unnatural`: images from references that are none of the data's kind.

Shocher et al. 2020, section 4.2 and figure 5: paintings, line drawings, greyscale images. The
generator paints what it was trained to paint, so a drawing becomes an image.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ganlab.report.tables import Table
from ganlab.studies.pyramid.edits import in_colour, level_named
from ganlab.studies.pyramid.image_input import named, read_images
from ganlab.studies.pyramid.measures import chroma, guesses, kept, spread
from ganlab.studies.pyramid.study import PyramidStudy, mean

COLUMNS = [
    *("reference", "class", "same class", "change of features", "spread"),
    *("chroma of reference", "chroma"),
]


class Unnatural(PyramidStudy):
    """Paints each of `images` in K variants from one level.

    Writes `figures/unnatural.png` (a row a reference) with its numbers, each variant as
    `unnatural/<reference>/<number>.png`, and `table.*`.

    Raises:
        ValueError: no image, no variant, or a level that there is not.
    """

    def __init__(
        self,
        *,
        images: Sequence[str] | str | None = None,  # files, or a folder of them
        level: str | None = None,  # a stage, or `conv5`; None = the coarsest map
        num_variants: int = 4,  # of each: latents 0 .. num_variants-1
        **options: Any,  # of `PyramidStudy`
    ) -> None:
        super().__init__(**options)
        if num_variants < 1:
            raise ValueError(f"study.num_variants must be at least 1, got {num_variants}")
        self.images = named(images, "study.images", "image files, or a folder of them")
        self.level, self.num_variants = level, num_variants

    def check(self, system: Any) -> None:
        """Read the files."""
        self.level = level_named(self.level, system.generator_ema.stages)
        self.names, self.references = read_images(self.images, self.fitting)

    def draw(self, system: Any) -> None:
        """Paint each, measure and write."""
        rows, shown, numbers = [], [], []
        for place, name in enumerate(self.names):
            reference = self.references[place : place + 1]
            told = system.conditioner.condition(reference, self.level)
            images = self.variants(system, told, self.num_variants)
            rows.append(self.row(system, name, reference, images))
            shown.append((name, torch.cat([in_colour(reference), in_colour(images)])))
            numbers.append([rows[-1][column] for column in COLUMNS[2:]])
            metadata = {"level": str(self.level), "reference": name}
            self.save_variants(f"unnatural/{place:02d}_{name}", images, metadata)
        Table(COLUMNS, rows, caption="Unnatural references", notes=self.notes).write(self.folder)
        columns = dict(zip(COLUMNS[2:], zip(*numbers, strict=True), strict=True))
        text = f"References (left) and {self.num_variants} images of each from {self.level}"
        self.save_rows("unnatural", shown, columns, text)
        self.save_latents("unnatural", self.latents(system, range(self.num_variants)))

    def row(self, system: Any, name: str, reference: Tensor, images: Tensor) -> dict[str, Any]:
        """What became of one reference."""
        assert self.level is not None
        guess = int(guesses(system.conditioner, reference).argmax())
        same = (guesses(system.conditioner, images).argmax(1) == guess).double()
        features = system.conditioner.features(reference)
        values = (
            self.class_names[guess],
            mean(same),
            mean(kept(system.conditioner, images, features, self.level)),
            spread(images),
            mean(chroma(reference)),
            mean(chroma(images)),
        )
        return dict(zip(COLUMNS, (name, *values), strict=True))

    @property
    def notes(self) -> list[str]:
        """How to read the table."""
        return [
            f"level {self.level}, {self.num_variants} images of each; {self.stated}",
            "class: the classifier's guess of the reference; same class: share of images guessed "
            "alike; change of features: distance at the level, over the length of the reference's",
            "spread: mean root mean square difference of two images, as a share of the range from "
            "black to white; chroma: mean difference of the largest and smallest colour channel",
        ]
