"""The table of grids as files and as `index.html`: a page to sort, with curves and thumbnails.

The page needs nothing but itself: no address is fetched, no script but its own runs.
"""

import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from ganlab.grid.cell import GridError, result_of
from ganlab.grid.dashboard import share
from ganlab.grid.facts import read_grid
from ganlab.grid.progress import TIMING, duration
from ganlab.grid.records import CellRecord, axes_of, collect
from ganlab.grid.settings import telling
from ganlab.grid.table import Choice, grid_table
from ganlab.report import charts, html, timeline
from ganlab.report.directions import way_of, ways_of
from ganlab.report.markup import html_page, picture_address
from ganlab.report.means import Difference, Mean
from ganlab.report.sections import heading
from ganlab.report.tables import Table
from ganlab.report.timeline import BROKEN
from ganlab.storage.atomic import replace_file
from ganlab.storage.pictures import open_picture

TEMPLATE = Path(__file__).parent / "template"
ARROWS = {"min": "↓", "max": "↑", None: ""}
NAME, STEM = "index.html", "table"
THUMBNAIL = 160  # pixels, the longer side
MOST_CURVES, MOST_CHARTS = 12, 8  # on one chart, on one page


def publish(
    directories: Sequence[Path],  # grids, cells or runs
    choice: Choice | None = None,  # over what the first grid says of its table
    into: Path | None = None,  # where the files go; None = the first directory
    shared: bool = False,  # show it on the dashboard of the cells too, if they have one
) -> str:
    """Write table.csv, .md, .tex and index.html of these grids from their files; what to print.

    Raises:
        GridError: no directory, one without cells, or a row, column or metric that is not there.
    """
    if not directories:
        raise GridError("name a grid: python -m ganlab table outputs/multirun/<name>")
    records = collect(directories)
    grids = [facts for each in directories if (facts := read_grid(Path(each)))]
    said, doubt = table_choice(grids[0].get("table") or {}) if grids else (Choice(), [])
    table = table_as_wished(records, choice or Choice(), said)
    table.notes += doubt
    own = len(directories) == 1 and records[0].directory != Path(directories[0]).absolute()
    stem = STEM if own else "merged"  # a run's own table is its study's
    into = Path(directories[0] if into is None else into)
    table.write(into, stem)
    plain_table = with_spreads(table)
    replace_file(into / f"{stem}.csv", plain_table.csv().encode("utf-8", "replace"))
    if shared:
        share(into, records, plain_table)
    title = " + ".join(Path(each).resolve().name for each in directories)
    page = into / (NAME if stem == STEM else f"{stem}.html")
    replace_file(
        page, page_of(records, table, title, grids, page.parent).encode("utf-8", "replace")
    )
    return f"{table.markdown()}\npage: {page.absolute()}"


def table_choice(settings: dict[str, Any]) -> tuple[Choice, list[str]]:
    """How a grid wants its table to look; what is wrong with its wish costs the wish alone."""
    try:
        return Choice.of(settings), []
    except GridError as error:
        return Choice(), [f"{error}: left out"]


def table_as_wished(records: Sequence[CellRecord], choice: Choice, wish: Choice) -> Table:
    """The table of a choice, and of a grid's wish where it is silent, unless no cell fits the wish.

    Raises:
        GridError: no cell fits the choice.
    """
    try:
        return grid_table(records, choice.over(wish))
    except GridError as error:
        table = grid_table(records, choice)
        table.notes.append(f"grid.table: {error}: left out")
        return table


def with_spreads(table: Table) -> Table:
    """The same table with deviations and intervals in columns of their own, for its CSV form."""
    columns: list[str] = []
    rows = [dict(row) for row in table.rows]
    for column in table.columns:
        columns.append(column)
        values = [row.get(column) for row in table.rows]
        beside = [each.beside if isinstance(each, Mean | Difference) else {} for each in values]
        names = list(dict.fromkeys(name for each in beside for name in each))
        columns += [f"{column} {name}" for name in names]
        for row, value, told in zip(rows, values, beside, strict=True):
            row |= {f"{column} {name}": told.get(name) for name in names}
            if names:
                row[column] = None if value is None else float(value)
    return Table(columns, rows, marks=table.marks)


def page_of(
    records: Sequence[CellRecord],
    table: Table,
    title: str,
    grids: Sequence[dict[str, Any]],  # what `grid.json` of each says
    home: Path,  # where the page stands, for its links
) -> str:
    """The page as text."""
    axes, labels = axes_of(records), labels_of(records)
    axes += telling(records, axes)
    scores = list(dict.fromkeys(s["metric"] for r in records for s in plain_scores(r)))
    ways = ways_of(s for r in records for s in plain_scores(r))
    return html_page(
        TEMPLATE / "index.html.j2",
        [html.TEMPLATE / "report.css"],
        title=title,
        commands=[str(grid["command"]) for grid in grids if grid.get("command")],
        counts=state_counts(records),
        table=table.html(),
        axes=axes,
        scores=[(name, ARROWS[way_of(name, ways)]) for name in scores],
        cells=[
            cell_facts(record, axes, scores, home) | {"name": labels[record.directory]}
            for record in records
        ],
        charts=overlaid(records),
    )


