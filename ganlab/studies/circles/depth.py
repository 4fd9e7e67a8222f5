"""How artifacts grow from layer to layer: the claims of Tan, Wen, Yang as a table against depth.

rows = depths(sampler, indices, place, points)                       # a row a layer
depth_table(rows, notes).write(directory)
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from ganlab.nn.tracing import observed
from ganlab.report.tables import Table
from ganlab.sampling import Sampler, batched
from ganlab.studies.circles.spikes import (
    Spot,
    local_peaks,
    peaking_share,
    pooled,
    quantile,
    spots,
    strongest_units,
)

FACTOR = 10.0  # times its own median: a channel that peaks (section "A Case Study")
HEADS = {
    "layer": "layer",
    "before": "before norm",
    "after": "after norm",
    "read": "as read",
    "share": "channels over 10x",
    "unit": "top unit",
    "unit_share": "images with it",
    "spots": "spots",
    "size": "size",
    "roundness": "roundness",
}


@dataclass(frozen=True)
class Depth:
    """One layer: medians over images at the artifact's place, heights as peak over median."""

    layer: str
    before: float  # magnitude over channels before the norm (claim 3)
    after: float | None  # after it; None without a norm
    read: float  # where the detector reads: after the style
    share: float  # of channels over 10 times their own median (claims 1 and 2); a mean
    unit: int  # the strongest channel in most images
    unit_share: float  # of images in which it is (figure 7)
    spots: float  # connected regions of half the peak's height; a mean
    size: float  # of the largest, as a share of the map; a mean
    roundness: float  # of the largest, 1 = round; a mean


@dataclass(eq=False)
class Gathered:
    """What the hooks note of one layer, a few numbers an image."""

    before: list[Tensor]
    after: list[Tensor]
    read: list[Tensor]
    share: list[Tensor]
    unit: list[Tensor]
    spots: list[list[Spot]]

    def row(self, layer: str) -> Depth:
        """The layer's line of the table."""
        units = torch.cat(self.unit).tolist()
        unit, count = min(Counter(units).items(), key=lambda item: (-item[1], item[0]))
        largest = [found[0] for found in self.spots]
        return Depth(
            layer=layer,
            before=middle(self.before),
            after=middle(self.after) if self.after else None,
            read=middle(self.read),
            share=float(torch.cat(self.share).double().mean()),
            unit=unit,
            unit_share=count / len(units),
            spots=sum(map(len, self.spots)) / len(self.spots),
            size=sum(spot.share for spot in largest) / len(largest),
            roundness=sum(spot.roundness for spot in largest) / len(largest),
        )


def middle(values: Sequence[Tensor]) -> float:
    """The median of a list of (N,)."""
    return float(torch.cat(list(values)).double().quantile(0.5))


def height_at(maps: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Peak around a place over the median, its position, and the magnitude: (N,), (N, 2), maps."""
    magnitude = pooled(maps)
    position = local_peaks(magnitude, place)
    rows = torch.arange(len(maps), device=maps.device)
    peak = magnitude[rows, position[:, 0], position[:, 1]]
    least = torch.finfo(torch.float32).tiny
    return peak / quantile(magnitude, 0.5).clamp(min=least), position, magnitude


def depths(
    sampler: Sampler,
    indices: Sequence[int],  # addresses of images with an artifact
    place: Tensor,  # (N, 2) where each has it, as shares of height and width
    points: Mapping[str, nn.Module],  # of `observation.reading_points`
) -> list[Depth]:
    """A row a layer, input to output; nothing of the maps is kept."""
    generator = sampler.generator
    named: Mapping[str, nn.Module] = getattr(generator, "points", {})
    modules = {("read", name): module for name, module in points.items()}
    modules |= {("before", name): generator.layers[name] for name in points}
    norms = {name: named[f"{name}/norm"] for name in points if f"{name}/norm" in named}
    modules |= {("after", name): module for name, module in norms.items()}
    hooked = {" ".join(key): module for key, module in modules.items()}
    kept = {name: Gathered([], [], [], [], [], []) for name in points}
    now: list[Tensor] = []  # the batch's places

    def look(key: str, received: Tensor, output: Tensor) -> None:
        kind, _, name = key.partition(" ")
        height, position, magnitude = height_at(output, now[-1].to(output.device))
        getattr(kept[name], kind).append(height.cpu())
        if kind == "read":
            kept[name].share.append(peaking_share(output, position, FACTOR).cpu())
            kept[name].unit.append(strongest_units(output, position)[:, 0].cpu())
            kept[name].spots.extend(spots(magnitude))

    with observed(hooked, list(hooked), look):
        for rows in batched(range(len(indices)), sampler.batch_size):
            now[:] = [place[rows]]
            sampler.batch([indices[row] for row in rows])
    return [kept[name].row(name) for name in points]


def depth_table(rows: Sequence[Depth], notes: Sequence[str] = ()) -> Table:
    """The rows under readable heads; a column that no layer has is left out."""
    names = [each.name for each in fields(Depth)]
    shown = [name for name in names if any(getattr(row, name) is not None for row in rows)]
    cells = [{HEADS[name]: getattr(row, name) for name in shown} for row in rows]
    caption = "How far the artifact stands above the rest, layer by layer"
    return Table([HEADS[name] for name in shown], cells, {}, caption, [*notes])
