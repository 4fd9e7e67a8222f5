"""`study=repaint`: a region of an image painted anew, what is around it kept.

Shocher et al. 2020, section 4.2 and figures 4 and 6: the chosen level is told everywhere, levels
closer to the image only outside the region, deeper ones not at all.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.pyramid.easel import Easel, checked_options
from ganlab.studies.pyramid.edits import in_colour, marked
from ganlab.studies.pyramid.image_input import named, read_image, read_mask
from ganlab.studies.pyramid.regional import Regional, kept_level
from ganlab.studies.question import Question


@dataclass(frozen=True, kw_only=True)
class Repaint(Question):
    """Repaints the white region of `mask` in `image`, in K variants.

    Writes `figures/repaint.png` (image, region, variants) with its numbers, each variant as
    `repaint/<number>.png`, and `table.*` with the change outside and inside the region. The row
    `nothing masked` says how well the network copies the image when all these levels are told
    everywhere: no variant can keep the outside better.

    Raises:
        ValueError: no image or mask, no variant, a finest level, which leaves nothing closer to the
            image to keep, or what `Easel.at` refuses.
    """

    image: str | Path | None = None  # file of the image, any size and mode
    mask: str | Path | None = None  # file of the region: white is painted anew
    level: str | None = None  # a stage, or `conv5`; None = the coarsest map
    num_variants: int = 8  # latents 0 .. num_variants-1
    paste: bool = False  # put the original's pixels back outside the region
    truncation: float | None = None  # latents within this of 0: less diverse, more typical
    class_names: str | Path | None = None  # text file, a line a class; None = see `Easel.at`

    def __post_init__(self) -> None:
        super().__post_init__()
        checked_options(self.truncation, self.num_variants)
        named(self.image, "study.image")
        named(self.mask, "study.mask", "an image file, white where to paint anew")

    def check(self, bench: Bench) -> None:
        """Read the files, and refuse a level that leaves nothing to keep."""
        easel = Easel.at(bench, self.truncation, self.class_names)
        self.read(easel)
        kept_level(self.level, easel.stages)

    def read(self, easel: Easel) -> tuple[Tensor, Tensor]:
        """The image, (1, C, R, R), and the region, (1, 1, R, R)."""
        image, mask = named(self.image, "study.image"), named(self.mask, "study.mask")
        return read_image(image, easel.fitting), read_mask(mask, image, easel.fitting)

    def run(self, bench: Bench) -> Findings:
        """Paint and measure; the first rank's work."""
        if not bench.ranks.first:
            return Findings()
        easel = Easel.at(bench, self.truncation, self.class_names)
        level, (original, region) = kept_level(self.level, easel.stages), self.read(easel)
        told = easel.conditioner.condition(original, level, keep=1 - region)
        everywhere = torch.ones_like(region)
        everything = easel.conditioner.condition(original, level, keep=everywhere)
        painted = Regional(
            easel=easel,
            name="repaint",
            level=level,
            outside=original,
            inside=original,
            region=region,
            variants=easel.variants(told, self.num_variants),
            paste=self.paste,
        )
        copy = easel.variants(everything, 1)
        rows = painted.rows(
            {"image": original, "nothing masked": copy, "variant": painted.variants}
        )
        shown = torch.cat([in_colour(original), marked(original, region)])
        return painted.findings(
            rows,
            ("image, region", shown),
            caption="Re-painting: what was kept outside the region, and what changed inside",
            text=f"Re-painting from {level}: {Path(str(self.image)).name}",
            notes=[f"image {self.image}, mask {self.mask}"],
            told={"image": str(self.image)},
        )
