"""A region of an image painted anew in variants, and what happened outside and inside of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganlab.report.tables import Table
from ganlab.studies.findings import Findings
from ganlab.studies.pyramid.easel import PER_ROW, Easel, EditQuestion, mean
from ganlab.studies.pyramid.image_input import named
from ganlab.studies.pyramid.measures import change, guesses, signal_to_noise, spread

COLUMNS = ["image", "change outside", "PSNR outside", "change inside", "class"]


@dataclass(frozen=True, kw_only=True)
class RegionQuestion(EditQuestion):
    """A question of what is painted in a region of `image`, and what is kept around it.

    Raises:
        ValueError: no image, or the finest level, which leaves nothing closer to the image to keep.
    """

    image: str | Path | None = None  # file of the image, any size and mode
    paste: bool = False  # put the original's pixels back outside the region

    def __post_init__(self) -> None:
        super().__post_init__()
        named(self.image, "study.image")

    def level_of(self, easel: Easel) -> str:
        """The level that the region keeps."""
        name, (finest, *others) = super().level_of(easel), easel.stages
        if name == finest:
            raise ValueError(
                f"study.level={name} is the level closest to the image: no finer one could keep "
                f"what is outside the region; choose one of {', '.join(others)}"
            )
        return name


@dataclass(frozen=True, eq=False)
class Regional:
    """The variants, with what they are compared with; images (N, C, R, R) on the CPU."""

    easel: Easel
    question: RegionQuestion
    name: str  # of the figure and of the folder of variants
    level: str
    outside: Tensor  # (1, C, R, R), what is to be kept outside
    inside: Tensor  # (1, C, R, R), what is changed inside; outside it equals the other
    region: Tensor  # (1, 1, R, R), 1 where it was painted anew
    variants: Tensor  # as the network painted them

    def rows(self, images: Mapping[str, Tensor]) -> list[list[Any]]:
        """Rows of the table, by their title; several images of one title are numbered."""
        rows: list[list[Any]] = []
        for title, batch in images.items():
            outside = change(batch, self.inside, 1 - self.region)
            measured = (outside, signal_to_noise(outside), change(batch, self.inside, self.region))
            chosen = guesses(self.easel.conditioner, batch).argmax(1)
            classes = [self.easel.class_names[i] for i in chosen]
            names = [title] if len(batch) == 1 else [f"{title} {i}" for i in range(len(batch))]
            rows += map(
                list, zip(names, *(each.tolist() for each in measured), classes, strict=True)
            )
        return rows

    @property
    def shown(self) -> Tensor:
        """The network's images, or these with the outside put back."""
        if not self.question.paste:
            return self.variants
        return torch.where(self.region.bool(), self.variants, self.outside)

    def table(self, others: Mapping[str, Tensor], caption: str, notes: Sequence[str]) -> Table:
        """Other images and the variants, with the means of these and how much they differ."""
        painted = self.rows({"variant": self.variants})
        means = [mean(torch.tensor(column)) for column in list(zip(*painted, strict=True))[1:4]]
        rows = [*self.rows(others), *painted, ["mean of variants", *means, None]]
        inside, outside = spread(self.variants, self.region), spread(self.variants, 1 - self.region)
        notes = [
            f"level {self.level}, latents 0 to {len(self.variants) - 1}; {self.easel.stated}",
            "change: root mean square difference to the image, as a share of the range from black "
            "to white, of the network's own images",
            f"two variants differ by {inside:.3g} inside the region and by {outside:.3g} outside",
            f"the region is {mean(self.region):.1%} of the image; class: the classifier's guess",
            *notes,
        ]
        if self.question.paste:
            notes.append("pictures have the original's pixels outside the region")
        return Table.of(COLUMNS, rows, caption, notes)

    def findings(
        self,
        others: Mapping[str, Tensor],  # title -> images of the table's first rows
        first: tuple[str, Tensor],  # row of the picture: caption and images
        *,
        caption: str,  # of the table
        text: str,  # of the picture
        notes: Sequence[str],  # besides those of every such table
    ) -> Findings:
        """Table, picture, variants and latents."""
        numbers = {
            "region": self.region[0, 0],
            "change_outside": change(self.variants, self.outside, 1 - self.region),
            "change_inside": change(self.variants, self.inside, self.region),
        }
        chunks = self.shown.split(PER_ROW)
        rows = [("variants" if i == 0 else "", chunk) for i, chunk in enumerate(chunks)]
        told = {"level": self.level, "image": str(self.question.image)}
        return Findings(
            tables={"table": self.table(others, caption, notes)},
            figures={self.name: self.easel.picture([first, *rows], numbers, text)},
            images=self.easel.files(self.name, self.shown, told),
            latents={self.name: self.easel.latents(len(self.variants))},
        )
