"""Which images have a circular artifact, and where it comes from: no eye needed.

Tan, Wen, Yang: "Systematic Analysis and Removal of Circular Artifacts for StyleGAN": a small spot
of a layer's maps that stands far above all else, and that the layers after it hand on. An image
counts as affected when such a spot persists over consecutive resolutions at matching positions, or
when one channel alone peaks far over what it does in other images.

    points = reading_points(generator)                        # layer -> module that is read there
    usual = usual_peaks(Sampler(generator))                   # of the channels; None = not asked
    seen = observe(Sampler(generator), range(2000), points, usual=usual)
    found = seen.detect(Levels(2.5))
    found.affected.double().mean()                            # the incidence
    origins(seen, found, Levels(2.5))                         # layer and unit of each
    calibrate(seen_with_pn, false_positive_rate=0.01).levels # from a rate of false positives
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil

import torch
from torch import Tensor, nn

from ganlab.metrics.spikes import Spikes, places, same_place, spikes_of
from ganlab.networks.base import Generator, StyleGenerator
from ganlab.nn.tracing import observed
from ganlab.sampling import Edits, Sampler
from ganlab.studies.circles.channels import Usual, standing_out
from ganlab.studies.circles.levels import Levels, size_of
from ganlab.studies.question import inside_unit

READ = ("style", "norm", "activation")  # where a layer can be read, from its output on
FIELDS = ("peak", "median", "high", "unit")
LEAST = Levels(source="calibrated")


def reading_points(generator: Generator, read: str = "style") -> dict[str, nn.Module]:
    """Layer -> the module read there: after the style, else after the norm, else the activation.

    `read=norm` and `read=activation` go no further than that. StyleGAN2 has no such points, it
    scales weights instead of maps: its layers are read after their activations.

    Raises:
        ValueError: an unknown way of reading, or a generator without style layers.
    """
    if read not in READ:
        raise ValueError(f"study.read must be one of {', '.join(READ)}, got {read!r}")
    points = generator.points
    if not isinstance(generator, StyleGenerator):
        raise ValueError(
            f"circular artifacts are looked for in style layers, and {type(generator).__module__} "
            "has none: give a checkpoint of model=stylegan or stylegan2"
        )
    found: dict[str, nn.Module] = {}
    for name, activation in generator.layers.items():
        ways = [f"{name}/{way}" for way in READ[READ.index(read) : -1]]
        found[name] = next((points[way] for way in ways if way in points), activation)
    return found


def reading_of(generator: Generator, read: str = "style") -> str:
    """How `reading_points` reads this generator, in words."""
    ways = {name.rpartition("/")[2] for name in generator.points}
    chosen = [way for way in READ[READ.index(read) : -1] if way in ways]
    return f"after the {[*chosen, 'activation'][0]}"


@dataclass(frozen=True, eq=False)
class Detected:
    """The strongest peak of each of N images: one that persists, or a channel's of its own."""

    score: Tensor  # (N,) smallest contrast over level along the peak's way, or a channel's ratio
    # over its level if that is more; 0 = neither
    place: Tensor  # (N, 2) where it is, at its finest resolution, as shares of height and width
    last: Tensor  # (N,) int64, the layer it was found in last, a position in `Seen.layers`
    unit: Tensor  # (N,) int64, the channel that stands out alone, -1 where the magnitude does
    threshold: float

    @property
    def affected(self) -> Tensor:
        """Which images have an artifact, (N,) bool."""
        return self.score > self.threshold

    def worst(self, num: int) -> list[int]:
        """Rows of the images with the highest scores, the highest first, equals by order."""
        order: list[int] = self.score.argsort(descending=True, stable=True)[:num].tolist()
        return order

    def rows(self, rows: Sequence[int]) -> "Detected":
        """Some of the images, in this order, on the CPU."""
        score, place, last, unit = (
            x[list(rows)].cpu() for x in (self.score, self.place, self.last, self.unit)
        )
        return Detected(score, place, last, unit, self.threshold)


