"""Figures 1, 3 and 4 of Choi et al. 2022: where in its feature maps an image has rare neurons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ganlab.report import figures, images
from ganlab.report.drawings import Drawing
from ganlab.studies.neurons.neuron_maps import Activated, Passage
from ganlab.studies.neurons.panels import (
    CELL,
    MARGIN,
    Panel,
    draw_rows,
    heat,
    panel_figure,
    picture,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SERIES = (("normal", figures.PALETTE[0], ""), ("artifact", figures.PALETTE[1], "///"))


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
    with figures.styled():
        width = MARGIN + CELL * columns + 0.75
        bars = 1.2 + 0.75 * len(layers)
        figure, (spare,) = figures.new_figure(width + bars, 2.9)
        spare.remove()
        sides: Any = figure.subfigures(1, 2, width_ratios=[width, bars])
        left, right = sides
        draw_rows(left, [(name, paired(samples, layer)) for name, samples in groups.items()])
        draw_shares(right.subplots(), counts, layers)
    caption = (
        f"Rarely activated neurons (R = {rate:g}) of normal and of artifact images: maps of "
        f"{layer}, and their mean share among activated neurons (whiskers: standard deviation)"
    )
    return Drawing(figure, numbers_1(groups, counts, layer), caption)


def paired(samples: Sequence[Sample], layer: str) -> list[Panel]:
    """Image, map, image, map, ..."""
    return [
        panel
        for sample in samples
        for panel in (picture(sample.image, f"latent {sample.index}"), heat(sample.low[layer]))
    ]


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


def numbers_1(
    groups: Mapping[str, Sequence[Sample]], counts: Mapping[str, Activated], layer: str
) -> figures.Numbers:
    """What Figure 1 shows, by group."""
    numbers: figures.Numbers = {}
    for name, samples in groups.items():
        numbers[f"{name}/indices"] = np.array([sample.index for sample in samples])
        numbers[f"{name}/images"] = np.stack([images.to_uint8(s.image).numpy() for s in samples])
        numbers[f"{name}/maps"] = np.stack([sample.low[layer].numpy() for sample in samples])
        numbers[f"{name}/activated"] = counts[name].activated.numpy()
        numbers[f"{name}/low"] = counts[name].chosen.numpy()
    return numbers


def draw_figure_3(general: Sample, rare: Sample, layers: Sequence[str], rate: float) -> Drawing:
    """LR (red) and HR (blue) maps of a general and of a rare sample, a column a layer."""
    rows: list[tuple[str, list[Panel | None]]] = []
    numbers: figures.Numbers = {}
    for name, sample in (("general", general), ("rare", rare)):
        for kind, maps in (("low", sample.low), ("high", sample.high)):
            first = picture(sample.image, f"latent {sample.index}") if kind == "low" else None
            cells = [heat(maps[layer], kind, layer if kind == "low" else "") for layer in layers]
            rows.append((f"{name}, LR" if kind == "low" else "HR", [first, *cells]))
            numbers |= {f"{name}/{kind}/{layer}": maps[layer].numpy() for layer in layers}
        numbers[f"{name}/image"] = images.to_uint8(sample.image).numpy()
        numbers[f"{name}/index"] = np.array(sample.index)
    caption = f"Share of channels whose activated neuron is LR (rate ≤ {rate:g}) or HR (above)"
    return Drawing(panel_figure(rows), numbers, caption)


def draw_figure_4(found: Passage, index: int, rate: float) -> Drawing:
    """One artifact image, layer by layer: its rare neurons, what is left of them, the image."""
    layers = list(found.maps)
    original = picture(found.original, f"latent {index}")
    rows: list[tuple[str, list[Panel | None]]] = [
        ("LR neurons", [original, *(heat(found.maps[n], "low", n) for n in layers)]),
        (
            "after ablating\nearlier layers",
            [None, *(heat(found.maps_after[n]) for n in layers)],
        ),
        ("the image then", [None, *(picture(found.images_after[n]) for n in layers)]),
    ]
    numbers: figures.Numbers = {"index": np.array(index)}
    numbers["original"] = images.to_uint8(found.original).numpy()
    for name in layers:
        numbers[f"{name}/map"] = found.maps[name].numpy()
        numbers[f"{name}/map_after"] = found.maps_after[name].numpy()
        numbers[f"{name}/image_after"] = images.to_uint8(found.images_after[name]).numpy()
    caption = (
        f"Rarely activated neurons (R = {rate:g}) of latent {index} by layer; the same, and the "
        "image, when they are ablated in the layers before it among those shown"
    )
    return Drawing(panel_figure(rows), numbers, caption)
