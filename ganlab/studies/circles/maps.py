"""Forward passes behind the figures of artifacts: maps, pixels, new noise, units switched off.

images, maps = trace(sampler, [17], points, ["8x8/1"])                # maps["8x8/1"]: (1, C, 8, 8)
before, after = around_norm(sampler, 17, "32x32/0")                    # (C, 32, 32) each
redrawn = fresh_noise(sampler, 17, 4, points)                          # what noise alone moves
steps = one_by_one(sampler, 17, points, "8x8/1", 3)                    # Figures 6 and 9
b_mu, b_sigma = affine_biases(generator, "8x8/1")                      # (C,) each

Tan, Wen, Yang: "Systematic Analysis and Removal of Circular Artifacts for StyleGAN". A unit is a
channel of a layer as it leaves the style, set to zero at every position. An artifact is where the
last layer's maps peak.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ganlab.metrics.spikes import (
    are_near,
    peak_ratio,
    pixels,
    places,
    spikes_of,
    strongest_units,
)
from ganlab.networks.base import Generator, StyleGenerator
from ganlab.nn.ablation import ablate_units
from ganlab.nn.equalized import EqualizedLinear
from ganlab.nn.randomness import derived_seed, keyed_generator
from ganlab.nn.tracing import Edit, edited, observed, recorded
from ganlab.sampling import Sampler

Points = Mapping[str, nn.Module]  # layer -> the module that is read, input to output
OBJECT, BORDER = (1 / 3, 2 / 3), 1 / 8  # the middle ninth; the rim, as shares of the sides
APART = 0.2  # pixels to compare are further than this from the artifact


def trace(
    sampler: Sampler,
    indices: Sequence[int],  # addresses of the latents, one batch of them
    points: Points,
    names: Sequence[str],  # the layers whose maps are wanted
    edits: Mapping[str, Edit] | None = None,  # layer -> edit of what is read there
) -> tuple[Tensor, dict[str, Tensor]]:
    """Images (N, C, H, W) and layer -> maps (N, C, H, W) on the CPU; maps are after their edit."""
    with edited(points, edits or {}), recorded(points, list(dict.fromkeys(names))) as maps:
        images = sampler.batch(indices)
    return images.cpu(), {name: found.cpu() for name, found in maps.items()}


def around_norm(sampler: Sampler, index: int, layer: str) -> tuple[Tensor, Tensor]:
    """What a layer's norm was given and what it made of it, (C, H, W) each, on the CPU.

    Raises:
        KeyError: the layer has no norm.
    """
    pair: list[Tensor] = []

    def keep(name: str, received: Tensor, output: Tensor) -> None:
        pair.extend([received[0].cpu(), output[0].cpu()])

    with observed(sampler.generator.points, [f"{layer}/norm"], keep):
        sampler.batch([index])
    return pair[0], pair[1]


def standing(maps: Tensor, place: Tensor) -> Tensor:
    """Magnitude at a place over the median magnitude of each map, (C, H, W), (2,) -> (C,)."""
    y, x = pixels(place, maps.shape[1:])
    return peak_ratio(maps[:, y, x].abs(), maps.abs().flatten(1).median(1).values)


def compared_pixels(place: Tensor, size: Sequence[int], *key: int | str) -> dict[str, Tensor]:
    """Three pixels of an H x W map: the artifact's, and of the object and the background.

    The object is taken to be in the middle ninth, the background on the rim; their pixels are
    random (by key) among those that keep away from the artifact at `place`, (2,). Each is (2,).
    """
    grid = torch.cartesian_prod(*(torch.arange(side) for side in size))  # (H * W, 2)
    shares = places(grid, size)
    away = ~are_near(shares, place.to(shares), APART)
    inside = ((shares > OBJECT[0]) & (shares < OBJECT[1])).all(1)
    rim = ((shares < BORDER) | (shares > 1 - BORDER)).any(1)
    found = {"artifact": pixels(place, size)}
    for name, where in (("object", inside), ("background", rim)):
        choice = grid[where & away] if bool((where & away).any()) else grid[away]
        rng = keyed_generator("compared pixel", name, *key)
        found[name] = choice[torch.randint(len(choice), (), generator=rng)]
    return found


def takes_noise(generator: Generator) -> bool:
    """Whether noise is added in any of its layers."""
    return any(name.endswith("noise_const") for name, _ in generator.named_buffers())


@dataclass(frozen=True, eq=False)
class Redrawn:
    """One latent under several draws of noise."""

    images: Tensor  # (draws, C, H, W)
    place: Tensor  # (draws, 2) where the last layer peaks

    @property
    def spread(self) -> Tensor:
        """Standard deviation over draws at each pixel, root mean square of channels, (H, W)."""
        deviations: Tensor = self.images.double().std(0, correction=0)
        return deviations.square().mean(0).sqrt()


def fresh_noise(sampler: Sampler, index: int, draws: int, points: Points) -> Redrawn:
    """The same latent again and again, with noise of (seed, index, draw) each time."""
    again = replace(
        sampler,
        seed=derived_seed("fresh noise", sampler.seed, index),
        noise="random",
        condition_at=lambda rows: sampler.condition([index] * len(rows)),
        labels=(),
        batch_size=draws,
    )
    last = list(points)[-1]
    with recorded(points, [last]) as maps:
        images = again.paint(sampler.latents([index] * draws), range(draws))
    return Redrawn(images, spikes_of(maps[last]).place.cpu())


def affine_biases(generator: Generator, layer: str) -> tuple[Tensor, Tensor]:
    """Biases of a layer's style affine, (C,) each: of the shift and of the scale.

    The scale is s + 1 (`StyleModulation`), so that its bias includes the 1.

    Raises:
        ValueError: the layer has no style, or one that does not shift.
    """
    affine: nn.Module | None = None
    if isinstance(generator, StyleGenerator) and f"{layer}/style" in generator.points:
        affine = generator.affines[layer]
    bias = affine.scaled()[1] if isinstance(affine, EqualizedLinear) else None
    if bias is None:
        raise ValueError(f"{layer} has no style that scales and shifts")
    scale, shift = bias.detach().cpu().chunk(2)
    return shift, scale + 1


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
    edits = {layer: ablate_units(units)} if units else None
    images, maps = trace(sampler, [index], points, [layer, last], edits)
    spike, size = spikes_of(maps[last]), maps[layer].shape[-2:]
    pixel = pixels(spike.place[0], size)
    return State(
        units=tuple(units),
        image=images[0],
        place=spike.place[0],
        prominence=spike.prominence.item(),
        next_unit=int(strongest_units(maps[layer], pixel[None])[0, 0]),
        spot=places(pixel, size),
    )


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
    sampler: Sampler, indices: Sequence[int], points: Points, layer: str
) -> tuple[int, float]:
    """The unit that is strongest at most images' artifacts, and the share of images it is that of.

    Of equals the one with the lowest number.
    """
    return commonest([state(sampler, index, points, layer).next_unit for index in indices])


def commonest(units: Sequence[int]) -> tuple[int, float]:
    """The most frequent number, of equals the lowest, and its share of all."""
    unit, count = min(Counter(units).items(), key=lambda item: (-item[1], item[0]))
    return unit, count / len(units)


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
    maps = trace(sampler, [index], points, [layer])[1][layer]
    pixel = pixels(whole.place, maps.shape[-2:])
    alone = {}
    for unit in strongest_units(maps, pixel[None], num)[0].tolist():
        others = [other for other in range(maps.shape[1]) if other != unit]
        alone[unit] = state(sampler, index, points, layer, others)
    return whole, alone
