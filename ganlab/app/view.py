"""What a tab shows: a picture, what is said of it, and the command that makes it at full size."""

from dataclasses import dataclass
from math import ceil

from torch import Tensor

from ganlab.report.images import Pixels, cells, png

SHOWN = 256  # pixels: single images are enlarged by whole factors to at least this height


@dataclass(frozen=True, eq=False)
class View:
    """A picture with its facts, which go with it where it is saved."""

    pixels: Pixels  # (H, W, 3)
    facts: str
    command: str = ""  # a line of evaluate.py; empty = there is none

    @property
    def png(self) -> bytes:
        """The file that the page shows and saves; equal views are equal bytes."""
        return png(self.pixels, {"Description": self.facts, "Command": self.command})


def factor_of(height: int, at_least: int = SHOWN) -> int:
    """The least whole factor by which images of this height reach another."""
    return max(1, ceil(at_least / height))


def enlarged(images: Tensor, height: int = SHOWN) -> list[Pixels]:
    """Each of (N, C, H, W) as pixels, repeated by the whole factor that reaches `height`."""
    factor = factor_of(images.shape[-2], height)
    return [each.repeat(factor, 0).repeat(factor, 1) for each in cells(images)]