@dataclass(frozen=True, eq=False)
class Seen:
    """The spikes of N images in all L layers; a few numbers an image, no maps."""

    layers: tuple[str, ...]  # in network order
    sizes: tuple[tuple[int, int], ...]  # of their maps
    table: Tensor  # (N, L, 6) float32: y, x and `FIELDS`
    alone: Tensor | None = None  # (N, L, 4) of `standing_out`; None = channels were not looked at

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

    def detect(self, levels: Levels) -> Detected:
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
            found = self.persistence_scores(steps[end - width : end], spikes, levels)
            better = (found > 0) & (found >= score)  # of equals the finest
            score = torch.where(better, found, score)
            place = torch.where(better[:, None], spikes[steps[end - 1]].place, place)
            last = torch.where(better, steps[end - 1], last)
        unit = torch.full_like(last, -1)
        return self.join_alone(Detected(score, place, last, unit, levels.threshold), levels)

    def join_alone(self, found: Detected, levels: Levels) -> Detected:
        """What persists, or the channel that stands out alone where that scores more."""
        if self.alone is None or levels.channel is None:
            return found
        ratio, layer = self.alone[..., 0].max(1)  # of all layers
        _, unit, y, x = self.alone[torch.arange(len(layer)), layer].long().unbind(1)
        sides = torch.tensor(self.sizes, device=layer.device)[layer]
        place = (torch.stack([y, x], dim=1) + 0.5) / sides
        score = ratio / levels.channel
        better = score > found.score
        return Detected(
            score=torch.where(better, score, found.score),
            place=torch.where(better[:, None], place, found.place),
            last=torch.where(better, layer, found.last),
            unit=torch.where(better, unit, found.unit),
            threshold=found.threshold,
        )

    def persistence_scores(
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
    usual: Usual | None = None,  # how high channels peak elsewhere; None = they are not looked at
) -> Seen:
    """The spikes of these latents' images in every layer, in their order, on the device.

    Maps are looked at as the layers fire and are not kept: memory is that of a forward pass.

    Raises:
        ValueError: no indices.
    """
    rows: list[Tensor] = []
    alone: list[Tensor] = []
    sizes: dict[str, tuple[int, int]] = {}
    passing: dict[str, Tensor] = {}
    reaches = {} if usual is None else usual.to(sampler.place).layers

    def look(name: str, received: Tensor, output: Tensor) -> None:
        sizes[name] = (output.shape[-2], output.shape[-1])
        passing[name] = pack(spikes_of(output))

    def compare(name: str, received: Tensor, output: Tensor) -> None:
        passing[f"{name}/alone"] = standing_out(output, reaches[name])

    layers = sampler.generator.layers
    with observed(layers, list(reaches), compare), observed(points, list(points), look, stop=True):
        for _ in sampler.passes(indices, edits):
            rows.append(torch.stack([passing[name] for name in points], dim=1))
            if reaches:
                alone.append(torch.stack([passing[f"{name}/alone"] for name in points], dim=1))
    if not rows:
        raise ValueError("there are no latents to look at: raise study.num_images")
    found = torch.cat(alone) if alone else None
    return Seen(tuple(points), tuple(sizes[name] for name in points), torch.cat(rows), found)


def pack(spikes: Spikes) -> Tensor:
    """A row an image, (N, 6) float32."""
    columns = [getattr(spikes, name).float() for name in FIELDS]
    return torch.cat([spikes.position.float(), torch.stack(columns, dim=1)], dim=1)


@dataclass(frozen=True)
class Origin:
    """Where an artifact comes from."""

    layer: str  # the earliest in which its peak stands out, or that of a channel's of its own
    unit: int  # the strongest channel there, or the one that stands out alone
    position: tuple[int, int]  # y and x of the peak in that layer


def origins(seen: Seen, found: Detected, levels: Levels) -> list[Origin | None]:
    """The origin of each image's artifact; None for images without.

    From the layer in which the peak was found last, back through layers that peak at the same
    place, as long as they stand out by their level times the threshold; of a channel that stands
    out alone, where it does so most.
    """
    alone = None if seen.alone is None else seen.alone.cpu()
    seen = replace(seen, table=seen.table.cpu())
    spikes = [seen.spikes(i) for i in range(len(seen.layers))]
    limits = [levels.of(name) * levels.threshold for name in seen.layers]
    out = [spike.contrast > limit for spike, limit in zip(spikes, limits, strict=True)]
    handed = [
        same_place(finer.place, coarser.place, size)
        for (coarser, finer), size in zip(pairwise(spikes), seen.sizes, strict=False)
    ]  # whether the next layer peaks at the same place
    rows: list[Origin | None] = [None] * len(seen.table)
    for row in found.affected.nonzero()[:, 0].tolist():
        layer, unit = int(found.last[row]), int(found.unit[row])
        if alone is not None and unit >= 0:
            y, x = alone[row, layer, 2:].long().tolist()
            rows[row] = Origin(seen.layers[layer], unit, (y, x))
            continue
        while layer > 0 and out[layer - 1][row] and handed[layer - 1][row]:
            layer -= 1
        y, x = spikes[layer].position[row].tolist()
        rows[row] = Origin(seen.layers[layer], int(spikes[layer].unit[row]), (y, x))
    return rows


@dataclass(frozen=True, eq=False)
class Calibration:
    """How levels were chosen on a generator that is taken to be free of artifacts."""

    levels: Levels
    scores: Tensor  # (N,) of these images, in units of the levels
    medians: Mapping[str, float]  # size -> median contrast

    @property
    def affected(self) -> int:
        """How many of the images count as affected."""
        return int((self.scores > self.levels.threshold).sum())


def calibrate(
    seen: Seen,  # images of a generator that is taken to be free of artifacts, as one with PN
    false_positive_rate: float = 0.01,  # at most this share of them may count as affected
    given: Levels = LEAST,  # those chosen are never below these
) -> Calibration:
    """Levels by which at most a given share of artifact-free images counts as affected.

    A size's level is the median contrast of these images, so that layers that peak by nature
    (coarse ones little, fine ones of few channels much) count alike; the threshold is the quantile
    of their scores. Levels never fall below those given and the threshold never below 1: PN
    flattens maps so much that their small unevenness would make the levels.

    Raises:
        ValueError: a rate outside (0, 1).
    """
    inside_unit(false_positive_rate=false_positive_rate)
    contrasts = seen.contrasts().cpu()
    medians = {
        size_of(seen.layers[i]): float(contrasts[:, i].double().quantile(0.5)) for i in seen.steps
    }
    levels = {size: max(given.of(size), median) for size, median in medians.items()}
    made = replace(given, levels=levels, threshold=1.0)
    scores = seen.detect(made).score.cpu()
    rank = max(1, ceil((1 - false_positive_rate) * len(scores)))  # so many are not above it
    threshold = max(1.0, float(scores.kthvalue(rank).values))
    return Calibration(replace(made, threshold=threshold), scores, medians)
