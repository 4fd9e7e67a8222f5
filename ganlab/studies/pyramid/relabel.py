"""`study=relabel`: an image's mid-level features under another class.

Shocher et al. 2020, section 4.2 and figure 8: CONV5 features are kept, the label told to the
generator is changed; the original one is the classifier's guess.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganlab.report.tables import Table
from ganlab.studies.neurons.layers import as_list
from ganlab.studies.pyramid.edits import in_colour, label_named, level_named
from ganlab.studies.pyramid.image_input import named, read_image
from ganlab.studies.pyramid.measures import guesses, kept
from ganlab.studies.pyramid.study import PyramidStudy, mean

COLUMNS = ["label", "recognized", "p(label)", "p(original)", "change of features"]


class Relabel(PyramidStudy):
    """Paints `image` from one level, under its own class and under others.

    Writes `figures/relabel.png` (a row a class) with its numbers, each image as
    `relabel/<class>/<number>.png`, and `table.*`: how many images the classifier takes for the
    class they were painted as, and how far the level's features moved.

    Raises:
        ValueError: no image, no variant, or a class or level that there is not.
    """

    def __init__(
        self,
        *,
        image: str | Path | None = None,  # file of the image, any size and mode
        level: str | None = None,  # kept: a stage, or `conv5`; None = the coarsest map
        labels: Sequence[str | int] | str | int | None = None,  # names or numbers; None = the
        # classes that the classifier takes for next likely
        num_labels: int = 5,  # of those
        num_variants: int = 4,  # of each class: latents 0 .. num_variants-1
        **options: Any,  # of `PyramidStudy`
    ) -> None:
        super().__init__(**options)
        if min(num_variants, num_labels) < 1:
            raise ValueError(
                f"study.num_variants={num_variants} and study.num_labels={num_labels} must be at "
                "least 1"
            )
        self.image, self.level, self.labels = named(image, "study.image"), level, labels
        self.num_labels, self.num_variants = num_labels, num_variants

    def check(self, system: Any) -> None:
        """Read the file, and the names."""
        self.original = read_image(self.image, self.fitting)
        self.level = level_named(self.level, system.generator_ema.stages)
        asked = [] if self.labels is None else as_list(self.labels)
        self.targets = [label_named(label, self.class_names) for label in asked]

    def draw(self, system: Any) -> None:
        """Paint under each class, measure and write."""
        features = system.conditioner.features(self.original)
        chances = guesses(system.conditioner, self.original)[0]
        original = int(chances.argmax())
        others = [k for k in chances.argsort(descending=True).tolist() if k != original]
        chosen = [k for k in self.targets or others[: self.num_labels] if k != original]
        images = {k: self.painted(system, k) for k in [original, *chosen]}
        rows = [
            self.row(system, k, original, batch, features, self.class_names[k])
            for k, batch in images.items()
        ]
        guess = f"{self.class_names[original]} ({float(chances[original]):.0%} sure)"
        notes = [
            f"{self.image}: the classifier's guess is {guess}; level {self.level} is kept; "
            f"{self.num_variants} images a class; {self.stated}",
            "recognized: share that the classifier takes for the label; p: its mean probability; "
            "change of features: distance at the level, over the length of the image's",
        ]
        Table(COLUMNS, rows, caption="Re-labelling", notes=notes).write(self.folder)
        self.save(system, images, rows, guess)

    def painted(self, system: Any, label: int) -> Tensor:
        """Variants under one class."""
        told = system.conditioner.condition(
            self.original, self.level, label=torch.tensor([label], device=system.device)
        )
        return self.variants(system, told, self.num_variants)

    def row(
        self, system: Any, label: int, original: int, images: Tensor, features: Any, name: str
    ) -> dict[str, Any]:
        """What the classifier says of the images of one class."""
        assert self.level is not None
        chances = guesses(system.conditioner, images)
        values = (
            mean((chances.argmax(1) == label).double()),
            mean(chances[:, label]),
            mean(chances[:, original]),
            mean(kept(system.conditioner, images, features, self.level)),
        )
        return dict(zip(COLUMNS, (name, *values), strict=True))

    def save(
        self, system: Any, images: dict[int, Tensor], rows: list[dict[str, Any]], guess: str
    ) -> None:
        """Figure, files and latents."""
        shown = [(f"image: {guess}", in_colour(self.original))]
        shown += [(self.class_names[k], in_colour(batch)) for k, batch in images.items()]
        numbers: dict[str, Any] = {"label": list(images)}
        numbers |= {name: [row[name] for row in rows] for name in COLUMNS[1:]}
        text = f"Re-labelling with {self.level} kept: {Path(self.image).name}"
        self.save_rows("relabel", shown, numbers, text)
        for k, batch in images.items():
            name = "".join(c if c.isalnum() else "_" for c in self.class_names[k])
            told = {"level": str(self.level), "label": str(k), "image": str(self.image)}
            self.save_variants(f"relabel/{name}", batch, told)
        self.save_latents("relabel", self.latents(system, range(self.num_variants)))
