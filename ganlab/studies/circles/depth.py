"""How artifacts grow from layer to layer: the claims of Tan, Wen, Yang as a table against depth.

rows = depths(sampler, indices, place, points)                       # a row a layer
depth_table(rows, notes).write(directory)
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ganlab.metrics.spikes import (
    local_peaks,
    peak_ratio,
    peaking_share,
    pool_channels,
    quantile,
    spots,
    strongest_units,
    values_at,
)
from ganlab.nn.tracing import observed
from ganlab.report.tables import Table
from ganlab.sampling import Sampler, batched
from ganlab.studies.circles.maps import commonest

FACTOR = 10.0  # times its own median: a channel that peaks (section "A Case Study")
HEADS: tuple[str, ...] = ("layer", "before norm", "after norm", "as read", "channels over 10x")
HEADS += ("top unit", "images with it", "spots", "size", "roundness")  # of the fields of `Depth`


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

    @classmethod
    def of(cls, layer: str, noted: Mapping[str, list[Any]]) -> "Depth":
        """From what the hooks noted of a layer, batch by batch or image by image."""
        unit, unit_share = commonest(torch.cat(noted["unit"]).tolist())
        regions, largest = noted["spots"], [found[0] for found in noted["spots"]]
        return cls(
            layer=layer,
            before=median(noted["before"]),
            after=median(noted["after"]) if noted["after"] else None,
            read=median(noted["read"]),
            share=float(torch.cat(noted["share"]).double().mean()),
            unit=unit,
            unit_share=unit_share,
            spots=sum(map(len, regions)) / len(regions),
            size=sum(spot.share for spot in largest) / len(largest),
            roundness=sum(spot.roundness for spot in largest) / len(largest),
        )


def median(values: Sequence[Tensor]) -> float:
    """Of a list of (N,)."""
    return float(torch.cat(list(values)).double().quantile(0.5))


def height_at(maps: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Peak around a place over the median, its position, and the magnitude: (N,), (N, 2), maps."""
    magnitude = pool_channels(maps)
    position = local_peaks(magnitude, place)
    peak = values_at(magnitude[:, None], position)[:, 0]
    return peak_ratio(peak, quantile(magnitude, 0.5)), position, magnitude


def depths(
    sampler: Sampler,
    indices: Sequence[int],  # addresses of images with an artifact
    place: Tensor,  # (N, 2) where each has it, as shares of height and width
    points: Mapping[str, nn.Module],  # of `observation.reading_points`
) -> list[Depth]:
    """A row a layer, input to output; nothing of the maps is kept."""
    layers, named = sampler.generator.layers, sampler.generator.points
    hooked = {f"read {name}": module for name, module in points.items()}
    hooked |= {f"before {name}": layers[name] for name in points}
    normed = [name for name in points if f"{name}/norm" in named]
    hooked |= {f"after {name}": named[f"{name}/norm"] for name in normed}
    noted: dict[str, dict[str, list[Any]]] = {name: defaultdict(list) for name in points}
    now: list[Tensor] = []  # the batch's places

    def look(key: str, received: Tensor, output: Tensor) -> None:
        kind, _, name = key.partition(" ")
        height, position, magnitude = height_at(output, now[-1].to(output.device))
        noted[name][kind].append(height.cpu())
        if kind == "read":
            noted[name]["share"].append(peaking_share(output, position, FACTOR).cpu())
            noted[name]["unit"].append(strongest_units(output, position)[:, 0].cpu())
            noted[name]["spots"].extend(spots(magnitude))

    with observed(hooked, list(hooked), look):
        for rows in batched(range(len(indices)), sampler.batch_size):
            now[:] = [place[rows]]
            sampler.batch([indices[row] for row in rows])
    return [Depth.of(name, noted[name]) for name in points]


def depth_table(rows: Sequence[Depth], notes: Sequence[str] = ()) -> Table:
    """The rows under readable heads; a column that no layer has is left out."""
    columns = zip(HEADS, zip(*(vars(row).values() for row in rows), strict=True), strict=True)
    shown = {head: cells for head, cells in columns if any(cell is not None for cell in cells)}
    caption = "How far the artifact stands above the rest, layer by layer"
    return Table.of(list(shown), zip(*shown.values(), strict=True), caption, notes)
