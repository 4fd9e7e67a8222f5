"""A region that was painted on an image, and the units of a layer that are active there.

dabs = [Dab(0.3, 0.6, 0.1)]
units = painted_units(Sampler(generator), 17, "8x8/0", dabs)      # the most theirs first
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ganlab.metrics.units import activity_within, unit_rates
from ganlab.nn.tracing import recorded
from ganlab.sampling import Sampler


class Dab(NamedTuple):
    """One touch of a brush, in shares of height and width."""

    y: float
    x: float
    radius: float  # as a share of the height


@dataclass(frozen=True, eq=False)
class Strokes:
    """What a free brush covered, in any number of pixels of the image's shape."""

    mask: Tensor  # (h, w) bool, somewhere True

    @property
    def y(self) -> float:
        """Of the middle of what is covered, in shares of the height."""
        return self._middle(0)

    @property
    def x(self) -> float:
        """The same of the width."""
        return self._middle(1)

    def _middle(self, axis: int) -> float:
        places = self.mask.nonzero()[:, axis].double()
        return float(places.mean() + 0.5) / self.mask.shape[axis]

    def region(self, size: tuple[int, int]) -> Tensor:
        """Pixels of an image of this size, (H, W) bool: half covered, and the most covered one."""
        covered = F.interpolate(self.mask[None, None].float(), size, mode="area")[0, 0]
        return (covered >= 0.5) | (covered == covered.max())


Mark = Dab | Strokes


@dataclass(frozen=True)
class PaintedUnit:
    """A channel of a layer, as it is active in a region of one image."""

    number: int
    share: float  # of its magnitude that lies there
    magnitude: float  # its mean |a| there
    rate: float | None = None  # mean activation rate; None = not counted

    @property
    def label(self) -> str:
        """`17: 62% there, rate 0.31`."""
        rate = "" if self.rate is None else f", rate {self.rate:.2f}"
        return f"{self.number}: {self.share:.0%} there{rate}"


def checked_marks(marks: Sequence[Mark]) -> list[Mark]:
    """The marks themselves.

    Raises:
        ValueError: none, or a dab outside of the image.
    """
    if not marks:
        raise ValueError("nothing is painted: click on the image, or add a dab at y and x")
    dabs = [each for each in marks if isinstance(each, Dab)]
    if not all(0 <= dab.y <= 1 and 0 <= dab.x <= 1 and dab.radius > 0 for dab in dabs):
        raise ValueError("a dab lies outside of the image: y and x go from 0 to 1")
    return list(marks)


def painted_region(marks: Sequence[Mark], size: tuple[int, int]) -> Tensor:
    """The pixels that are covered, (H, W) float, 1 inside; the nearest pixel of a dab always is."""
    height, width = size
    y = (torch.arange(height) + 0.5)[:, None] / height
    x = (torch.arange(width) + 0.5)[None] / width
    region = torch.zeros(size)
    for mark in marks:
        if isinstance(mark, Strokes):
            region[mark.region(size)] = 1
            continue
        distance = (y - mark.y).square() + ((x - mark.x) * width / height).square()
        region[(distance <= mark.radius**2) | (distance == distance.min())] = 1
    return region


def painted_units(
    sampler: Sampler,
    index: int,  # address of the image
    layer: str,  # whose output is (N, C, H, W)
    marks: Sequence[Mark],
    rates: Tensor | None = None,  # (C, H, W) of the layer's neurons, shown beside; None = without
) -> list[PaintedUnit]:
    """All units by share times magnitude in the region: active there, and mostly there.

    Raises:
        ValueError: nothing is painted.
    """
    region = painted_region(checked_marks(marks), sampler.generator.image_size)
    with recorded(sampler.generator.layers, [layer]) as outputs:
        sampler.batch([index])
    share, magnitude = activity_within(outputs[layer][0], region)
    beside = [None] * len(share) if rates is None else unit_rates(rates).tolist()
    order = (share * magnitude).argsort(descending=True, stable=True).tolist()
    return [PaintedUnit(n, float(share[n]), float(magnitude[n]), beside[n]) for n in order]
