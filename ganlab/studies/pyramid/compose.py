"""`study=compose`: an object of one image implanted into another, fitting its surroundings.

Shocher et al. 2020, section 4.2 and figure 7: as re-painting, but the chosen level is that of the
object pasted as it is; levels closer to the image are those of the background, around the object.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.pyramid.easel import Easel, checked_options
from ganlab.studies.pyramid.edits import box_region, composed, in_colour, marked, pasted
from ganlab.studies.pyramid.image_input import named, read_image, read_mask
from ganlab.studies.pyramid.regional import Regional, kept_level
from ganlab.studies.question import Question


@dataclass(frozen=True, kw_only=True)
class Compose(Question):
    """Implants the marked part of `object` into `image`, in K variants.

    Writes `figures/compose.png` (background, object, naive paste, variants) with its numbers, each
    variant as `compose/<number>.png`, and `table.*`: the change to the background outside the
    object and to the naive paste inside.

    Raises:
        ValueError: no image or object, not one of mask and box, a place outside, no variant, a
            finest level, or what `Easel.at` refuses.
    """

    image: str | Path | None = None  # file of the background
    object: str | Path | None = None  # file of the image that holds the object
    mask: str | Path | None = None  # file of the object's region in that image, white
    box: Sequence[float] | None = None  # or [top,left,bottom,right], shares of its sides
    at: Sequence[float] | None = None  # centre [y,x] in the background; None = where it is
    scale: float = 1.0  # of the object's size
    level: str | None = None  # a stage, or `conv5`; None = the coarsest map
    num_variants: int = 8  # latents 0 .. num_variants-1
    paste: bool = False  # put the original's pixels back outside the region
    truncation: float | None = None  # latents within this of 0: less diverse, more typical
    class_names: str | Path | None = None  # text file, a line a class; None = see `Easel.at`

    def __post_init__(self) -> None:
        super().__post_init__()
        checked_options(self.truncation, self.num_variants)
        named(self.image, "study.image")
        named(self.object, "study.object")
        if (self.mask is None) == (self.box is None):
            raise ValueError("the object is given by study.mask=<file> or by study.box=[t,l,b,r]")
        if self.scale <= 0 or (self.at is not None and len(self.at) != 2):
            raise ValueError(
                f"study.scale={self.scale} must be above 0, study.at={self.at} be [y,x] as shares"
            )

    def check(self, bench: Bench) -> None:
        """Read the files, paste, and refuse a level that leaves nothing to keep."""
        easel = Easel.at(bench, self.truncation, self.class_names)
        self.read(easel)
        kept_level(self.level, easel.stages)

    def read(self, easel: Easel) -> "Paste":
        """The files, and the object pasted."""
        fitting, place = easel.fitting, named(self.object, "study.object")
        background = read_image(named(self.image, "study.image"), fitting)
        source = read_image(place, fitting, "study.object")
        outline = (
            box_region(self.box, fitting.resolution)
            if self.box is not None
            else read_mask(str(self.mask), place, fitting, image_key="study.object")
        )
        image, region = pasted(background, source, outline, self.at, self.scale)
        return Paste(background, source, outline, image, region)

    def run(self, bench: Bench) -> Findings:
        """Paint and measure; the first rank's work."""
        if not bench.ranks.first:
            return Findings()
        easel = Easel.at(bench, self.truncation, self.class_names)
        level, paste = kept_level(self.level, easel.stages), self.read(easel)
        told = composed(bench.system, paste.background, paste.image, paste.region, level)
        painted = Regional(
            easel=easel,
            name="compose",
            level=level,
            outside=paste.background,
            inside=paste.image,
            region=paste.region,
            variants=easel.variants(told, self.num_variants),
            paste=self.paste,
        )
        rows = painted.rows({"naive paste": paste.image, "variant": painted.variants})
        names = [Path(str(place)).name for place in (self.object, self.image)]
        return painted.findings(
            rows,
            ("background, object, paste", paste.shown),
            caption="Composition: the background outside the object, and the paste inside",
            text=f"Composition from {level}: {names[0]} in {names[1]}",
            notes=[
                "inside, the change is to the naive paste",
                f"background {self.image}, object of {self.object}",
            ],
            told={"image": str(self.image)},
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
        marked_source = marked(self.source, self.outline)
        return torch.cat([in_colour(self.background), marked_source, in_colour(self.image)])
