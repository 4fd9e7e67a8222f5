"""Which images have a circular artifact, and where it comes from: no eye needed.

Tan, Wen, Yang: "Systematic Analysis and Removal of Circular Artifacts for StyleGAN": a small spot
of a layer's maps that stands far above all else, and that the layers after it hand on. An image
counts as affected when such a spot persists over consecutive resolutions at matching positions.

    points = reading_points(generator)                        # layer -> module that is read there
    seen = observe(Sampler(generator), range(2000), points)
    found = seen.detected(Levels(2.5))
    found.affected.double().mean()                            # the incidence
    origins(seen, found, Levels(2.5))                         # layer and unit of each
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ganlab.networks.base import Generator
from ganlab.nn.tracing import Reached, observed
from ganlab.sampling import Edits, Sampler, batched
from ganlab.studies.circles.levels import Levels, size_of
from ganlab.studies.circles.spikes import Spikes, places, same_place, spikes_of

READ = ("style", "norm", "activation")  # where a layer can be read, from its output on
FIELDS = ("peak", "median", "high", "kurtosis", "isolation", "agreement", "unit")


def reading_points(generator: Generator, read: str = "style") -> dict[str, nn.Module]:
    """Layer -> the module read there: after the style, else after the norm, else the activation.

    `read=norm` and `read=activation` go no further than that. StyleGAN2 has no such points, it
    scales weights instead of maps: its layers are read after their activations.

    Raises:
        ValueError: an unknown way of reading, or a generator without style layers.
    """
    if read not in READ:
        raise ValueError(f"study.read must be one of {', '.join(READ)}, got {read!r}")
    points: Mapping[str, nn.Module] = getattr(generator, "points", {})
    if not points and not hasattr(generator, "affines"):
        raise ValueError(
            f"circular artifacts are looked for in style layers, and {type(generator).__module__} "
            "has none: give a checkpoint of model=stylegan or stylegan2"
        )
    ways = [f"/{way}" for way in READ[READ.index(read) : -1]]
    found: dict[str, nn.Module] = {}
    for name, activation in generator.layers.items():
        chosen = [points[name + way] for way in ways if name + way in points]
        found[name] = chosen[0] if chosen else activation
    return found


def reading_of(generator: Generator, read: str = "style") -> str:
    """How `reading_points` reads this generator, in words."""
    points: Mapping[str, nn.Module] = getattr(generator, "points", {})
    for way in READ[READ.index(read) : -1]:
        if any(name.endswith(f"/{way}") for name in points):
            return f"after the {way}"
    return "after the activation"


@dataclass(frozen=True, eq=False)
class Detected:
    """The strongest persisting peak of each of N images."""

    score: Tensor  # (N,) smallest contrast over level along the peak's way; 0 = none persists
    place: Tensor  # (N, 2) where it is, at its finest resolution, as shares of height and width
    last: Tensor  # (N,) int64, the layer it was found in last, a position in `Seen.layers`
    threshold: float

    @property
    def affected(self) -> Tensor:
        """Which images have an artifact, (N,) bool."""
        return self.score > self.threshold

    def worst(self, num: int) -> list[int]:
        """Rows of the images with the highest scores, the highest first, equals by order."""
        order: list[int] = self.score.argsort(descending=True, stable=True)[:num].tolist()
        return order


@dataclass(frozen=True, eq=False)
class Seen:
    """The spikes of N images in all L layers; a few numbers an image, no maps."""

    layers: tuple[str, ...]  # in network order
    sizes: tuple[tuple[int, int], ...]  # of their maps
    table: Tensor  # (N, L, 9) float32: y, x and `FIELDS`

    def spikes(self, layer: int) -> Spikes:
        """Those of one layer, by its position."""
        values = self.table[:, layer]
        position = values[:, :2].long()
        numbers = dict(zip(FIELDS, values[:, 2:].unbind(1), strict=True))
        numbers["unit"] = numbers["unit"].long()
        place = places(position, self.sizes[layer])
        return Spikes(position=position, place=place, **numbers)

    @property
    def steps(self) -> list[int]:
        """Positions of the last layer of each resolution: what a peak must persist over."""
        last = {size_of(name): i for i, name in enumerate(self.layers)}
        return list(last.values())

    def contrasts(self) -> Tensor:
        """Peak over the 90% quantile in every layer, (N, L)."""
        return torch.stack([self.spikes(i).contrast for i in range(len(self.layers))], dim=1)

    def detected(self, levels: Levels) -> Detected:
        """Look for a peak that persists.

        Raises:
            ValueError: fewer resolutions than it must persist over.
        """
        steps, width = self.steps, levels.persistence
        if len(steps) < width:
            there = ", ".join(size_of(self.layers[i]) for i in steps)
            raise ValueError(
                f"study.persistence={width} needs as many resolutions, this generator has {there}"
            )
        spikes = {i: self.spikes(i) for i in steps}
        score = torch.zeros(len(self.table), device=self.table.device)
        place, last = spikes[steps[-1]].place, torch.full_like(score, steps[-1]).long()
        for end in range(width, len(steps) + 1):
            found = self.persisting(steps[end - width : end], spikes, levels)
            better = (found > 0) & (found >= score)  # of equals the finest
            score = torch.where(better, found, score)
            place = torch.where(better[:, None], spikes[steps[end - 1]].place, place)
            last = torch.where(better, steps[end - 1], last)
        return Detected(score, place, last, levels.threshold)

    def persisting(
        self, steps: Sequence[int], spikes: Mapping[int, Spikes], levels: Levels
    ) -> Tensor:
        """Smallest contrast over level in these layers, 0 where they peak at other places: (N,)."""
        heights = [spikes[i].contrast / levels.of(self.layers[i]) for i in steps]
        lowest = torch.stack(heights).amin(0)
        for coarser, finer in pairwise(steps):
            lowest = lowest * same_place(
                spikes[finer].place, spikes[coarser].place, self.sizes[coarser]
            )
        return lowest


def observe(
    sampler: Sampler,
    indices: Iterable[int],  # addresses of this process's latents
    points: Mapping[str, nn.Module],  # of `reading_points`
    edits: Edits | None = None,  # an intervention
) -> Seen:
    """The spikes of these latents' images in every layer, in their order, on the device.

    Maps are looked at as the layers fire and are not kept: memory is that of a forward pass.

    Raises:
        ValueError: no indices.
    """
    rows: list[Tensor] = []
    sizes: dict[str, tuple[int, int]] = {}
    passing: dict[str, Tensor] = {}

    def look(name: str, received: Tensor, output: Tensor) -> None:
        sizes[name] = (output.shape[-2], output.shape[-1])
        passing[name] = packed(spikes_of(output))

    with observed(points, list(points), look, stop=True):
        for batch in batched(indices, sampler.batch_size):
            with suppress(Reached):
                sampler.batch(batch, edits)
            rows.append(torch.stack([passing[name] for name in points], dim=1))
    if not rows:
        raise ValueError("there are no latents to look at: raise study.num_images")
    return Seen(tuple(points), tuple(sizes[name] for name in points), torch.cat(rows))


def packed(spikes: Spikes) -> Tensor:
    """A row an image, (N, 9) float32."""
    columns = [getattr(spikes, name).float() for name in FIELDS]
    return torch.cat([spikes.position.float(), torch.stack(columns, dim=1)], dim=1)


@dataclass(frozen=True)
class Origin:
    """Where an artifact comes from."""

    layer: str  # the earliest in which its peak stands out
    unit: int  # the strongest channel there
    position: tuple[int, int]  # y and x of the peak in that layer


def origins(seen: Seen, found: Detected, levels: Levels) -> list[Origin | None]:
    """The origin of each image's artifact; None for images without.

    From the layer in which the peak was found last, back through layers that peak at the same
    place, as long as they stand out by their level times the threshold.
    """
    spikes = [seen.spikes(i).cpu() for i in range(len(seen.layers))]
    limits = [levels.of(name) * levels.threshold for name in seen.layers]
    out = [spike.contrast > limit for spike, limit in zip(spikes, limits, strict=True)]
    rows: list[Origin | None] = []
    for row, (affected, last) in enumerate(
        zip(found.affected.tolist(), found.last.tolist(), strict=True)
    ):
        layer = last
        while layer > 0 and out[layer - 1][row] and _handed_on(seen, spikes, layer - 1, row):
            layer -= 1
        spike = spikes[layer]
        y, x = spike.position[row].tolist()
        unit = int(spike.unit[row])
        rows.append(Origin(seen.layers[layer], unit, (y, x)) if affected else None)
    return rows


def _handed_on(seen: Seen, spikes: list[Spikes], layer: int, row: int) -> bool:
    """Whether the next layer peaks at the same place."""
    finer, coarser = spikes[layer + 1].place[row], spikes[layer].place[row]
    return bool(same_place(finer, coarser, seen.sizes[layer]))
