"""Channels that stand out alone: a spike in one of hundreds is no peak of their magnitude.

Tan, Wen, Yang: "Systematic Analysis and Removal of Circular Artifacts for StyleGAN", claim 1: in
early layers the artifact is in few channels. A channel's peak is compared with the same channel's
peaks in other images, after the activation and before any norm. What is compared is its clearance:
how far the peak is above the rest of its own map, in deviations of that rest. A norm leaves it as
it is, and it has no upper limit, as the height after IN has (eq. 2).

    usual = usual_peaks(sampler, 1000)                        # layer -> what channels reach
    found = standing_out(maps, usual.layers["8x8/1"])         # (N, C, H, W) -> ratio, unit, y, x
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import ceil

import torch
from torch import Tensor

from ganlab.metrics.spikes import channel_peaks, peaks_of
from ganlab.nn.randomness import derived_seed
from ganlab.nn.tracing import observed
from ganlab.sampling import Sampler
from ganlab.studies.ranks import Ranks

NUM = 1000  # images that a channel is compared with
LEVEL = 2.2  # as measured (`benchmarks/circles.py`): times a channel's largest clearance in those
LEAST = 0.01  # a channel active in a smaller share of them is set apart: it is rare, no artifact
FEWEST = 10  # and so is one active in fewer of them: they say too little
HIGH = 0.75  # a peak that does not exceed so many of the channel's peaks is none to look at
CAP = 200.0  # no clearance counts as more: around a lone unit of a ReLU there is nothing
SMALLEST = 8  # px: on 4x4 maps a peak and what is around it are half of all


@dataclass(frozen=True, eq=False)
class Reach:
    """What the channels of a layer reach in images of which nothing is known, (C,) each."""

    high: Tensor  # the peak that `HIGH` of the images do not exceed; inf = set apart
    clearance: Tensor  # the largest

    @classmethod
    def of(cls, peaks: Tensor) -> "Reach":
        """From `channel_peaks` of N images, (N, C, 3).

        A rectified unit is active where it is above 0 (Choi et al., eq. 1).
        """
        top = peaks[..., 0]
        enough = (top > 0).sum(0) >= max(FEWEST, LEAST * len(top))
        high = top.kthvalue(ceil(HIGH * len(top)), dim=0).values.clamp(min=0)
        return cls(high.masked_fill(~enough, torch.inf), clearances(peaks).amax(0))

    def to(self, device: torch.device) -> "Reach":
        """The same, there."""
        return Reach(self.high.to(device), self.clearance.to(device))


@dataclass(frozen=True, eq=False)
class Usual:
    """What channels reach, layer by layer."""

    layers: Mapping[str, Reach]
    num_images: int

    def to(self, device: torch.device) -> "Usual":
        """The same, there."""
        return replace(self, layers={name: each.to(device) for name, each in self.layers.items()})


def clearances(peaks: Tensor) -> Tensor:
    """Height of each peak in deviations of its map's rest, (N, C, 3) -> (N, C)."""
    height, spread = peaks[..., 1], peaks[..., 2]
    return height / torch.maximum(spread, height / CAP).clamp(min=torch.finfo(spread.dtype).tiny)


@torch.no_grad()
def standing_out(maps: Tensor, reach: Reach) -> Tensor:
    """The channel whose clearance is most over what it reaches, (N, C, H, W) -> (N, 4) float32.

    Ratio, channel, and y and x of its peak; a ratio of 0 where no channel peaks high.
    """
    found = torch.zeros(len(maps), 4, device=maps.device)
    if min(maps.shape[-2:]) < SMALLEST:
        return found
    peaks = channel_peaks(maps)
    ratio = clearances(peaks) / reach.clearance.clamp(min=torch.finfo(peaks.dtype).tiny)
    found[:, 0], unit = ratio.masked_fill(peaks[..., 0] <= reach.high, 0).max(1)
    found[:, 1] = unit
    found[:, 2:] = peaks_of(maps[torch.arange(len(maps), device=maps.device), unit])
    return found


def peaks_of_channels(sampler: Sampler, indices: Iterable[int]) -> dict[str, Tensor]:
    """Layer -> (N, C, 3) `channel_peaks` of these latents' images, in order, on the CPU."""
    layers = sampler.generator.layers
    rows: dict[str, list[Tensor]] = {name: [] for name in layers}

    def look(name: str, received: Tensor, output: Tensor) -> None:
        rows[name].append(channel_peaks(output).cpu())

    with observed(layers, list(layers), look, stop=True):
        for _ in sampler.passes(indices):
            pass
    return {name: torch.cat(each) for name, each in rows.items()}


def usual_peaks(sampler: Sampler, num: int = NUM, ranks: Ranks | None = None) -> Usual:
    """Of so many images of latents of a seed of their own; each rank looks at its share."""
    seed = 1_000_000 + derived_seed("circle channels", sampler.seed) % 1_000_000
    others = replace(sampler, seed=seed)
    if ranks is None:
        peaks = peaks_of_channels(others, range(num))
    else:
        share = ranks.share(range(num))
        own = peaks_of_channels(others, ranks.progress(share or [0], "channels"))
        peaks = {name: ranks.assemble(own[name], share, num) for name in own}
    return Usual({name: Reach.of(each) for name, each in peaks.items()}, num)
