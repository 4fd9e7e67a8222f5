"""Histograms of rho, the share of PN that each channel of a PIN generator chose.

Tan, Wen, Yang: "Systematic Analysis and Removal of Circular Artifacts for StyleGAN", figure 15: 0
is instance normalization alone, 1 pixel normalization alone.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ganlab.networks.base import Generator
from ganlab.nn.norm import PixelInstanceNorm
from ganlab.report.drawings import Drawing
from ganlab.report.figures import PALETTE, Numbers, house_style, label, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS_IN_A_ROW = 3


def rho_by_layer(generator: Generator) -> dict[str, Tensor]:
    """`8x8/0` -> (C,) rho on the CPU, to the present level; empty where no norm has a rho."""
    return {
        name.removesuffix("/norm"): module.rho.detach().cpu()
        for name, module in generator.points.items()
        if isinstance(module, PixelInstanceNorm)
    }


def rho_by_resolution(generator: Generator) -> dict[str, Tensor]:
    """`8x8` -> rho of all channels of that resolution, to the present level; empty without any."""
    found: dict[str, list[Tensor]] = {}
    for name, rho in rho_by_layer(generator).items():
        found.setdefault(name.partition("/")[0], []).append(rho)
    return {size: torch.cat(each) for size, each in found.items()}


def rho_drawing(
    rho: Mapping[str, Tensor],  # panel -> values in [0, 1]
    bins: int = 20,
    unit: str = "resolution",  # what a panel is
) -> Drawing:
    """One panel an entry; the numbers are the histograms and, as `<panel>/rho`, every value."""
    values = {name: each.numpy() for name, each in rho.items()}
    figure, numbers = histogram(values, bins)
    numbers |= {f"{name}/rho": each for name, each in values.items()}
    return Drawing(figure, numbers, f"rho of every channel, by {unit}")


def histogram(
    values: Mapping[str, ArrayLike],  # panel (a layer's name) -> any number of values in [0, 1]
    bins: int = 20,
) -> "tuple[Figure, Numbers]":
    """One panel per layer: the share of channels per bin, and the share at exactly 0.

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
            axes.set(xlim=(0, 1), xlabel="rho: 0 = IN, 1 = PN")
            axes.set_ylabel("" if place % columns else "share of channels")
            numbers |= {f"{name}/share": share, f"{name}/dead": dead}
    return figure, numbers
