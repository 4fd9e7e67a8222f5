"""Rows of images and signed maps with marks on them: what the figures of artifacts are made of.

A ring is where the artifact is, a box the pixel of a map that belongs to it. Maps run from dark
blue (most negative) over grey (0) to yellow (most positive), each on a scale of its own: signs are
told apart by colour-blind readers and in a grey print.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ganlab.report import figures, images

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELL, CAPTION = 1.15, 1.25  # inches: side of a cell, column of captions
RING = 0.09  # radius, as a share of the side
COLOURS = "cividis"


@dataclass(frozen=True, eq=False)
class Cell:
    """One picture or map, its title, and what is marked on it."""

    values: NDArray[Any]  # (H, W, 3) uint8, or (H, W) float
    title: str = ""
    ring: tuple[float, float] | None = None  # y, x as shares of the sides
    box: tuple[float, float, float] | None = None  # middle y, x and side, as shares

    def marked(
        self, ring: Tensor | None = None, box: Tensor | None = None, cells: int = 1
    ) -> "Cell":
        """The same with a ring at a place and a box around one of `cells` x `cells` pixels."""
        y_x = None if ring is None else (float(ring[0]), float(ring[1]))
        boxed = None if box is None else (float(box[0]), float(box[1]), 1 / cells)
        return replace(self, ring=y_x, box=boxed)


Rows = Sequence[tuple[str, Sequence[Cell | None]]]  # caption and cells; None = left empty


def picture(image: Tensor, title: str = "") -> Cell:
    """A (1 or 3, H, W) image in [-1, 1]."""
    return Cell(images.cells(image[None])[0], title)


def signed_map(values: Tensor, title: str = "") -> Cell:
    """An (H, W) map."""
    return Cell(values.double().numpy(), title)


def drawn_cells(rows: Rows) -> "Figure":
    """Captioned rows of cells, top to bottom.

    Raises:
        ValueError: not one cell.
    """
    columns = max((len(cells) for _, cells in rows), default=0)
    if not columns:
        raise ValueError("a figure needs at least one cell")
    titles = sum(any(cell and cell.title for cell in cells) for _, cells in rows)
    with figures.styled():
        size = (CAPTION + CELL * columns, 0.1 + (CELL + 0.04) * len(rows) + 0.16 * titles)
        figure, axes = figures.new_figure(*size, panels=len(rows) * columns, columns=columns)
        for row, (caption, cells) in enumerate(rows):
            line = axes[row * columns : (row + 1) * columns]
            for cell, place in zip_longest(cells, line):
                draw_cell(place, cell)
            line[0].set_ylabel(caption, rotation=0, ha="right", va="center", labelpad=6)
    return figure


def draw_cell(axes: "Axes", cell: Cell | None) -> None:
    """One cell with its marks, without ticks."""
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set(visible=cell is not None, linewidth=0.4)
    if cell is None:
        return
    axes.set_title(cell.title, loc="center", fontsize=7, fontweight="normal", pad=2)
    height, width = cell.values.shape[:2]
    scale: dict[str, Any] = {}
    if cell.values.ndim == 2:
        top = max(float(np.abs(cell.values).max()), 1e-12)
        scale = {"cmap": COLOURS, "vmin": -top, "vmax": top}
    axes.imshow(cell.values, interpolation="nearest", extent=(0, width, height, 0), **scale)
    for patch in marks(cell, height, width):
        axes.add_patch(patch)
    axes.set(xlim=(0, width), ylim=(height, 0))


def marks(cell: Cell, height: int, width: int) -> list[Any]:
    """A ring and a box in data coordinates, each drawn white under its colour."""
    from matplotlib.patches import Ellipse, Rectangle

    found: list[Any] = []
    strokes = (("white", 2.4), (figures.PALETTE[1], 1.2))
    for colour, line in strokes:
        look: dict[str, Any] = {"fill": False, "edgecolor": colour, "linewidth": line}
        if cell.ring is not None:
            y, x = cell.ring
            size = (2 * RING * width, 2 * RING * height)
            found.append(Ellipse((x * width, y * height), *size, **look))
        if cell.box is not None:
            y, x, side = cell.box
            corner = ((x - side / 2) * width, (y - side / 2) * height)
            found.append(Rectangle(corner, side * width, side * height, **look))
    return found
