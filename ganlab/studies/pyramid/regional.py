"""`study=repaint` and `study=compose`: a region of an image painted anew in variants.

Shocher et al. 2020, section 4.2. To re-paint (figures 4 and 6) the chosen level is told everywhere,
levels closer to the image only outside the region, deeper ones not at all. To compose (figure 7)
the chosen level is that of an object pasted as it is; levels closer to the image are those of the
background, around the object.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from ganlab.data.image_input import read_image, read_mask, require_named
from ganlab.metrics.edits import change, signal_to_noise, spread
from ganlab.networks.base import Condition
from ganlab.report.tables import Table
from ganlab.studies.findings import Findings
from ganlab.studies.pyramid.easel import PER_ROW, Easel, EditQuestion, mean
from ganlab.studies.pyramid.edits import (
    box_region,
    composition,
    guesses,
    mark_region,
    paste_object,
    to_rgb,
)

COLUMNS = ["image", "change outside", "PSNR outside", "change inside", "class"]


@dataclass(frozen=True, kw_only=True)
class RegionQuestion(EditQuestion):
    """A question of what is painted in a region of `image`, and what is kept around it.

    Raises:
        ValueError: no image, or the finest level, which leaves nothing closer to the image to keep.
    """

    figure: ClassVar[str]  # its name, and that of the folder of variants

    image: str | Path | None = None  # file of the image, any size and mode
    paste: bool = False  # put the original's pixels back outside the region

    def __post_init__(self) -> None:
        super().__post_init__()
        require_named(self.image, "study.image")

    def level_of(self, easel: Easel) -> str:
        """The level that the region keeps."""
        name, (finest, *others) = super().level_of(easel), easel.stages
        if name == finest:
            raise ValueError(
                f"study.level={name} is the level closest to the image: no finer one could keep "
                f"what is outside the region; choose one of {', '.join(others)}"
            )
        return name

    def regional(
        self, easel: Easel, level: str, told: Condition, images: tuple[Tensor, Tensor, Tensor]
    ) -> "Regional":
        """The variants told this, beside what is kept outside and changed inside, and where."""
        return Regional(easel, self, level, *images, easel.variants(told, self.num_variants))


@dataclass(frozen=True, eq=False)
class Regional:
    """The variants, with what they are compared with; images (N, C, R, R) on the CPU."""

    easel: Easel
    question: RegionQuestion
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
    def name(self) -> str:
        """Of the figure and of the folder of variants."""
        return self.question.figure

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


@dataclass(frozen=True, kw_only=True)
class Repaint(RegionQuestion):
    """Repaints the white region of `mask` in `image`, in K variants.

    Writes `figures/repaint.png` (image, region, variants) with its numbers, each variant as
    `repaint/<number>.png`, and `table.*` with the change outside and inside the region. The row
    `nothing masked` says how well the network copies the image when all these levels are told
    everywhere: no variant can keep the outside better.

    Raises:
        ValueError: no image or mask, no variant, a finest level, which leaves nothing closer to the
            image to keep, or what `Easel.at` refuses.
    """

    figure: ClassVar[str] = "repaint"

    mask: str | Path | None = None  # file of the region: white is painted anew

    def __post_init__(self) -> None:
        super().__post_init__()
        require_named(self.mask, "study.mask", "an image file, white where to paint anew")

    def read(self, easel: Easel) -> tuple[Tensor, Tensor]:
        """The image, (1, C, R, R), and the region, (1, 1, R, R)."""
        image, mask = (
            require_named(self.image, "study.image"),
            require_named(self.mask, "study.mask"),
        )
        return read_image(image, easel.fitting), read_mask(mask, image, easel.fitting)

    def paint(self, easel: Easel, level: str) -> Findings:
        """The variants, beside a copy of the image."""
        original, region = self.read(easel)
        told = easel.conditioner.condition(original, level, keep=1 - region)
        everything = easel.conditioner.condition(original, level, keep=torch.ones_like(region))
        painted = self.regional(easel, level, told, (original, original, region))
        return painted.findings(
            {"image": original, "nothing masked": easel.variants(everything, 1)},
            ("image, region", torch.cat([to_rgb(original), mark_region(original, region)])),
            caption="Re-painting: what was kept outside the region, and what changed inside",
            text=f"Re-painting from {level}: {Path(str(self.image)).name}",
            notes=[f"image {self.image}, mask {self.mask}"],
        )


@dataclass(frozen=True, kw_only=True)
class Compose(RegionQuestion):
    """Implants the marked part of `object` into `image`, the background, in K variants.

    Writes `figures/compose.png` (background, object, naive paste, variants) with its numbers, each
    variant as `compose/<number>.png`, and `table.*`: the change to the background outside the
    object and to the naive paste inside.

    Raises:
        ValueError: no image or object, not one of mask and box, a place outside, no variant, a
            finest level, or what `Easel.at` refuses.
    """

    figure: ClassVar[str] = "compose"

    object: str | Path | None = None  # file of the image that holds the object
    mask: str | Path | None = None  # file of the object's region in that image, white
    box: Sequence[float] | None = None  # or [top,left,bottom,right], shares of its sides
    at: Sequence[float] | None = None  # centre [y,x] in the background; None = where it is
    scale: float = 1.0  # of the object's size

    def __post_init__(self) -> None:
        super().__post_init__()
        require_named(self.object, "study.object")
        if (self.mask is None) == (self.box is None):
            raise ValueError("the object is given by study.mask=<file> or by study.box=[t,l,b,r]")
        if self.scale <= 0 or (self.at is not None and len(self.at) != 2):
            raise ValueError(
                f"study.scale={self.scale} must be above 0, study.at={self.at} be [y,x] as shares"
            )

    def read(self, easel: Easel) -> "Paste":
        """The files, and the object pasted."""
        fitting, place = easel.fitting, require_named(self.object, "study.object")
        background = read_image(require_named(self.image, "study.image"), fitting)
        source = read_image(place, fitting, "study.object")
        outline = (
            box_region(self.box, fitting.shape[-1])
            if self.box is not None
            else read_mask(str(self.mask), place, fitting, image_key="study.object")
        )
        image, region = paste_object(background, source, outline, self.at, self.scale)
        return Paste(background, source, outline, image, region)

    def paint(self, easel: Easel, level: str) -> Findings:
        """The variants, beside the naive paste."""
        paste = self.read(easel)
        told = composition(easel.conditioner, paste.background, paste.image, paste.region, level)
        images = (paste.background, paste.image, paste.region)
        painted = self.regional(easel, level, told, images)
        names = [Path(str(place)).name for place in (self.object, self.image)]
        return painted.findings(
            {"naive paste": paste.image},
            ("background, object, paste", paste.shown),
            caption="Composition: the background outside the object, and the paste inside",
            text=f"Composition from {level}: {names[0]} in {names[1]}",
            notes=[
                "inside, the change is to the naive paste",
                f"background {self.image}, object of {self.object}",
            ],
        )


@dataclass(frozen=True, eq=False)
class Paste:
    """The naive paste and what it is made of, (1, C, R, R) each."""

    background: Tensor
    source: Tensor  # that holds the object
    outline: Tensor  # (1, 1, R, R), 1 where the object is in it
    image: Tensor  # the object pasted into the background
    region: Tensor  # (1, 1, R, R), 1 where it was pasted

    @property
    def shown(self) -> Tensor:
        """Background, object and paste, (3, 3, R, R)."""
        images = [self.background, mark_region(self.source, self.outline), self.image]
        return torch.cat([to_rgb(each) for each in images])
