"""The curves of `metrics.csv` as vector drawings that take their colours from the page."""

import csv
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganlab.report.figures import FAINT, INK, PALETTE, Series, curves, styled
from ganlab.report.markup import html_text

CLOCK = "images_seen"
_TITLES = {
    "loss": "Losses",
    "sign": "Sign rate of the discriminator",
    "grad_norm": "Gradient norms",
    "fake": "Health of the fakes",
    "penalty": "Penalties",
    "images_per_second": "Images per second",
}


@dataclass(frozen=True)
class Curves:
    """What `metrics.csv` holds: one vector per column, NaN where a row has no value."""

    images_seen: NDArray[np.float64]  # (rows,), ascending
    columns: dict[str, NDArray[np.float64]]  # name -> (rows,), as `loss/generator`
    skipped: int = 0  # rows that could not be read, as the last one of a killed run


@dataclass(frozen=True)
class Chart:
    """One drawing of the page."""

    title: str
    svg: str  # safe markup
    summary: str  # what a reader who cannot see it is told


def read_curves(path: Path) -> Curves:
    """Read `metrics.csv`; cells that are empty or no number become NaN, unreadable rows are counted.

    Raises OSError where the file cannot be read, ValueError where it has no `images_seen` column.
    """
    text = path.read_text(encoding="utf-8", errors="replace").replace("\0", "")
    header, *rows = csv.reader(io.StringIO(text), strict=False) or [[]]
    if CLOCK not in header:
        raise ValueError(f"{path.name} has no {CLOCK} column")
    values = [[_number(cell) for cell in row] for row in rows if row]
    clock = header.index(CLOCK)
    whole = [v for v in values if len(v) == len(header) and math.isfinite(v[clock])]
    table = np.array(sorted(whole, key=lambda v: v[clock])).reshape(len(whole), len(header))
    columns = {name: table[:, i] for i, name in enumerate(header) if i != clock and name}
    return Curves(table[:, clock], columns, skipped=len(values) - len(whole))


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def draw(found: Curves) -> list[Chart]:
    """One chart per group of columns (what stands before the slash), in the order of the file."""
    groups: dict[str, dict[str, NDArray[np.float64]]] = {}
    for column, values in found.columns.items():
        if np.isfinite(values).any():
            group, _, name = column.rpartition("/")
            groups.setdefault(group or column, {})[name] = values
    return [_chart(group, found.images_seen, series) for group, series in groups.items()]


def _chart(
    group: str, seen: NDArray[np.float64], columns: dict[str, NDArray[np.float64]]
) -> Chart:
    present = {name: np.isfinite(values) for name, values in columns.items()}
    series = {n: (seen[present[n]] / 1000, values[present[n]]) for n, values in columns.items()}
    ends = ", ".join(f"{name} ends at {y[-1]:.4g}" for name, (_, y) in series.items())
    title = _TITLES.get(group, group)
    last = max(x[-1] for x, _ in series.values())
    return Chart(title, _svg(series, title), f"{title} up to {last:g} kimg: {ends}")


def _svg(series: Series, title: str) -> str:
    figure, _ = curves(series)
    data = io.StringIO()
    with styled():
        figure.set_facecolor("none")
        figure.axes[0].set_facecolor("none")
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(data, format="svg", metadata=nothing)
    return _inlined(data.getvalue(), title)


def _inlined(document: str, title: str) -> str:
    """Turn matplotlib's SVG file into an element of the page, in the page's colours."""
    drawing = document[document.index("<svg") :]
    drawing = re.sub(r"<style.*?</style>|<metadata.*?</metadata>", "", drawing, flags=re.DOTALL)
    box = re.search(r'viewBox="[\d. -]+"', drawing)
    name = re.sub(r"\W+", "-", title)
    body = drawing[drawing.index(">") + 1 :].replace('id="', f'id="{name}-')
    body = re.sub(r'(href="|url\()#', rf"\1#{name}-", body)
    for index, colour in enumerate((INK, FAINT, *PALETTE)):
        body = body.replace(colour, f"var(--chart-{index})")
    label = html_text(title)
    return f'<svg class="chart" {box[0] if box else ""} role="img" aria-label="{label}">{body}'
