"""Spikes of feature maps: where a map peaks, how far above the rest, in how many channels.

Tan, Wen, Yang: "Systematic Analysis and Removal of Circular Artifacts for StyleGAN": a circular
artifact is a small spot whose magnitude stands out of the rest of a layer's maps, in few channels
of early layers and in most channels of late ones (figures 3 and 4, claims 1 and 2).

    found = spikes_of(maps)                              # (N, C, H, W) -> Spikes of N images
    found.prominence, found.position, found.unit         # (N,), (N, 2) as y and x, (N,)
    values = at(maps, found.position)                    # (N, C), figure 4
    elsewhere = pixels(found.place, (128, 128))          # the same spots on maps of another size

A position is (y, x) in pixels, int64; a place is the same spot as shares of height and width, of
the pixel's middle: places of layers of different sizes can be compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

RADIUS = 0.125  # as a share of the side: spots no further apart than this are one spot


@dataclass(frozen=True, eq=False)
class Spikes:
    """The highest peak of each of N images in one layer, in magnitudes of `pool_channels`."""

    position: Tensor  # (N, 2) int64, y and x of the peak
    place: Tensor  # (N, 2) the same as shares of height and width
    peak: Tensor  # (N,) magnitude there
    median: Tensor  # (N,) of the map
    high: Tensor  # (N,) 90% quantile of the map
    unit: Tensor  # (N,) int64, the channel of largest magnitude at the peak

    @property
    def prominence(self) -> Tensor:
        """Peak over median, (N,)."""
        return peak_ratio(self.peak, self.median)

    @property
    def contrast(self) -> Tensor:
        """Peak over the 90% quantile, (N,): high for a peak that is small as well as strong."""
        return peak_ratio(self.peak, self.high)


def peak_ratio(peak: Tensor, level: Tensor) -> Tensor:
    """Peaks per level, finite where a map is 0 all over."""
    return peak / level.clamp(min=torch.finfo(level.dtype).tiny)


def pool_channels(maps: Tensor) -> Tensor:
    """Magnitude over channels, the root mean square: (N, C, H, W) -> (N, H, W) float32."""
    return maps.float().square().mean(1).sqrt()


@torch.no_grad()
def spikes_of(maps: Tensor) -> Spikes:
    """The peak of each image of a layer, (N, C, H, W); nothing of the maps is kept.

    Raises:
        ValueError: maps without space, as those of a fully connected layer.
    """
    if maps.ndim != 4:
        raise ValueError(f"spikes are of maps (N, C, H, W), got {tuple(maps.shape)}")
    magnitude = pool_channels(maps)
    position = peaks_of(magnitude)
    place = places(position, maps.shape[-2:])
    return Spikes(
        position=position,
        place=place,
        peak=magnitude.flatten(1).amax(1),
        median=quantile(magnitude, 0.5),
        high=quantile(magnitude, 0.9),
        unit=strongest_units(maps, position)[:, 0],
    )


def quantile(magnitude: Tensor, share: float) -> Tensor:
    """The value that this share of each map's pixels does not exceed, (N, H, W) -> (N,)."""
    flat = magnitude.flatten(1)  # torch.quantile refuses large tensors
    return flat.kthvalue(max(1, ceil(share * flat.shape[1])), dim=1).values


