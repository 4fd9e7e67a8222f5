"""Units, the channels of a layer: ranking them, and switching whole ones off.

Bau et al.: "GAN Dissection: Visualizing and Understanding Generative Adversarial Networks"
(arXiv:1811.10597), sections 3.2 and 4.3. Unlike the ablation of neurons, a unit is set to zero at
every position and whatever its sign.

    order = rank_units(unit_rates(rates["8x8/0"]))                       # rarest units first
    edits = {"8x8/0": ablate_units(order[:20])}
    images = Sampler(generator, seed).images(indices, edits)
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ganlab.metrics.frechet import Moments
from ganlab.nn.tracing import recorded
from ganlab.sampling import Sampler

Region = Sequence[float]  # top, left, bottom, right as shares of height and width


def unit_rates(rates: Tensor) -> Tensor:
    """(C, H, W) or (C,) rates of neurons -> (C,) mean rate of each unit's neurons."""
    return rates.double().flatten(1).mean(1) if rates.ndim > 1 else rates.double()


def region_weights(region: Region | None, size: Sequence[int]) -> Tensor:
    """How much of a region lies in each cell of an H x W grid: (H, W) float64 that sums to 1.

    Raises:
        ValueError: not four shares in [0, 1] with top < bottom and left < right.
    """
    top, left, bottom, right = checked_region(region)
    down = _overlaps(top, bottom, size[0])
    return down[:, None] * _overlaps(left, right, size[1])


def checked_region(region: Region | None) -> tuple[float, float, float, float]:
    """The region's four shares; the whole image for None.

    Raises:
        ValueError: not four shares in [0, 1] with top < bottom and left < right.
    """
    values = [0.0, 0.0, 1.0, 1.0] if region is None else list(region)
    if len(values) != 4 or not (
        0 <= values[0] < values[2] <= 1 and 0 <= values[1] < values[3] <= 1
    ):
        raise ValueError(
            "study.region must be [top,left,bottom,right] as shares of height and width, such as "
            f"[0.5,0.25,1.0,0.75], got {region}"
        )
    top, left, bottom, right = values
    return top, left, bottom, right


def _overlaps(start: float, end: float, cells: int) -> Tensor:
    """Share of the interval [start, end] in each of `cells` equal parts of [0, 1]."""
    edges = torch.linspace(0, 1, cells + 1, dtype=torch.float64).clamp(start, end)
    return edges.diff() / (end - start)


def unit_magnitudes(
    sampler: Sampler,
    indices: Iterable[int],  # addresses of the images looked at
    layer: str,
    region: Region | None = None,  # part of the image; None = all of it
) -> Tensor:
    """Summed mean magnitude |a| of each unit within the region, (C,) float64 on the CPU.

    A sum over images, so that the shares of several processes add up. Of a fully connected layer
    there is no region: its magnitudes are those of its neurons.
    """
    total = torch.zeros(unit_count(sampler, layer), dtype=torch.float64)
    with recorded(sampler.generator.layers, [layer]) as activations:
        for _ in sampler.batches(indices):
            total += _regional(activations[layer].abs(), region).sum(0).cpu()
    return total


def _regional(values: Tensor, region: Region | None) -> Tensor:
    """(N, C, H, W) or (N, C) -> (N, C) float64, means weighted by the region."""
    if values.ndim == 2:
        return values.double()
    weights = region_weights(region, values.shape[2:]).to(values.device)
    return (values.double() * weights).sum((2, 3))


def unit_count(sampler: Sampler, layer: str) -> int:
    """Number of channels of a layer."""
    with recorded(sampler.generator.layers, [layer]) as activations:
        sampler.batch([0])
    return activations[layer].shape[1]


def rank_units(values: Tensor, descending: bool = False) -> list[int]:
    """Units by value, NaN last whichever way; equal values by number."""
    last = values.nan_to_num(nan=-torch.inf if descending else torch.inf)
    return last.argsort(descending=descending, stable=True).tolist()


def peaks(activations: Tensor) -> Tensor:
    """Largest activation of each unit in each image: (N, C, H, W) or (N, C) -> (N, C)."""
    return activations if activations.ndim == 2 else activations.amax((2, 3))


def unit_fids(
    tops: Tensor,  # (N, C) largest activation of each unit in each image
    features: Tensor,  # (N, d) features of those images
    reals: Moments,
    num_top: int,  # images a unit is judged by
    units: Iterable[int] | None = None,  # some units, as a progress bar gives them; None = all
) -> Tensor:
    """FID of the images that activate a unit most, (C,) float64: high where it makes artifacts.

    Bau et al. 2018, appendix on artifact units (10,000 of 200,000 images a unit). NaN for a unit
    whose peak is the same in all images: they say nothing about it.
    """
    found = torch.full((tops.shape[1],), torch.nan, dtype=torch.float64)
    for unit in range(tops.shape[1]) if units is None else units:
        column = tops[:, unit]
        if column.min() < column.max():
            best = column.argsort(descending=True, stable=True)[:num_top]
            found[unit] = reals.distance(features[best])
    return found


def activity_within(
    activations: Tensor,  # (C, H, W) of one image
    region: Tensor,  # (h, w) of any size, 1 inside and 0 outside
) -> tuple[Tensor, Tensor]:
    """Share of each unit's magnitude |a| that lies in a region, and its mean there: (C,) float64.

    A cell that the region covers in part counts in part. The share of a silent unit is 0.
    """
    size = (activations.shape[1], activations.shape[2])
    weights = interpolate(region[None, None].double(), size, mode="area")[0, 0].to(
        activations.device
    )
    magnitude = activations.double().abs()
    inside = (magnitude * weights).sum((1, 2))
    total, covered = magnitude.sum((1, 2)), weights.sum()
    share = torch.where(total > 0, inside / total.clamp(min=1e-30), 0.0)
    return share.cpu(), (inside / covered.clamp(min=1e-30)).cpu()
