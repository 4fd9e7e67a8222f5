"""Histograms per layer and grouped bars, in the house style of `figures`."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ganlab.report.figures import FAINT, INK, PALETTE, Numbers, label, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS_IN_A_ROW = 3


def histogram(
    values: Mapping[str, ArrayLike],  # panel (a layer's name) -> any number of values
    bins: int = 40,
    limits: tuple[float, float] = (0.0, 1.0),  # x-range; rates are in [0, 1]
    low: float | None = None,  # LR threshold: neurons with rate <= low (paper 000, section 3)
    high: float | None = None,  # HR threshold: neurons with rate > high
    xlabel: str = "activation rate",
    ylabel: str = "share of neurons",
) -> "tuple[Figure, Numbers]":
    """One panel per layer: the share of neurons per bin, both thresholds, and the shares they cut.

    Each panel states the share at exactly 0 (dead), at most `low` (the dead included) and above
    `high`. Returns the figure with `edges`, `<layer>/share` (bins,) and `<layer>/dead|low|high`.
    Raises ValueError for an empty layer or values outside `limits`.
    """
    if not values:
        raise ValueError("histogram needs at least one layer")
    edges = np.linspace(*limits, bins + 1)
    columns = min(PANELS_IN_A_ROW, len(values))
    numbers: Numbers = {"edges": edges}
    with styled():
        size = (2.5 * columns, 2.05 * math.ceil(len(values) / columns))
        figure, panels = new_figure(*size, panels=len(values), columns=columns)
        for place, (axes, (name, sample)) in enumerate(zip(panels, values.items(), strict=True)):
            found = _shares(name, np.asarray(sample, dtype=np.float64).ravel(), edges, low, high)
            _draw_panel(axes, name, edges, found, {"low": low, "high": high})
            axes.set(xlim=limits, xlabel=xlabel, ylabel=ylabel if place % columns == 0 else "")
            numbers |= {f"{name}/{key}": value for key, value in found.items()}
    return figure, numbers


def _shares(
    name: str, sample: NDArray[Any], edges: NDArray[Any], low: float | None, high: float | None
) -> Numbers:
    if not sample.size or sample.min() < edges[0] or not sample.max() <= edges[-1]:
        raise ValueError(f"{name}: histogram needs values in [{edges[0]:g}, {edges[-1]:g}]")
    shares: Numbers = {"share": np.histogram(sample, edges)[0] / sample.size}
    shares["dead"] = np.asarray(np.mean(sample == 0))
    if low is not None:
        shares["low"] = np.asarray(np.mean(sample <= low))
    if high is not None:
        shares["high"] = np.asarray(np.mean(sample > high))
    return shares


def _draw_panel(
    axes: "Axes", name: str, edges: NDArray[Any], found: Numbers, lines: dict[str, float | None]
) -> None:
    axes.bar(edges[:-1], found["share"], np.diff(edges), align="edge", color=PALETTE[0])
    said = [f"= 0: {found['dead']:.1%}"]
    for key, sign, dashes in (("low", "≤", "--"), ("high", ">", ":")):
        threshold = lines[key]
        if threshold is not None:
            axes.axvline(threshold, color=PALETTE[1], linestyle=dashes, linewidth=1)
            said.append(f"{sign} {threshold:g}: {found[key]:.1%}")
    axes.set_title(label(name), pad=15)
    axes.text(0, 1.03, "   ".join(said), transform=axes.transAxes, fontsize=6.5)


def bars(
    groups: Mapping[str, Mapping[str, float]],  # group on the x-axis -> series -> height
    ylabel: str = "",
    title: str = "",
    reference: tuple[str, float] | None = None,  # a named level as a dashed line, e.g. no ablation
    size: tuple[float, float] | None = None,  # inches; None = by the number of bars
) -> "tuple[Figure, Numbers]":
    """Grouped bars, one colour a series, each with its value on top while there is room.

    A series that a group lacks leaves a gap. Returns the figure and `<series>` (groups,) with NaN
    in the gaps, plus `reference`. Raises ValueError where there is nothing to draw.
    """
    series = list(dict.fromkeys(name for group in groups.values() for name in group))
    if not series:
        raise ValueError("bars needs at least one group with one value")
    heights = {n: np.array([g.get(n, np.nan) for g in groups.values()], float) for n in series}
    count = len(groups) * len(series)
    with styled():
        figure, (axes,) = new_figure(*(size or (max(3.2, min(8.0, 1.2 + 0.42 * count)), 2.7)))
        for index, name in enumerate(series):
            _draw_bars(axes, index, len(series), name, heights[name], values_shown=count <= 18)
        axes.set_xticks(range(len(groups)), [label(group) for group in groups])
        axes.set(ylabel=ylabel, title=title)
        axes.grid(visible=False, axis="x")
        if reference is not None:
            axes.axhline(reference[1], color=INK, linestyle="--", linewidth=1, label=reference[0])
        if len(series) > 1 or reference is not None:
            figure.legend(ncols=min(5, len(series) + 1), loc="outside lower center")
    return figure, heights | ({} if reference is None else {"reference": np.array(reference[1])})


def _draw_bars(
    axes: "Axes", index: int, count: int, name: str, heights: NDArray[Any], values_shown: bool
) -> None:
    width = 0.8 / count
    places = np.arange(len(heights)) + (index - (count - 1) / 2) * width
    drawn = axes.bar(
        places,
        heights,
        width * 0.94,
        color=PALETTE[index % len(PALETTE)],
        edgecolor=FAINT,
        linewidth=0.3,
        label=label(name),
    )
    if values_shown:
        axes.bar_label(
            drawn, fmt=lambda v: "" if np.isnan(v) else f"{v:.3g}", fontsize=6.5, padding=1
        )
