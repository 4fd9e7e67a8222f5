"""Activation rates as a table and as histograms, one row and one panel a layer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ganlab.report import figures
from ganlab.report.tables import Table
from ganlab.studies.rates import Rates

BINS = 50  # of the histograms over [0, 1]


def shares(rates: Tensor, rate: float) -> dict[str, float]:
    """Shares of a layer's neurons that are dead, low-rate (alive) and high-rate; they sum to 1."""
    dead, high = (rates == 0).double().mean(), (rates > rate).double().mean()
    return {"dead": float(dead), "LR": float(1 - dead - high), "HR": float(high)}


def rate_table(rates: Mapping[str, Tensor], rate: float) -> Table:
    """One row per layer, as the authors' measurements are given: shares of neurons by rate."""
    lows = dict.fromkeys([rate, 0.1])
    rows = []
    for name, values in rates.items():
        row: dict[str, Any] = {"layer": name, "neurons": values.numel()}
        row["mean rate"] = float(values.mean())
        row["rate = 0"] = float((values == 0).double().mean())
        for low in lows:
            row[f"0 < rate ≤ {low:g}"] = float(((values > 0) & (values <= low)).double().mean())
        row["rate ≥ 0.9"] = float((values >= 0.9).double().mean())
        rows.append(row)
    return Table(list(rows[0]), rows, caption="Activation rates of the neurons of each layer")


def histograms(rates: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Share of each layer's neurons per bin of the rate, and the bins' edges."""
    edges = np.linspace(0, 1, BINS + 1)
    numbers = {"edges": edges}
    for name, values in rates.items():
        counts, _ = np.histogram(values.numpy(), edges)
        numbers[f"share {name}"] = counts / values.numel()
    return numbers


def draw_histograms(rates: Mapping[str, Tensor], rate: float, path: Path) -> None:
    """One histogram of rates per layer, split at `rate`; writes the numbers beside the picture."""
    import matplotlib.pyplot as plt

    from ganlab.report import figures

    numbers = histograms(rates)
    edges = numbers["edges"]
    columns = min(len(rates), 4)
    rows = -(-len(rates) // columns)
    with figures.styled():
        figure, axes = plt.subplots(
            rows, columns, figsize=(2.9 * columns, 2.4 * rows), squeeze=False, sharex=True
        )
        for axis, name in zip(axes.flat, rates, strict=False):
            draw_layer(axis, edges, numbers[f"share {name}"], rates[name], rate)
            axis.set_title(name)
        for axis in axes.flat[len(rates) :]:
            axis.set_visible(False)
        for axis in axes[:, 0]:
            axis.set_ylabel("share of neurons")
        for axis in axes[-1]:
            axis.set_xlabel("activation rate")
        figures.save(figure, path, numbers)


def draw_layer(
    axis: Any, edges: np.ndarray, heights: np.ndarray, rates: Tensor, rate: float
) -> None:
    """The bars of one layer: LR, HR, and the dead ones on top of the first bin."""
    part = shares(rates, rate)
    low = edges[:-1] < rate
    width = np.diff(edges)
    alive = heights.copy()
    alive[0] -= part["dead"]
    axis.bar(edges[:-1][low], alive[low], width[low], align="edge", label=f"LR {part['LR']:.0%}")
    axis.bar(edges[:-1][~low], alive[~low], width[~low], align="edge", label=f"HR {part['HR']:.0%}")
    axis.bar(
        edges[0],
        part["dead"],
        width[0],
        bottom=alive[0],
        align="edge",
        label=f"dead {part['dead']:.0%}",
    )
    axis.axvline(rate, color="0.4", linestyle=":", linewidth=1)
    axis.legend()


