"""The curves of `metrics.csv` as vector drawings that take their colours from the page."""

import csv
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganlab.report.figures import FAINT, INK, PALETTE, Series, curves, house_style
from ganlab.report.markup import html_text
from ganlab.storage import irregularity

CLOCK = "images_seen"
HIGHEST = 1e100  # of what is drawn, far above 32 bits; axes overflow on the way to those of 64
_FORECASTS = {"seconds_left"}  # true at its moment only: of no use as a curve
_PACE = {"images_per_second"}
_SHARES = {"sign"}  # values in [0, 1], read as such
_TITLES = {
    "loss": "Losses",
    "sign": "Sign rate of the discriminator",
    "grad_norm": "Gradient norms",
    "health": "Health of the fakes",
    "logit": "Mean logits of the discriminator",
    "overfitting": "Overfitting: held-out images are judged as those of training (0) or fakes (1)",
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
    """Read `metrics.csv`: cells that hold no number become NaN, unreadable rows are counted.

    Raises OSError where the file cannot be read, ValueError where it has no `images_seen` column.
    """
    if (kind := irregularity(path)) is not None:
        raise ValueError(f"{path.name} is {kind}")
    text = path.read_text(encoding="utf-8", errors="replace").replace("\0", "")
    try:
        header, *rows = list(csv.reader(io.StringIO(text))) or [[]]
    except csv.Error as error:
        raise ValueError(f"{path.name} is no table ({error})") from error
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
        value = float(cell)
    except ValueError:
        return math.nan
    return value if abs(value) <= HIGHEST else math.nan


def draw(found: Curves, prefix: str = "chart") -> list[Chart]:
    """One chart per group of columns (what stands before the slash), in the order of the file.

    How fast it went comes last.

    `prefix` begins the element ids, which must differ between the charts of one page.
    """
    groups: dict[str, dict[str, NDArray[np.float64]]] = {}
    for column, values in found.columns.items():
        if np.isfinite(values).any() and column not in _FORECASTS:
            group, _, name = column.partition("/")
            groups.setdefault(group, {})[name or group] = values
    charts = enumerate(sorted(groups.items(), key=lambda each: each[0] in _PACE))
    return [_chart(f"{prefix}-{i}", group, found, series) for i, (group, series) in charts]


def _chart(
    identity: str, group: str, found: Curves, columns: dict[str, NDArray[np.float64]]
) -> Chart:
    kimg = found.images_seen / 1000
    series = {n: (kimg[np.isfinite(v)], v[np.isfinite(v)]) for n, v in columns.items()}
    title = _TITLES.get(group, group)
    last = max(x[-1] for x, _ in series.values())
    summary = f"{title} up to {last:g} kimg: {_ends(series)}"
    log = False if group in _SHARES else None
    return Chart(title, _svg(identity, series, summary, log), summary)


def overlay(identity: str, title: str, series: Series) -> Chart:
    """One chart of several runs: name -> (kimg, values), finite points only."""
    summary = f"{title} of {len(series)} runs: {_ends(series)}"
    return Chart(title, _svg(identity, series, summary, None), summary)


def _ends(series: Series) -> str:
    return ", ".join(f"{name} ends at {np.asarray(y)[-1]:.4g}" for name, (_, y) in series.items())


def _svg(identity: str, series: Series, summary: str, log: bool | None) -> str:
    figure, _ = curves(series, log=log)
    data = io.StringIO()
    with house_style():
        figure.set_facecolor("none")
        figure.axes[0].set_facecolor("none")
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(data, format="svg", metadata=nothing)
    return _inlined(data.getvalue(), identity, summary)


def _inlined(document: str, identity: str, summary: str) -> str:
    """Turn matplotlib's SVG file into an element of the page, in the page's colours."""
    drawing = document[document.index("<svg") :]
    drawing = re.sub(r"<style.*?</style>|<metadata.*?</metadata>", "", drawing, flags=re.DOTALL)
    box = re.search(r'viewBox="[\d. -]+"', drawing)
    body = drawing[drawing.index(">") + 1 :].replace('id="', f'id="{identity}-')
    body = re.sub(r'(href="|url\()#', rf"\1#{identity}-", body)
    for index, colour in enumerate((INK, FAINT, *PALETTE)):
        body = body.replace(colour, f"var(--chart-{index})")
    label = html_text(summary)
    return f'<svg class="chart" {box[0] if box else ""} role="img" aria-label="{label}">{body}'
