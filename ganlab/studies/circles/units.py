"""Units switched off at an artifact: one after the other, one for many images, all but one.

Tan, Wen, Yang: "Systematic Analysis and Removal of Circular Artifacts for StyleGAN", figures 6, 7,
9 and 10. A unit is a channel of a layer as it leaves the style, set to zero at every position. An
artifact is where the last layer's maps peak.

    steps = one_by_one(Sampler(generator), 17, points, "8x8/1", 3)
    [step.units for step in steps], steps[-1].place
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ganlab.sampling import Sampler
from ganlab.studies.circles.maps import Points, peak_place, traced
from ganlab.studies.circles.spikes import pixels, places, pooled, quantile, strongest_units
from ganlab.studies.neurons.units import ablate_units


@dataclass(frozen=True, eq=False)
class State:
    """One image with some units of a layer set to zero."""

    units: tuple[int, ...]  # those set to zero, in this order
    image: Tensor  # (C, H, W)
    place: Tensor  # (2,) where the last layer peaks
    prominence: float  # the peak there over the median
    next_unit: int  # the strongest of the layer at that place
    spot: Tensor  # (2,) the middle of the layer's pixel there, as a place


def state(
    sampler: Sampler,
    index: int,  # address of the latent
    points: Points,
    layer: str,
    units: Sequence[int] = (),
) -> State:
    """Make the image without these units and look where the artifact is then."""
    last = list(points)[-1]
    names = list(dict.fromkeys([layer, last]))
    edits = {layer: ablate_units(units)} if units else None
    images, maps = traced(sampler, [index], points, names, edits)
    place, magnitude = peak_place(maps[last])[0], pooled(maps[last])
    size = maps[layer].shape[-2:]
    pixel = pixels(place, size)
    middle = quantile(magnitude, 0.5).clamp(min=torch.finfo(torch.float32).tiny)
    prominence = (magnitude.amax((1, 2)) / middle).item()
    strongest = int(strongest_units(maps[layer], pixel[None])[0, 0])
    return State(tuple(units), images[0], place, prominence, strongest, places(pixel, size))


def one_by_one(
    sampler: Sampler,
    index: int,
    points: Points,
    layer: str,
    steps: int,  # units switched off in the end
) -> list[State]:
    """The image, then without the layer's strongest unit at the artifact, then without the next.

    Figures 6 and 9: each time the strongest unit is that of the place to which the artifact moved.
    """
    found = [state(sampler, index, points, layer)]
    for _ in range(steps):
        units = (*found[-1].units, found[-1].next_unit)
        if len(set(units)) < len(units):  # nothing is left there to switch off
            break
        found.append(state(sampler, index, points, layer, units))
    return found


def commonest_unit(
    sampler: Sampler,
    indices: Sequence[int],
    points: Points,
    layer: str,
) -> tuple[int, float]:
    """The unit that is strongest at most images' artifacts, and the share of images it is that of.

    Of equals the one with the lowest number.
    """
    top = [state(sampler, index, points, layer).next_unit for index in indices]
    unit, count = min(Counter(top).items(), key=lambda item: (-item[1], item[0]))
    return unit, count / len(top)


def all_but_one(
    sampler: Sampler,
    index: int,
    points: Points,
    layer: str,
    num: int,  # units shown alone
) -> tuple[State, dict[int, State]]:
    """The image, and for each of the `num` strongest units at its artifact the image of it alone.

    Figure 10.
    """
    whole = state(sampler, index, points, layer)
    _, maps = traced(sampler, [index], points, [layer])
    pixel = pixels(whole.place, maps[layer].shape[-2:])
    every = range(maps[layer].shape[1])
    alone = {}
    for unit in strongest_units(maps[layer], pixel[None], num)[0].tolist():
        others = [other for other in every if other != unit]
        alone[unit] = state(sampler, index, points, layer, others)
    return whole, alone
