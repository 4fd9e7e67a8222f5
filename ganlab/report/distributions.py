"""Histograms per layer, in the house style of `figures`."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ganlab.report.figures import PALETTE, Numbers, house_style, label, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS_IN_A_ROW = 3


def histogram(
    values: Mapping[str, ArrayLike],  # panel (a layer's name) -> any number of values in [0, 1]
    bins: int = 40,
    xlabel: str = "activation rate",
    ylabel: str = "share of neurons",
) -> "tuple[Figure, Numbers]":
    """One panel per layer: the share of neurons per bin, and the share at exactly 0.

    Returns the figure with `edges`, `<layer>/share` (bins,) and `<layer>/dead`. Raises ValueError
    for an empty layer or values outside [0, 1].
    """
    if not values:
        raise ValueError("histogram needs at least one layer")
    edges = np.linspace(0, 1, bins + 1)
    columns = min(PANELS_IN_A_ROW, len(values))
    numbers: Numbers = {"edges": edges}
    with house_style():
        size = (2.5 * columns, 2.05 * math.ceil(len(values) / columns))
        figure, panels = new_figure(*size, panels=len(values), columns=columns)
        for place, (axes, (name, sample)) in enumerate(zip(panels, values.items(), strict=True)):
            each = np.asarray(sample, dtype=np.float64)
            if not each.size or each.min() < 0 or not each.max() <= 1:
                raise ValueError(f"{name}: histogram needs values in [0, 1]")
            share, dead = np.histogram(each, edges)[0] / each.size, np.asarray(np.mean(each == 0))
            axes.bar(edges[:-1], share, np.diff(edges), align="edge", color=PALETTE[0])
            axes.set_title(label(name), pad=15)
            axes.text(0, 1.03, f"= 0: {dead:.1%}", transform=axes.transAxes, fontsize=6.5)
            axes.set(xlim=(0, 1), xlabel=xlabel, ylabel=ylabel if place % columns == 0 else "")
            numbers |= {f"{name}/share": share, f"{name}/dead": dead}
    return figure, numbers
