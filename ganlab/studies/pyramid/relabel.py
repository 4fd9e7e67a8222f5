"""`study=relabel`: an image's mid-level features under another class.

Shocher et al. 2020, section 4.2 and figure 8: CONV5 features are kept, the label told to the
generator is changed; the original one is the classifier's guess.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganlab.report.drawings import Picture
from ganlab.report.tables import Table
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings, ImageFile
from ganlab.studies.neurons.layers import as_list
from ganlab.studies.pyramid.easel import Easel, checked_options, mean
from ganlab.studies.pyramid.edits import in_colour, label_named, level_named
from ganlab.studies.pyramid.image_input import named, read_image
from ganlab.studies.pyramid.measures import guesses, kept
from ganlab.studies.question import Question

COLUMNS = ["label", "recognized", "p(label)", "p(original)", "change of features"]


@dataclass(frozen=True, kw_only=True)
class Relabel(Question):
    """Paints `image` from one level, under its own class and under others.

    Writes `figures/relabel.png` (a row a class) with its numbers, each image as
    `relabel/<class>/<number>.png`, and `table.*`: how many images the classifier takes for the
    class they were painted as, and how far the level's features moved.

    Raises:
        ValueError: no image, no variant, a class or level that there is not, or what `Easel.at`
            refuses.
    """

    image: str | Path | None = None  # file of the image, any size and mode
    level: str | None = None  # kept: a stage, or `conv5`; None = the coarsest map
    labels: Sequence[str | int] | str | int | None = None  # names or numbers; None = the classes
    # that the classifier takes for next likely
    num_labels: int = 5  # of those
    num_variants: int = 4  # of each class: latents 0 .. num_variants-1
    truncation: float | None = None  # latents within this of 0: less diverse, more typical
    class_names: str | Path | None = None  # text file, a line a class; None = see `Easel.at`

    def __post_init__(self) -> None:
        super().__post_init__()
        checked_options(self.truncation)
        if min(self.num_variants, self.num_labels) < 1:
            raise ValueError(
                f"study.num_variants={self.num_variants} and study.num_labels={self.num_labels} "
                "must be at least 1"
            )
        named(self.image, "study.image")

    def check(self, bench: Bench) -> None:
        """Read the file, and the names."""
        easel = Easel.at(bench, self.truncation, self.class_names)
        read_image(named(self.image, "study.image"), easel.fitting)
        level_named(self.level, easel.stages)
        self.targets(easel)

    def targets(self, easel: Easel) -> list[int]:
        """The classes named, by number."""
        asked = [] if self.labels is None else as_list(self.labels)
        return [label_named(label, easel.class_names) for label in asked]

    def run(self, bench: Bench) -> Findings:
        """Paint under each class and measure; the first rank's work."""
        if not bench.ranks.first:
            return Findings()
        easel = Easel.at(bench, self.truncation, self.class_names)
        names, level = easel.class_names, level_named(self.level, easel.stages)
        image = read_image(named(self.image, "study.image"), easel.fitting)
        chances = guesses(easel.conditioner, image)[0]
        original = int(chances.argmax())
        images = {k: self.painted(easel, image, level, k) for k in self.classes(easel, chances)}
        measured = Measured(easel, easel.conditioner.features(image), level, original)
        rows = [measured.row(k, batch) for k, batch in images.items()]
        guess = f"{names[original]} ({float(chances[original]):.0%} sure)"
        notes = [
            f"{self.image}: the classifier's guess is {guess}; level {level} is kept; "
            f"{self.num_variants} images a class; {easel.stated}",
            "recognized: share that the classifier takes for the label; p: its mean probability; "
            "change of features: distance at the level, over the length of the image's",
        ]
        shown = [(f"image: {guess}", in_colour(image))]
        shown += [(names[k], in_colour(batch)) for k, batch in images.items()]
        numbers: dict[str, Any] = {"label": list(images)}
        numbers |= {name: [row[name] for row in rows] for name in COLUMNS[1:]}
        text = f"Re-labelling with {level} kept: {Path(str(self.image)).name}"
        picture: Picture = easel.picture(shown, numbers, text)
        return Findings(
            tables={"table": Table(COLUMNS, rows, caption="Re-labelling", notes=notes)},
            figures={"relabel": picture},
            images=self.files(easel, images, level),
            latents={"relabel": easel.latents(self.num_variants)},
        )

    def classes(self, easel: Easel, chances: Tensor) -> list[int]:
        """The image's own class, then those named or next likely."""
        original = int(chances.argmax())
        likely = [k for k in chances.argsort(descending=True).tolist() if k != original]
        others = self.targets(easel) or likely[: self.num_labels]
        return [original, *(k for k in others if k != original)]

    def painted(self, easel: Easel, image: Tensor, level: str, label: int) -> Tensor:
        """Variants under one class."""
        told = torch.tensor([label], device=easel.bench.device)
        condition = easel.conditioner.condition(image, level, label=told)
        return easel.variants(condition, self.num_variants)

    def files(self, easel: Easel, images: Mapping[int, Tensor], level: str) -> Iterator[ImageFile]:
        """Each image, in a folder of its class."""
        for k, batch in images.items():
            name = "".join(c if c.isalnum() else "_" for c in easel.class_names[k])
            told = {"level": level, "label": str(k), "image": str(self.image)}
            yield from easel.files(f"relabel/{name}", batch, told)


@dataclass(frozen=True, eq=False)
class Measured:
    """What images are compared with."""

    easel: Easel
    features: Mapping[str, Tensor]  # of the image, by level
    level: str  # that is kept
    original: int  # the image's class

    def row(self, label: int, images: Tensor) -> dict[str, Any]:
        """What the classifier says of the images of one class."""
        chances = guesses(self.easel.conditioner, images)
        values = (
            mean((chances.argmax(1) == label).double()),
            mean(chances[:, label]),
            mean(chances[:, self.original]),
            mean(kept(self.easel.conditioner, images, self.features, self.level)),
        )
        return dict(zip(COLUMNS, (self.easel.class_names[label], *values), strict=True))