def state_counts(records: Sequence[CellRecord]) -> list[tuple[str, int]]:
    """How many cells are in which state."""
    states = [record.state for record in records]
    return [(state, states.count(state)) for state in dict.fromkeys(states)]


def plain_scores(record: CellRecord) -> list[Any]:
    """A cell's scores without those of an intervention."""
    inner = ("intervention", "ablation")
    return [s for s in record.scores if all(s.get(key, "none") == "none" for key in inner)]


def cell_facts(
    record: CellRecord, axes: Sequence[str], scores: Sequence[str], home: Path
) -> dict[str, Any]:
    """One row of the page's table of cells, without its name."""
    result = result_of(record.directory)
    found = {score["metric"]: float(score["value"]) for score in plain_scores(record)}
    seen, seconds = result.get("images_seen"), result.get("seconds")
    return {
        "state": record.state,
        "why": record.why or (f"diverged: {record.diverged}" if record.diverged else ""),
        "link": link_to(record.directory / "report.html", home),
        "values": ["" if record.value(axis) is None else str(record.value(axis)) for axis in axes],
        "scores": [(number(found.get(name)), found.get(name)) for name in scores],
        "kimg": (f"{seen / 1000:g}" if seen else "", seen),
        "time": (duration(seconds) if seconds else "", seconds),
        "picture": thumbnail(record.directory),
    }


def number(value: float | None) -> str:
    """A score on the page."""
    return "" if value is None else f"{value:.4g}"


def link_to(path: Path, home: Path) -> str:
    """A relative address where there is something to open; it survives a move of the whole grid."""
    if not path.is_file():
        return ""
    with suppress(ValueError):
        return quote(path.resolve().relative_to(home.resolve()).as_posix())
    return path.resolve().as_uri()


def _moment(path: Path) -> int:
    """Images seen by a grid's time, -1 where a file does not say or is no picture."""
    with suppress(*BROKEN):
        return timeline.images_seen(path) or -1
    return -1


def thumbnail(directory: Path) -> str:
    """The newest sample grid, or else a figure, made small, as a data: address; or nothing."""
    timed = [(_moment(path), path) for path in (directory / "samples").glob("*.png")]
    pictures = [path for _, path in sorted(timed, reverse=True)]
    pictures += sorted((directory / "figures").glob("*.png"))
    for path in pictures:
        with suppress(*BROKEN), open_picture(path) as image:
            small = image.convert("RGB")
            small.thumbnail((THUMBNAIL, THUMBNAIL))
            data = io.BytesIO()
            small.save(data, format="PNG")
            return picture_address(data.getvalue())
    return ""


def labels_of(records: Sequence[CellRecord]) -> dict[Path, str]:
    """Directory -> its name; with its grid's, or as many parents as it takes, if names repeat."""
    parts = {record.directory: record.directory.parts for record in records}
    depth = 1
    while len({each[-depth:] for each in parts.values()}) < len(parts):
        depth += 1
    return {directory: "/".join(each[-depth:]) for directory, each in parts.items()}


def overlaid(records: Sequence[CellRecord]) -> list[charts.Chart]:
    """One chart a curve that cells have in common: scores first, then losses and the rest."""
    series: dict[str, dict[str, Any]] = {}
    labels = labels_of(records)
    for record in records:
        with suppress(OSError, ValueError):
            found = charts.read_curves(record.directory / "metrics.csv")
            for name, values in found.columns.items():
                finite = np.isfinite(values)
                if finite.any() and name not in TIMING:
                    points = (found.images_seen[finite] / 1000, values[finite])
                    series.setdefault(name, {})[labels[record.directory]] = points
    names = sorted(series, key=lambda name: ("/" in name, not name.startswith("loss/")))
    return [chart(i, name, series[name]) for i, name in enumerate(names[:MOST_CHARTS])]


def chart(index: int, name: str, series: dict[str, Any]) -> charts.Chart:
    """One curve of many cells; of too many, the first ones."""
    kept = dict(list(series.items())[:MOST_CURVES])
    title = heading(name.replace("/", " ")) if "/" in name else name
    title += f" (first {MOST_CURVES} of {len(series)} cells)" if len(series) > len(kept) else ""
    return charts.overlay(f"chart-{index}", title, kept)
