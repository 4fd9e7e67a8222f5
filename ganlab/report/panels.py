"""Rows of pictures and maps, marked where something is to be seen: what most figures are made of.

    figure = panel_figure([("before", [picture(image), heat(shares)]), ("after", [None, ...])])

Maps of shares run from white to red (rarely activated neurons) or blue (often activated ones), as
in Choi et al. 2022, each kind on one scale. Signed maps run from dark blue (most negative) over
grey (0) to yellow (most positive), each on its own scale. A grey print and colour-blind readers
tell all of them apart. A ring is where something is, a box a pixel of a coarser map.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ganlab.report import figures, images

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

SCALES = {"low": ("Reds", "LR"), "high": ("Blues", "HR")}  # kind of map -> colours, what it shows
SIGNED = "cividis"
RING = 0.09  # radius, as a share of the side


@dataclass(frozen=True)
class Layout:
    """How large things are."""

    cell: float = 1.05  # inches, height and width of a panel
    margin: float = 1.1  # inches, for captions of rows
    title: float = 7.5  # points
    title_room: float = 0.14  # inches, of a row with titles


PLAIN, MARKED = Layout(), Layout(1.15, 1.25, 7, 0.16)  # marks want larger pictures


@dataclass(frozen=True, eq=False)
class Panel:
    """One cell: a picture or a map, its title, and what is marked on it."""

    values: NDArray[Any]  # (H, W, 3) uint8, or (H, W) float
    kind: str = "image"  # image, low, high or signed
    title: str = ""  # above it
    ring: tuple[float, float] | None = None  # y, x as shares of the sides
    box: tuple[float, float, float] | None = None  # middle y, x and side, as shares

    def marked(
        self, ring: Tensor | None = None, box: Tensor | None = None, cells: int = 1
    ) -> "Panel":
        """The same with a ring at a place and a box around one of `cells` x `cells` pixels."""
        y_x = None if ring is None else (float(ring[0]), float(ring[1]))
        boxed = None if box is None else (float(box[0]), float(box[1]), 1 / cells)
        return replace(self, ring=y_x, box=boxed)


Row = tuple[str, Sequence[Panel | None]]  # caption and cells; None = an empty cell


def picture(image: Tensor, title: str = "") -> Panel:
    """A (1 or 3, H, W) image in [-1, 1] as a panel."""
    return Panel(images.cells(image[None])[0], "image", title)


def pictures(batch: Iterable[Tensor], titles: Iterable[object] | None = None) -> list[Panel]:
    """A panel for each image of (N, 1 or 3, H, W), with as many titles if any."""
    if titles is None:
        return [picture(image) for image in batch]
    return [picture(image, str(title)) for image, title in zip(batch, titles, strict=True)]


def heat(shares: Tensor, kind: str = "low", title: str = "") -> Panel:
    """An (H, W) map of shares as a panel; `kind` low or high."""
    return Panel(shares.double().numpy(), kind, title)


def signed_map(values: Tensor, title: str = "") -> Panel:
    """An (H, W) map of positive and negative values as a panel."""
    return Panel(values.double().numpy(), "signed", title)


def heat_over(
    pixels: images.Pixels,  # (H, W, 3)
    shares: Tensor,  # (h, w) in [0, 1]
    kind: str = "low",  # or high
    top: float = 1.0,  # the share that has the darkest colour
) -> images.Pixels:
    """A map of shares over a picture in grey, each cell on its part; at 0 the picture alone."""
    from matplotlib import colormaps

    size = zip(pixels.shape[:2], shares.shape, strict=True)
    rows, columns = ((np.arange(n) * m) // n for n, m in size)
    scaled = (shares.double().numpy()[rows][:, columns] / max(top, 1e-3)).clip(0, 1)
    colour = 255 * colormaps[SCALES[kind][0]](scaled)[..., :3]
    opacity = 0.8 * np.sqrt(scaled)[..., None]  # faint shares show
    mixed = opacity * colour + (1 - opacity) * pixels.mean(-1, keepdims=True)
    found: images.Pixels = np.rint(mixed).astype(np.uint8)
    return found


def wrap_rows(panels: Sequence[Panel], columns: int) -> list[Row]:
    """Rows of at most so many, without captions."""
    return [("", panels[start : start + columns]) for start in range(0, len(panels), columns)]


def panel_figure(rows: Sequence[Row], layout: Layout = PLAIN) -> "Figure":
    """Captioned rows of panels, top to bottom; maps of one kind share a scale from 0 to their top.

    Raises:
        ValueError: no panel at all.
    """
    columns = max((len(panels) for _, panels in rows), default=0)
    if not columns:
        raise ValueError("a figure needs at least one panel")
    bars = {panel.kind for panel in shown_panels(rows)} & set(SCALES)
    titled = sum(any(panel and panel.title for panel in panels) for _, panels in rows)
    width = layout.margin + layout.cell * columns + 0.75 * len(bars)
    height = 0.1 + (layout.cell + 0.04) * len(rows) + layout.title_room * titled
    with figures.house_style():
        figure, (spare,) = figures.new_figure(width, height)
        spare.remove()
        draw_rows(figure, rows, layout)
    return figure


def shown_panels(rows: Sequence[Row]) -> list[Panel]:
    """Every cell that is not empty."""
    return [panel for _, panels in rows for panel in panels if panel is not None]


def draw_rows(figure: "Figure | SubFigure", rows: Sequence[Row], layout: Layout = PLAIN) -> None:
    """Draw captioned rows into an empty figure; call inside `figures.house_style()`."""
    grid = figure.subplots(len(rows), max(len(panels) for _, panels in rows), squeeze=False)
    tops = top_values(shown_panels(rows))
    drawn: dict[str, Any] = {}
    for (caption, panels), line in zip(rows, grid, strict=True):
        for panel, axes in zip_longest(panels, line):
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            for spine in axes.spines.values():
                spine.set(visible=panel is not None, linewidth=0.4)
            if panel is not None:
                look = {"loc": "center", "fontsize": layout.title, "fontweight": "normal"}
                axes.set_title(panel.title, pad=2, **look)
                drawn.setdefault(panel.kind, draw_panel(axes, panel, tops.get(panel.kind)))
        line[0].set_ylabel(caption, rotation=0, ha="right", va="center", labelpad=6)
    for kind in filter(SCALES.__contains__, drawn):
        bar = figure.colorbar(drawn[kind], ax=list(grid.flat), shrink=0.8, pad=0.01, aspect=30)
        bar.set_label(f"share of channels, {SCALES[kind][1]} and activated", fontsize=7)
        bar.ax.tick_params(labelsize=7)


def draw_panel(axes: "Axes", panel: Panel, top: float | None) -> Any:
    """One panel with its marks; returns what a colour bar can be made of."""
    scale: dict[str, Any] = {}
    if panel.kind == "signed":
        most = max(float(np.abs(panel.values).max()), 1e-12)
        scale = {"cmap": SIGNED, "vmin": -most, "vmax": most}
    elif panel.kind in SCALES:
        scale = {"cmap": SCALES[panel.kind][0], "vmin": 0, "vmax": top}
    height, width = panel.values.shape[:2]
    extent = (0, width, height, 0)
    drawn = axes.imshow(panel.values, interpolation="nearest", extent=extent, **scale)
    for mark in marks(panel, height, width):
        axes.add_patch(mark)
    return drawn


def top_values(panels: Sequence[Panel]) -> dict[str, float]:
    """Kind of map -> the largest share any of them shows: the top of its common scale."""
    tops: dict[str, float] = {}
    for panel in panels:
        if panel.kind in SCALES:
            largest = float(np.max(panel.values, initial=0.0))
            tops[panel.kind] = max(tops.get(panel.kind, 1e-3), largest)
    return tops


def marks(panel: Panel, height: int, width: int) -> list[Any]:
    """A ring and a box in data coordinates, each drawn white under its colour."""
    from matplotlib.patches import Ellipse, Rectangle

    found: list[Any] = []
    for colour, line in (("white", 2.4), (figures.PALETTE[1], 1.2)):
        look: dict[str, Any] = {"fill": False, "edgecolor": colour, "linewidth": line}
        if panel.ring is not None:
            y, x = panel.ring
            size = (2 * RING * width, 2 * RING * height)
            found.append(Ellipse((x * width, y * height), *size, **look))
        if panel.box is not None:
            y, x, side = panel.box
            corner = ((x - side / 2) * width, (y - side / 2) * height)
            found.append(Rectangle(corner, side * width, side * height, **look))
    return found


def draw_grid(
    axes: "Axes",
    batch: Tensor,  # (N, 1 or 3, H, W) in [-1, 1]
    title: str,
    colour: str | None = None,  # of the frame; None = without one
) -> None:
    """Many images as one picture, row by row."""
    axes.imshow(images.grid(batch), interpolation="nearest")
    axes.set(xticks=[], yticks=[], title=title)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set(visible=colour is not None, color=colour, linewidth=2.5)


def draw_stacked(
    axes: "Axes",
    edges: NDArray[Any],  # (bins + 1,)
    parts: Mapping[str, NDArray[Any]],  # in the legend -> (bins,), the lowest first
    looks: Sequence[tuple[str, str]],  # colour and hatch of each: told apart in grey print too
    room: float,  # of the height, for the legend
) -> None:
    """A histogram whose bars are split into parts."""
    base = np.zeros(len(edges) - 1)
    for (name, heights), (colour, hatch) in zip(parts.items(), looks, strict=True):
        look: dict[str, Any] = {"color": colour, "hatch": hatch, "edgecolor": "white"}
        look |= {"linewidth": 0, "label": name}
        axes.bar(edges[:-1], heights, np.diff(edges), base, align="edge", **look)
        base = base + heights
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, room * max(base.max(), 1e-9)))
