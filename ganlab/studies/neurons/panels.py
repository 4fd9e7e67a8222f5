"""Rows of pictures and heat maps under common colour scales: what the neuron figures are made of.

Rarely activated neurons are red and often activated ones blue, as in Choi et al. 2022; both run
from white to dark, so that a grey print shows the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ganlab.report import figures, images

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

CELL = 1.05  # inches, height and width of a panel
MARGIN = 1.1  # inches for captions of rows
SCALES = {"low": ("Reds", "LR"), "high": ("Blues", "HR")}  # kind of map -> colours, what it shows


@dataclass(frozen=True, eq=False)
class Panel:
    """One cell: a picture, or a map of shares in [0, 1]."""

    values: NDArray[Any]  # (H, W, 3) uint8, or (H, W) float
    kind: str = "image"  # image, low or high
    title: str = ""  # above it


def picture(image: Tensor, title: str = "") -> Panel:
    """A (1 or 3, H, W) image in [-1, 1] as a panel."""
    return Panel(images.cells(image[None])[0], "image", title)


def heat(shares: Tensor, kind: str = "low", title: str = "") -> Panel:
    """An (H, W) map of shares as a panel; `kind` low or high."""
    return Panel(shares.double().numpy(), kind, title)


Rows = Sequence[tuple[str, Sequence[Panel | None]]]  # caption and cells; None = an empty cell


def panel_figure(rows: Rows) -> "Figure":
    """Captioned rows of panels, top to bottom; maps of one kind share a scale from 0 to their top.

    Raises:
        ValueError: no panel at all.
    """
    if not any(panels for _, panels in rows):
        raise ValueError("a figure needs at least one panel")
    columns = max(len(panels) for _, panels in rows)
    kinds = {panel.kind for panel in shown_panels(rows)} & set(SCALES)
    titled = sum(any(panel and panel.title for panel in panels) for _, panels in rows)
    height = 0.1 + (CELL + 0.04) * len(rows) + 0.14 * titled
    with figures.styled():
        figure, (spare,) = figures.new_figure(MARGIN + CELL * columns + 0.75 * len(kinds), height)
        spare.remove()
        draw_rows(figure, rows)
    return figure


def shown_panels(rows: Rows) -> list[Panel]:
    """Every cell that is not empty."""
    return [panel for _, panels in rows for panel in panels if panel is not None]


def draw_rows(figure: "Figure | SubFigure", rows: Rows) -> None:
    """Draw captioned rows into an empty figure; call inside `figures.styled()`."""
    columns = max(len(panels) for _, panels in rows)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    tops = top_values(shown_panels(rows))
    shown: dict[str, Any] = {}
    for (caption, panels), line in zip(rows, grid, strict=True):
        for panel, axes in zip_longest(panels, line):
            drawn = draw_panel(axes, panel, tops)
            if panel is not None:
                shown.setdefault(panel.kind, drawn)
        line[0].set_ylabel(caption, rotation=0, ha="right", va="center", labelpad=6)
    for kind, drawn in shown.items():
        if kind in SCALES:
            text = f"share of channels, {SCALES[kind][1]} and activated"
            bar = figure.colorbar(drawn, ax=list(grid.flat), shrink=0.8, pad=0.01, aspect=30)
            bar.set_label(text, fontsize=7)
            bar.ax.tick_params(labelsize=7)


def draw_panel(axes: "Axes", panel: Panel | None, tops: Mapping[str, float]) -> Any:
    """One panel without ticks; returns what a colour bar can be made of."""
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set(visible=panel is not None, linewidth=0.4)
    if panel is None:
        return None
    axes.set_title(panel.title, loc="center", fontsize=7.5, fontweight="normal", pad=2)
    if panel.kind == "image":
        return axes.imshow(panel.values, interpolation="nearest")
    colours = SCALES[panel.kind][0]
    top = tops[panel.kind]
    return axes.imshow(panel.values, cmap=colours, vmin=0, vmax=top, interpolation="nearest")


def top_values(panels: Sequence[Panel]) -> dict[str, float]:
    """Kind of map -> the largest share any of them shows: the top of its common scale."""
    tops: dict[str, float] = {}
    for panel in panels:
        if panel.kind != "image":
            largest = float(np.max(panel.values, initial=0.0))
            tops[panel.kind] = max(tops.get(panel.kind, 1e-3), largest)
    return tops
