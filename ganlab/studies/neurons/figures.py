"""Figures 1, 3, 4, 5 and 6 of Choi et al. 2022: images, where they have rare neurons, ablation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ganlab.report import figures, images
from ganlab.report.drawings import Drawing
from ganlab.report.panels import PLAIN, Row, draw_rows, heat, panel_figure, picture, pictures
from ganlab.studies.neurons.neuron_maps import Activated, Passage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SERIES = (("normal", figures.PALETTE[0], ""), ("artifact", figures.PALETTE[1], "///"))
LABELS = {"high": "HR", "low": "LR"}
Numbers = dict[str, ArrayLike]


@dataclass(frozen=True, eq=False)
class Sample:
    """One image with its maps, as the figures show it."""

    index: int  # address of its latent
    image: Tensor  # (C, H, W) in [-1, 1]
    low: Mapping[str, Tensor]  # layer -> (H, W) share of channels with an activated LR neuron
    high: Mapping[str, Tensor]  # the same for HR neurons


def draw_figure_1(
    groups: Mapping[str, Sequence[Sample]],  # normal, artifact -> samples
    counts: Mapping[str, Activated],  # normal, artifact -> counts of more images
    layers: Sequence[str],  # of the counts' columns
    layer: str,  # whose maps are shown
    rate: float,  # R
) -> Drawing:
    """Normal over artifact images with their maps, and how many rare neurons such images activate.

    The numbers are each image's counts, activated and LR, by layer, and the maps shown.
    """
    columns = 2 * max(len(samples) for samples in groups.values())
    rows: list[Row] = []
    numbers: Numbers = {}
    for name, samples in groups.items():
        numbers[f"{name}/indices"] = [each.index for each in samples]
        numbers[f"{name}/images"] = images.to_uint8(torch.stack([each.image for each in samples]))
        numbers[f"{name}/maps"] = torch.stack([each.low[layer] for each in samples])
        numbers |= {f"{name}/activated": counts[name].activated, f"{name}/low": counts[name].chosen}
        pairs = [(picture(s.image, f"latent {s.index}"), heat(s.low[layer])) for s in samples]
        rows.append((name, [panel for pair in pairs for panel in pair]))
    with figures.house_style():
        sizes = (PLAIN.margin + PLAIN.cell * columns + 0.75, 1.2 + 0.75 * len(layers))
        figure, (spare,) = figures.new_figure(sum(sizes), 2.9)
        spare.remove()
        sides: Any = figure.subfigures(1, 2, width_ratios=sizes)
        draw_rows(sides[0], rows)
        draw_shares(sides[1].subplots(), counts, layers)
    caption = (
        f"Rarely activated neurons (R = {rate:g}) of normal and of artifact images: maps of "
        f"{layer}, and their mean share among activated neurons (whiskers: standard deviation)"
    )
    return Drawing(figure, numbers, caption)


def draw_shares(axes: "Axes", counts: Mapping[str, Activated], layers: Sequence[str]) -> None:
    """Grouped bars of the mean LR share per layer."""
    width = 0.8 / len(counts)
    for place, (name, colour, hatch) in enumerate(SERIES):
        shares = counts[name].shares
        axes.bar(
            np.arange(len(layers)) + (place - (len(counts) - 1) / 2) * width,
            shares.mean(0).numpy(),
            width * 0.92,
            yerr=shares.std(0, correction=0).numpy(),
            color=colour,
            hatch=hatch,
            edgecolor="white",
            linewidth=0,
            error_kw={"linewidth": 0.8, "capsize": 2},
            label=name,
        )
    axes.set_xticks(range(len(layers)), [figures.label(name) for name in layers])
    axes.set_ylabel("LR neurons per activated neuron")
    axes.grid(visible=False, axis="x")
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.14), ncols=2, borderpad=0)


def draw_figure_3(general: Sample, rare: Sample, layers: Sequence[str], rate: float) -> Drawing:
    """LR (red) and HR (blue) maps of a general and of a rare sample, a column a layer."""
    rows: list[Row] = []
    numbers: Numbers = {}
    for name, sample in (("general", general), ("rare", rare)):
        first = picture(sample.image, f"latent {sample.index}")
        low = [first, *(heat(sample.low[layer], "low", layer) for layer in layers)]
        high = [None, *(heat(sample.high[layer], "high") for layer in layers)]
        rows += [(f"{name}, LR", low), ("HR", high)]
        numbers |= {f"{name}/low/{layer}": sample.low[layer] for layer in layers}
        numbers |= {f"{name}/high/{layer}": sample.high[layer] for layer in layers}
        numbers |= {f"{name}/image": images.to_uint8(sample.image), f"{name}/index": sample.index}
    caption = f"Share of channels whose activated neuron is LR (rate ≤ {rate:g}) or HR (above)"
    return Drawing(panel_figure(rows), numbers, caption)


def draw_figure_4(found: Passage, index: int, rate: float) -> Drawing:
    """One artifact image, layer by layer: its rare neurons, what is left of them, the image."""
    layers = list(found.maps)
    original = picture(found.original, f"latent {index}")
    rows: list[Row] = [
        ("LR neurons", [original, *(heat(found.maps[n], "low", n) for n in layers)]),
        ("after ablating\nearlier layers", [None, *map(heat, found.maps_after.values())]),
        ("the image then", [None, *pictures(found.images_after.values())]),
    ]
    numbers: Numbers = {"index": index, "original": images.to_uint8(found.original)}
    for name in layers:
        numbers[f"{name}/map"] = found.maps[name]
        numbers[f"{name}/map_after"] = found.maps_after[name]
        numbers[f"{name}/image_after"] = images.to_uint8(found.images_after[name])
    caption = (
        f"Rarely activated neurons (R = {rate:g}) of latent {index} by layer; the same, and the "
        "image, when they are ablated in the layers before it among those shown"
    )
    return Drawing(panel_figure(rows), numbers, caption)


def draw_figure_5(
    originals: Tensor,  # (N, C, H, W) in [-1, 1]
    ablated: Mapping[tuple[str, float], Tensor],  # (low or high, R) -> (N, C, H, W)
    indices: Sequence[int],  # addresses of the latents
    layers: Sequence[str],
) -> Drawing:
    """For each sample one row of HR and one of LR ablation, a column a rate."""
    rates = list(dict.fromkeys(rate for _, rate in ablated))
    rows: list[Row] = []
    for place, index in enumerate(indices):
        for kind, label in LABELS.items():
            titles = None if rows else [f"R = {rate:g}" for rate in rates]
            first = picture(originals[place], f"latent {index}") if kind == "high" else None
            cells = pictures([ablated[kind, rate][place] for rate in rates], titles)
            rows.append((f"{label} ablated", [first, *cells]))
    numbers: Numbers = {"indices": indices, "rates": rates}
    numbers["original"] = images.to_uint8(originals)
    numbers |= {f"{k}/{rate:g}": images.to_uint8(batch) for (k, rate), batch in ablated.items()}
    caption = f"Ablation of HR and of LR neurons in {', '.join(layers)} at several rates R"
    return Drawing(panel_figure(rows), numbers, caption)


def draw_before_after(
    shown: Mapping[str, Tensor],  # row label -> (N, C, H, W) in [-1, 1], the same latents
    indices: Sequence[int],  # addresses of those latents
    layers: Sequence[str],
) -> Drawing:
    """One captioned row a state, one column a latent (Figures 3, bottom, and 6)."""
    numbers: Numbers = {"indices": indices}
    numbers |= {label: images.to_uint8(batch) for label, batch in shown.items()}
    rows = [
        (label, pictures(batch, None if row else indices))
        for row, (label, batch) in enumerate(shown.items())
    ]
    caption = f"Ablation of {', '.join(layers)} on the same latents"
    return Drawing(panel_figure(rows), numbers, caption)
