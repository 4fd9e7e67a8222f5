"""`study=repaint`: a region of an image painted anew, what is around it kept.

Shocher et al. 2020, section 4.2 and figures 4 and 6: the chosen level is told everywhere, levels
closer to the image only outside the region, deeper ones not at all.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from ganlab.report.tables import Table
from ganlab.studies.pyramid.edits import in_colour, level_named, marked
from ganlab.studies.pyramid.image_input import named, read_image, read_mask
from ganlab.studies.pyramid.measures import change, guesses, signal_to_noise, spread
from ganlab.studies.pyramid.study import PyramidStudy, mean, rows_of

COLUMNS = ["image", "change outside", "PSNR outside", "change inside", "class"]


class Regional(PyramidStudy):
    """A region is painted anew in K variants, and what happened outside and inside is measured.

    Raises:
        ValueError: no variant, or a finest level, which leaves nothing closer to the image to keep.
    """

    name = "regional"  # of the figure and of the folder of variants

    def __init__(
        self,
        *,
        level: str | None = None,  # a stage, or `conv5`; None = the coarsest map
        num_variants: int = 8,  # latents 0 .. num_variants-1
        paste: bool = False,  # put the original's pixels back outside the region
        **options: Any,  # of `PyramidStudy`
    ) -> None:
        super().__init__(**options)
        if num_variants < 1:
            raise ValueError(f"study.num_variants must be at least 1, got {num_variants}")
        self.level, self.num_variants, self.paste = level, num_variants, paste

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse a level that leaves nothing to keep, and read the files."""
        super().setup(trainer, pl_module, stage)
        stages = pl_module.generator_ema.stages
        self.level = level_named(self.level, stages)
        if self.level == next(iter(stages)):
            raise ValueError(
                f"study.level={self.level} is the level closest to the image: no finer one could "
                f"keep what is outside the region; choose one of {', '.join(list(stages)[1:])}"
            )

    def measured(
        self,
        system: Any,
        images: Mapping[str, Tensor],  # row of the table -> (N, C, R, R)
        reference: Tensor,  # what is to be kept outside
        region: Tensor,
    ) -> list[dict[str, Any]]:
        """Rows of the table; several images of one entry are numbered."""
        rows = []
        for title, batch in images.items():
            outside = change(batch, reference, 1 - region)
            values = zip(
                outside.tolist(),
                signal_to_noise(outside).tolist(),
                change(batch, reference, region).tolist(),
                [self.class_names[i] for i in guesses(system.conditioner, batch).argmax(1)],
                strict=True,
            )
            names = [title] if len(batch) == 1 else [f"{title} {i}" for i in range(len(batch))]
            rows += [
                dict(zip(COLUMNS, (name, *row), strict=True))
                for name, row in zip(names, values, strict=True)
            ]
        return rows

    def finished(self, variants: Tensor, reference: Tensor, region: Tensor) -> Tensor:
        """What is shown and written: the network's images, or these with the outside put back."""
        return torch.where(region.bool(), variants, reference) if self.paste else variants

    def write(
        self,
        rows: list[dict[str, Any]],
        variants: Tensor,  # as the network painted them
        region: Tensor,
        notes: list[str],
    ) -> None:
        """The table, with the means over variants and how much they differ."""
        painted = [row for row in rows if row["image"].startswith("variant")]
        means = {c: mean(torch.tensor([row[c] for row in painted])) for c in COLUMNS[1:4]}
        rows = [*rows, {"image": "mean of variants", **means}]
        notes = [
            f"level {self.level}, latents 0 to {len(variants) - 1}; {self.stated}",
            "change: root mean square difference to the image, as a share of the range from black "
            "to white, of the network's own images",
            f"two variants differ by {spread(variants, region):.3g} inside the region and by "
            f"{spread(variants, 1 - region):.3g} outside",
            f"the region is {mean(region):.1%} of the image; class: the classifier's guess",
            *notes,
        ]
        if self.paste:
            notes.append("pictures have the original's pixels outside the region")
        Table(COLUMNS, rows, caption=self.caption, notes=notes).write(self.folder)

    @property
    def caption(self) -> str:
        """Of the table."""
        raise NotImplementedError


class Repaint(Regional):
    """Repaints the white region of `mask` in `image`.

    Writes `figures/repaint.png` (image, region, variants) with its numbers, each variant as
    `repaint/<number>.png`, and `table.*` with the change outside and inside the region. The row
    `nothing masked` says how well the network copies the image when all these levels are told
    everywhere: no variant can keep the outside better.

    Raises:
        ValueError: besides those of `Regional`, no image or mask.
    """

    name = "repaint"
    caption = "Re-painting: what was kept outside the region, and what changed inside"

    def __init__(
        self,
        *,
        image: str | Path | None = None,  # file of the image, any size and mode
        mask: str | Path | None = None,  # file of the region: white is painted anew
        **options: Any,  # of `Regional`
    ) -> None:
        super().__init__(**options)
        self.image = named(image, "study.image")
        self.mask = named(mask, "study.mask", "an image file, white where to paint anew")

    def check(self, system: Any) -> None:
        """Read the files."""
        self.original = read_image(self.image, self.fitting)
        self.region = read_mask(self.mask, self.image, self.fitting)

    def draw(self, system: Any) -> None:
        """Paint, measure and write."""
        conditioner, keep = system.conditioner, 1 - self.region
        told = conditioner.condition(self.original, self.level, keep=keep)
        variants = self.variants(system, told, self.num_variants)
        everything = conditioner.condition(self.original, self.level, keep=torch.ones_like(keep))
        copy = self.variants(system, everything, 1)
        rows = self.measured(
            system,
            {"image": self.original, "nothing masked": copy, "variant": variants},
            self.original,
            self.region,
        )
        self.write(rows, variants, self.region, [f"image {self.image}, mask {self.mask}"])
        shown = self.finished(variants, self.original, self.region)
        first = torch.cat([in_colour(self.original), marked(self.original, self.region)])
        self.save_rows(
            self.name,
            [("image, region", first), *rows_of("variants", shown)],
            {
                "region": self.region[0, 0],
                "change_outside": change(variants, self.original, keep),
                "change_inside": change(variants, self.original, self.region),
            },
            f"Re-painting from {self.level}: {Path(self.image).name}",
        )
        self.save_variants(self.name, shown, {"level": str(self.level), "image": str(self.image)})
        self.save_latents(self.name, self.latents(system, range(self.num_variants)))
