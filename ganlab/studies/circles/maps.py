"""Forward passes behind the figures of artifacts: maps, pixels to compare, noise drawn anew.

images, maps = traced(sampler, [17], points, ["8x8/1"])                # maps["8x8/1"]: (1, C, 8, 8)
before, after = around_norm(sampler, 17, "32x32/0")                    # (C, 32, 32) each
redrawn = fresh_noise(sampler, 17, 4, points)                          # what noise alone moves
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ganlab.networks.base import Generator
from ganlab.nn.randomness import derived_seed, keyed_generator
from ganlab.nn.tracing import Edit, edited, observed, recorded
from ganlab.sampling import Sampler
from ganlab.studies.circles.spikes import near, peaks_of, places, pooled

Points = Mapping[str, nn.Module]  # layer -> the module that is read, input to output
OBJECT, BORDER = (1 / 3, 2 / 3), 1 / 8  # the middle ninth; the rim, as shares of the sides
APART = 0.2  # pixels to compare are further than this from the artifact


def traced(
    sampler: Sampler,
    indices: Sequence[int],  # addresses of the latents, one batch of them
    points: Points,
    names: Sequence[str],  # the layers whose maps are wanted
    edits: Mapping[str, Edit] | None = None,  # layer -> edit of what is read there
) -> tuple[Tensor, dict[str, Tensor]]:
    """Images (N, C, H, W) and layer -> maps (N, C, H, W) on the CPU; maps are after their edit."""
    with edited(points, edits or {}), recorded(points, list(names)) as maps:
        images = sampler.batch(indices)
    return images.cpu(), {name: maps[name].cpu() for name in names}


def around_norm(
    sampler: Sampler,
    index: int,
    layer: str,
) -> tuple[Tensor, Tensor]:
    """What a layer's norm was given and what it made of it, (C, H, W) each, on the CPU.

    Raises:
        KeyError: the layer has no norm.
    """
    pair: list[Tensor] = []
    points: dict[str, nn.Module] = getattr(sampler.generator, "points", {})

    def keep(name: str, received: Tensor, output: Tensor) -> None:
        pair.extend([received[0].cpu(), output[0].cpu()])

    with observed(points, [f"{layer}/norm"], keep):
        sampler.batch([index])
    return pair[0], pair[1]


def peak_place(maps: Tensor) -> Tensor:
    """Where maps of a layer peak, all channels together: (N, C, H, W) -> (N, 2) place."""
    return places(peaks_of(pooled(maps)), maps.shape[-2:])


def compared_pixels(place: Tensor, size: Sequence[int], *key: int | str) -> dict[str, Tensor]:
    """Three pixels of an H x W map: the artifact's, and of the object and the background.

    The object is taken to be in the middle ninth, the background on the rim; their pixels are
    random (by key) among those that keep away from the artifact at `place`, (2,). Each is (2,).
    """
    grid = torch.cartesian_prod(*(torch.arange(side) for side in size))  # (H * W, 2)
    shares = places(grid, size)
    away = ~near(shares, place.to(shares), APART)
    inside = ((shares > OBJECT[0]) & (shares < OBJECT[1])).all(1)
    rim = ((shares < BORDER) | (shares > 1 - BORDER)).any(1)
    artifact = (place * torch.tensor(list(size))).long()
    found = {"artifact": artifact.clamp(max=torch.tensor(list(size)) - 1)}
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
    told = sampler.condition_at
    again = replace(
        sampler,
        seed=derived_seed("fresh noise", sampler.seed, index),
        noise="random",
        condition_at=None if told is None else lambda rows: told([index] * len(rows)),
        batch_size=draws,
    )
    last = list(points)[-1]
    with recorded(points, [last]) as maps:
        images = again.paint(sampler.latents([index] * draws), range(draws))
    return Redrawn(images, peak_place(maps[last]).cpu())
