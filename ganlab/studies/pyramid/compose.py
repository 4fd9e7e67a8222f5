"""`study=compose`: an object of one image implanted into another, fitting its surroundings.

Shocher et al. 2020, section 4.2 and figure 7: as re-painting, but the chosen level is that of the
object pasted as it is; levels closer to the image are those of the background, around the object.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ganlab.studies.pyramid.edits import box_region, composed, in_colour, marked, pasted
from ganlab.studies.pyramid.image_input import named, read_image, read_mask
from ganlab.studies.pyramid.measures import change
from ganlab.studies.pyramid.repaint import Regional
from ganlab.studies.pyramid.study import rows_of


class Compose(Regional):
    """Implants the marked part of `object` into `image`.

    Writes `figures/compose.png` (background, object, naive paste, variants) with its numbers, each
    variant as `compose/<number>.png`, and `table.*`: the change to the background outside the
    object and to the naive paste inside.

    Raises:
        ValueError: besides those of `Regional`, no image or object, not one of mask and box, or a
            place outside.
    """

    name = "compose"
    caption = "Composition: the background outside the object, and the paste inside"

    def __init__(
        self,
        *,
        image: str | Path | None = None,  # file of the background
        object: str | Path | None = None,  # file of the image that holds the object
        mask: str | Path | None = None,  # file of the object's region in that image, white
        box: Sequence[float] | None = None,  # or [top,left,bottom,right], shares of its sides
        at: Sequence[float] | None = None,  # centre [y,x] in the background; None = where it is
        scale: float = 1.0,  # of the object's size
        **options: Any,  # of `Regional`
    ) -> None:
        super().__init__(**options)
        self.image, self.object = named(image, "study.image"), named(object, "study.object")
        if (mask is None) == (box is None):
            raise ValueError("the object is given by study.mask=<file> or by study.box=[t,l,b,r]")
        if scale <= 0 or (at is not None and len(at) != 2):
            raise ValueError(
                f"study.scale={scale} must be above 0, study.at={at} be [y,x] as shares"
            )
        self.mask, self.box = mask, box
        self.at, self.scale = at, scale

    def check(self, system: Any) -> None:
        """Read the files and paste."""
        self.background = read_image(self.image, self.fitting)
        self.source = read_image(self.object, self.fitting, "study.object")
        self.outline = (
            box_region(self.box, self.fitting.resolution)
            if self.box is not None
            else read_mask(str(self.mask), self.object, self.fitting, image_key="study.object")
        )
        found = pasted(self.background, self.source, self.outline, self.at, self.scale)
        self.paste_image, self.region = found

    def draw(self, system: Any) -> None:
        """Paint, measure and write."""
        assert self.level is not None
        told = composed(system, self.background, self.paste_image, self.region, self.level)
        variants = self.variants(system, told, self.num_variants)
        keep = 1 - self.region
        # outside, both references are the background
        rows = self.measured(
            system,
            {"naive paste": self.paste_image, "variant": variants},
            self.paste_image,
            self.region,
        )
        notes = ["inside, the change is to the naive paste"]
        notes.append(f"background {self.image}, object of {self.object}")
        self.write(rows, variants, self.region, notes)
        shown = self.finished(variants, self.background, self.region)
        first = torch.cat(
            [
                in_colour(self.background),
                marked(self.source, self.outline),
                in_colour(self.paste_image),
            ]
        )
        self.save_rows(
            self.name,
            [("background, object, paste", first), *rows_of("variants", shown)],
            {
                "region": self.region[0, 0],
                "change_outside": change(variants, self.background, keep),
                "change_inside": change(variants, self.paste_image, self.region),
            },
            f"Composition from {self.level}: {Path(self.object).name} in {Path(self.image).name}",
        )
        self.save_variants(self.name, shown, {"level": self.level, "image": str(self.image)})
        self.save_latents(self.name, self.latents(system, range(self.num_variants)))