def peaks_of(maps: Tensor) -> Tensor:
    """Position of the largest value of each map, the first of equals: (..., H, W) -> (..., 2)."""
    index, width = maps.flatten(-2).argmax(-1), maps.shape[-1]
    return torch.stack([index // width, index % width], dim=-1)


def places(position: Tensor, size: Sequence[int]) -> Tensor:
    """Middles of pixels as shares of height and width, (..., 2) int64 -> (..., 2) in (0, 1)."""
    return (position + 0.5) / torch.tensor(list(size), device=position.device)


def pixels(place: Tensor, size: Sequence[int]) -> Tensor:
    """The pixels of maps of this size in which these places lie, (..., 2) -> (..., 2) int64."""
    sides = torch.tensor(list(size), device=place.device)
    return (place * sides).long().clamp(min=torch.zeros_like(sides), max=sides - 1)


def are_near(first: Tensor, second: Tensor, radius: float = RADIUS) -> Tensor:
    """Whether two places are at most `radius` apart, (..., 2), (..., 2) -> (...) bool."""
    return (first - second).square().sum(-1) <= radius**2 + 1e-9


def same_place(
    finer: Tensor,  # (..., 2) places
    coarser: Tensor,  # (..., 2) places
    size: Sequence[int],  # of the coarser map: nothing is known more exactly than its pixels
    radius: float = RADIUS,
) -> Tensor:
    """Whether peaks of two layers are one spot, (...) bool: apart by the radius, or 1.5 pixels."""
    return are_near(finer, coarser, max(radius, 1.5 / min(size)))


def local_peaks(magnitude: Tensor, place: Tensor, radius: float = RADIUS) -> Tensor:
    """Position of the largest value around a place, as far as `same_place` calls one spot.

    (N, H, W), (N, 2) -> (N, 2).
    """
    height, width = magnitude.shape[1:]
    rows = torch.arange(height * width, device=magnitude.device)
    every = places(torch.stack([rows // width, rows % width], dim=-1), (height, width))
    around = same_place(place[:, None], every, (height, width), radius).view_as(magnitude)
    return peaks_of(magnitude.masked_fill(~around, -torch.inf))


def values_at(maps: Tensor, position: Tensor) -> Tensor:
    """Values of all channels at one position an image, (N, C, H, W), (N, 2) -> (N, C)."""
    rows = torch.arange(len(maps), device=maps.device)
    return maps[rows, :, position[:, 0], position[:, 1]]


def strongest_units(maps: Tensor, position: Tensor, num: int = 1) -> Tensor:
    """Channels of largest magnitude at a position, the largest first: (N, num) int64."""
    order = values_at(maps, position).abs().argsort(dim=1, descending=True, stable=True)
    return order[:, :num]


def peaking_share(maps: Tensor, position: Tensor, factor: float = 10.0) -> Tensor:
    """Share of channels over `factor` times their own median magnitude at a position, (N,).

    Tan et al., claims 1 and 2: few in early layers, most in late ones.
    """
    medians = maps.abs().flatten(2).median(-1).values  # (N, C)
    return (values_at(maps, position).abs() > factor * medians).float().mean(1)


@torch.no_grad()
def channel_peaks(maps: Tensor) -> Tensor:
    """Peaks of single channels and what is around them, (N, C, H, W) -> (N, C, 3) float32.

    Of each map its largest value, how far that is above the mean of the rest, and the rest's
    standard deviation. The rest is all but the 3x3 pixels of the peak.
    """
    flat, (height, width) = maps.float().flatten(2), maps.shape[-2:]
    peak, index = flat.max(-1)  # (N, C)
    y, x = index // width, index % width
    around = [
        (y + dy).clamp(0, height - 1) * width + (x + dx).clamp(0, width - 1)
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
    ]
    gone = _within(y, height) * _within(x, width)  # pixels of those 9 that there are
    rest = flat.scatter(-1, torch.stack(around, dim=-1), 0.0)
    num = height * width - gone
    mean = rest.sum(-1) / num
    squares = (rest - mean[..., None]).square().sum(-1) - gone * mean.square()  # the zeros' part
    return torch.stack([peak, peak - mean, (squares / num).clamp(min=0).sqrt()], dim=-1)


def _within(position: Tensor, side: int) -> Tensor:
    """How many of a pixel and its two neighbours lie on a side of this length."""
    return 3 - (position == 0).int() - (position == side - 1).int()


def half_height(magnitude: Tensor) -> Tensor:
    """Pixels at least half as far above the median as the peak, (N, H, W) -> bool."""
    middle = (magnitude.amax((1, 2)) + quantile(magnitude, 0.5)) / 2
    return magnitude >= middle[:, None, None]


def label_regions(masks: Tensor) -> Tensor:
    """Connected regions (8 neighbours) by number, 0 outside: (N, H, W) bool -> int64.

    The number of a region is its last pixel's index + 1.
    """
    height, width = masks.shape[1:]
    numbers = torch.arange(1, height * width + 1, device=masks.device).float()  # exact to 4096 px
    labels = numbers.view(1, height, width) * masks
    while True:
        grown = max_pool2d(labels[:, None], 3, stride=1, padding=1)[:, 0] * masks
        if torch.equal(grown, labels):
            return labels.long()
        labels = grown


@dataclass(frozen=True)
class Spot:
    """One connected region of half the peak's height."""

    size: int  # pixels
    share: float  # of the map
    roundness: float  # shorter over longer axis of its second moments; 1 = a disc or a square


def spots(magnitude: Tensor) -> list[list[Spot]]:
    """The regions of each image, the largest first: (N, H, W) -> N lists.

    Tan et al., "Characteristics of Artifacts": circular, small, rarely split.
    """
    labels = label_regions(half_height(magnitude))
    return [_spots_of(each) for each in labels.cpu()]


def _spots_of(labels: Tensor) -> list[Spot]:
    regions = [(labels == number).nonzero().double() for number in labels.unique() if number]
    found = [Spot(len(each), len(each) / labels.numel(), roundness(each)) for each in regions]
    return sorted(found, key=lambda spot: -spot.size)


def roundness(points: Tensor) -> float:
    """Shorter over longer axis of the pixels' second moments, (n, 2) -> (0, 1].

    A pixel is a square of its own, of variance 1 / 12.
    """
    centred = points - points.mean(0)
    moments = centred.T @ centred / len(points) + torch.eye(2, dtype=points.dtype) / 12
    low, high = torch.linalg.eigvalsh(moments).tolist()
    return float((low / high) ** 0.5)
