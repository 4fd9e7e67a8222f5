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

from ganlab.data.image_input import read_image, require_named
from ganlab.report.tables import Table
from ganlab.studies.classes import class_index
from ganlab.studies.findings import Findings, ImageFile
from ganlab.studies.neurons.layers import as_list
from ganlab.studies.pyramid.easel import Easel, EditQuestion, mean
from ganlab.studies.pyramid.edits import feature_change, guesses
from ganlab.studies.question import at_least

COLUMNS = ["label", "recognized", "p(label)", "p(original)", "change of features"]


@dataclass(frozen=True, kw_only=True)
class Relabel(EditQuestion):
    """Paints `image` from one level, which is kept, under its own class and under others.

    Writes `figures/relabel.png` (a row a class) with its numbers, each image as
    `relabel/<class>/<number>.png`, and `table.*`: how many images the classifier takes for the
    class they were painted as, and how far the level's features moved.

    Raises:
        ValueError: no image, no variant, a class or level that there is not, or what `Easel.at`
            refuses.
    """

    image: str | Path | None = None  # file of the image, any size and mode
    labels: Sequence[str | int] | str | int | None = None  # names or numbers; None = the classes
    # that the classifier takes for next likely
    num_labels: int = 5  # of those
    num_variants: int = 4  # of each class: latents 0 .. num_variants-1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.label is not None:
            raise ValueError(f"study.label={self.label}: study=relabel takes its classes in labels")
        at_least(1, num_labels=self.num_labels)
        require_named(self.image, "study.image")

    @property
    def told(self) -> Sequence[int | str]:
        """None: its rows are told the classes of `labels` one after another."""
        return []

    def read(self, easel: Easel) -> Tensor:
        """The image, (1, C, R, R); refuses classes that there are not."""
        self.targets(easel)
        return read_image(require_named(self.image, "study.image"), easel.fitting)

    def targets(self, easel: Easel) -> list[int]:
        """The classes named, by number."""
        asked = [] if self.labels is None else as_list(self.labels)
        return [class_index(label, easel.class_names) for label in asked]

    def paint(self, easel: Easel, level: str) -> Findings:
        """Paint under each class and measure."""
        names, image = easel.class_names, self.read(easel)
        chances = guesses(easel.conditioner, image)[0]
        original = int(chances.argmax())
        images = {k: self.paint_class(easel, image, level, k) for k in self.classes(easel, chances)}
        features = easel.conditioner.features(image)
        rows = [
            [names[k], *measure(easel, batch, k, original, features, level)]
            for k, batch in images.items()
        ]
        guess = f"{names[original]} ({float(chances[original]):.0%} sure)"
        notes = [
            f"{self.image}: the classifier's guess is {guess}; level {level} is kept; "
            f"{self.num_variants} images a class; {easel.stated}",
            "recognized: share that the classifier takes for the label; p: its mean probability; "
            "change of features: distance at the level, over the length of the image's",
        ]
        shown = [(f"image: {guess}", image), *((names[k], each) for k, each in images.items())]
        columns = list(zip(*rows, strict=True))[1:]
        numbers: dict[str, Any] = {"label": list(images)}
        numbers |= {name: list(each) for name, each in zip(COLUMNS[1:], columns, strict=True)}
        text = f"Re-labelling with {level} kept: {Path(str(self.image)).name}"
        return Findings(
            tables={"table": Table.of(COLUMNS, rows, "Re-labelling", notes)},
            figures={"relabel": easel.picture(shown, numbers, text)},
            images=self.files(easel, images, level),
            latents={"relabel": easel.latents(self.num_variants)},
        )

    def classes(self, easel: Easel, chances: Tensor) -> list[int]:
        """The image's own class, then those named or next likely."""
        original = int(chances.argmax())
        likely = [k for k in chances.argsort(descending=True).tolist() if k != original]
        others = self.targets(easel) or likely[: self.num_labels]
        return [original, *(k for k in others if k != original)]

    def paint_class(self, easel: Easel, image: Tensor, level: str, label: int) -> Tensor:
        """Variants under one class."""
        told = torch.tensor([label], device=easel.bench.device)
        condition = easel.conditioner.condition(image, level, label=told)
        return easel.variants(condition, self.num_variants)

    def files(self, easel: Easel, images: Mapping[int, Tensor], level: str) -> Iterator[ImageFile]:
        """Each image, in a folder of its class."""
        names = [folder_name(easel.class_names[k]) for k in images]
        for (k, batch), name in zip(images.items(), names, strict=True):
            name = f"{name}_{k}" if names.count(name) > 1 else name
            told = {"level": level, "label": str(k), "image": str(self.image)}
            yield from easel.files(f"relabel/{name}", batch, told)


def folder_name(label: str) -> str:
    """A class's name as a folder of the run may be called."""
    return "".join(c if c.isalnum() else "_" for c in label)[:64]


def measure(
    easel: Easel,
    images: Tensor,  # (N, C, R, R), painted as one class
    label: int,  # this one
    original: int,  # the image's own
    features: Mapping[str, Tensor],  # of the image, by level
    level: str,  # that is kept
) -> list[float]:
    """What the classifier says of the images, in the order of `COLUMNS`."""
    chances = guesses(easel.conditioner, images)
    return [
        mean((chances.argmax(1) == label).double()),
        mean(chances[:, label]),
        mean(chances[:, original]),
        mean(feature_change(easel.conditioner, images, features, level)),
    ]
