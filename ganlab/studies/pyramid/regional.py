"""A region of an image painted anew in variants, and what happened outside and inside of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganlab.report.tables import Table
from ganlab.studies.findings import Findings
from ganlab.studies.pyramid.easel import Easel, mean, rows_of
from ganlab.studies.pyramid.edits import level_named
from ganlab.studies.pyramid.measures import change, guesses, signal_to_noise, spread

COLUMNS = ["image", "change outside", "PSNR outside", "change inside", "class"]


def kept_level(level: str | None, stages: Mapping[str, tuple[int, ...]]) -> str:
    """The stage that the region keeps, by name.

    Raises:
        ValueError: no such level, or the finest, which leaves nothing closer to the image to keep.
    """
    name = level_named(level, stages)
    if name == next(iter(stages)):
        raise ValueError(
            f"study.level={name} is the level closest to the image: no finer one could keep what "
            f"is outside the region; choose one of {', '.join(list(stages)[1:])}"
        )
    return name


@dataclass(frozen=True, eq=False)
class Regional:
    """The variants, with what they are compared with; images (N, C, R, R) on the CPU."""

    easel: Easel
    name: str  # of the figure and of the folder of variants
    level: str
    outside: Tensor  # (1, C, R, R), what is to be kept outside
    inside: Tensor  # (1, C, R, R), what is changed inside; outside it equals the other
    region: Tensor  # (1, 1, R, R), 1 where it was painted anew
    variants: Tensor  # as the network painted them
    paste: bool  # whether pictures have the original's pixels outside

    def rows(self, images: Mapping[str, Tensor]) -> list[dict[str, Any]]:
        """Rows of the table, by their title; several images of one title are numbered."""
        rows = []
        for title, batch in images.items():
            outside = change(batch, self.inside, 1 - self.region)
            chosen = guesses(self.easel.conditioner, batch).argmax(1)
            values = zip(
                outside.tolist(),
                signal_to_noise(outside).tolist(),
                change(batch, self.inside, self.region).tolist(),
                [self.easel.class_names[i] for i in chosen],
                strict=True,
            )
            names = [title] if len(batch) == 1 else [f"{title} {i}" for i in range(len(batch))]
            rows += [
                dict(zip(COLUMNS, (name, *row), strict=True))
                for name, row in zip(names, values, strict=True)
            ]
        return rows

    @property
    def shown(self) -> Tensor:
        """The network's images, or these with the outside put back."""
        if not self.paste:
            return self.variants
        return torch.where(self.region.bool(), self.variants, self.outside)

    def table(self, rows: list[dict[str, Any]], caption: str, notes: Sequence[str]) -> Table:
        """The rows, with the means over variants and how much they differ."""
        painted = [row for row in rows if row["image"].startswith("variant")]
        means = {c: mean(torch.tensor([row[c] for row in painted])) for c in COLUMNS[1:4]}
        rows = [*rows, {"image": "mean of variants", **means}]
        inside, outside = spread(self.variants, self.region), spread(self.variants, 1 - self.region)
        notes = [
            f"level {self.level}, latents 0 to {len(self.variants) - 1}; {self.easel.stated}",
            "change: root mean square difference to the image, as a share of the range from black "
            "to white, of the network's own images",
            f"two variants differ by {inside:.3g} inside the region and by {outside:.3g} outside",
            f"the region is {mean(self.region):.1%} of the image; class: the classifier's guess",
            *notes,
        ]
        if self.paste:
            notes.append("pictures have the original's pixels outside the region")
        return Table(COLUMNS, rows, caption=caption, notes=notes)

    def findings(
        self,
        rows: list[dict[str, Any]],  # of the table
        first: tuple[str, Tensor],  # row of the picture: caption and images
        *,
        caption: str,  # of the table
        text: str,  # of the picture
        notes: Sequence[str],  # besides those of every such table
        told: Mapping[str, str],  # texts of the variants' files
    ) -> Findings:
        """Table, picture, variants and latents."""
        numbers = {
            "region": self.region[0, 0],
            "change_outside": change(self.variants, self.outside, 1 - self.region),
            "change_inside": change(self.variants, self.inside, self.region),
        }
        shown = self.shown
        picture = self.easel.picture([first, *rows_of("variants", shown)], numbers, text)
        return Findings(
            tables={"table": self.table(rows, caption, notes)},
            figures={self.name: picture},
            images=self.easel.files(self.name, shown, {"level": self.level, **told}),
            latents={self.name: self.easel.latents(len(self.variants))},
        )
