"""`study=repaint`: a region of an image painted anew, what is around it kept.

Shocher et al. 2020, section 4.2 and figures 4 and 6: the chosen level is told everywhere, levels
closer to the image only outside the region, deeper ones not at all.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ganlab.studies.findings import Findings
from ganlab.studies.pyramid.easel import Easel
from ganlab.studies.pyramid.edits import in_colour, marked
from ganlab.studies.pyramid.image_input import named, read_image, read_mask
from ganlab.studies.pyramid.regional import Regional, RegionQuestion


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

    mask: str | Path | None = None  # file of the region: white is painted anew

    def __post_init__(self) -> None:
        super().__post_init__()
        named(self.mask, "study.mask", "an image file, white where to paint anew")

    def read(self, easel: Easel) -> tuple[Tensor, Tensor]:
        """The image, (1, C, R, R), and the region, (1, 1, R, R)."""
        image, mask = named(self.image, "study.image"), named(self.mask, "study.mask")
        return read_image(image, easel.fitting), read_mask(mask, image, easel.fitting)

    def paint(self, easel: Easel, level: str) -> Findings:
        """The variants, beside a copy of the image."""
        original, region = self.read(easel)
        told = easel.conditioner.condition(original, level, keep=1 - region)
        everything = easel.conditioner.condition(original, level, keep=torch.ones_like(region))
        painted = Regional(
            easel=easel,
            question=self,
            name="repaint",
            level=level,
            outside=original,
            inside=original,
            region=region,
            variants=easel.variants(told, self.num_variants),
        )
        return painted.findings(
            {"image": original, "nothing masked": easel.variants(everything, 1)},
            ("image, region", torch.cat([in_colour(original), marked(original, region)])),
            caption="Re-painting: what was kept outside the region, and what changed inside",
            text=f"Re-painting from {level}: {Path(str(self.image)).name}",
            notes=[f"image {self.image}, mask {self.mask}"],
        )
