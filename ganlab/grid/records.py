"""The cells of grids as their files tell: values, state, scores."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ganlab.grid import cell as cells
from ganlab.grid.cell import GridError
from ganlab.grid.facts import GRID, read_grid
from ganlab.grid.schema import damage
from ganlab.report.parts import NAME as PARTS
from ganlab.report.parts import read_parts, under_way
from ganlab.report.results import NAME as RESULT
from ganlab.report.results import divergence_text
from ganlab.runs.provenance import relative_value

Score = Mapping[str, Any]  # one record of result.json
CONDITIONS = (
    "ablation",
    "layers",
    "intervention",
    "truncation",
)  # what studies vary inside one run


@dataclass(frozen=True)
class CellRecord:
    """One cell of a table."""

    directory: Path
    values: dict[str, Any]  # swept key -> value; of a run outside any grid, its name
    state: str  # see `cell.state`
    why: str = ""  # of a failure
    choices: dict[str, str] = field(default_factory=dict)  # config group -> option
    config: dict[str, Any] = field(default_factory=dict)
    scores: list[Score] = field(default_factory=list)  # of a cell that is done
    diverged: str = ""  # when which loss left the range of sense, if one did

    @property
    def name(self) -> str:
        """As its directory is called."""
        return self.directory.name

    @property
    def fate(self) -> str:
        """Its state, why it failed, and whether it diverged."""
        said = [f"diverged: {self.diverged}"] if self.diverged else []
        said += [self.why] if self.why else []
        return f"{self.state} ({'; '.join(said)})" if said else self.state

    def value(self, axis: str) -> Any:
        """Its value on an axis that may be another grid's: swept, chosen or configured; or None."""
        if axis in self.values:
            return self.values[axis]
        if self.choices.get(axis) not in (None, "None", "null"):
            return self.choices[axis]
        return self.settings.get(axis)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Dotted key -> value of every setting; lists as text, its own directory as `.`."""
        home = str(self.config.get("run_dir") or self.directory)
        return {key: relative_value(value, home) for key, value in flatten(self.config)}


def flatten(config: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of every leaf; a list is one leaf, as text."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value) if isinstance(value, list | tuple) else value


def collect(directories: Sequence[Path]) -> list[CellRecord]:
    """Every cell of these grids, in the order of their commands; runs and single cells count too.

    A cell that a grid should have and that is not there is `missing`.

    Raises:
        GridError: a directory that does not exist, or one without a cell or a run.
    """
    found: dict[Path, CellRecord] = {}
    for directory in map(Path, directories):
        if not directory.is_dir():
            raise GridError(f"{directory} does not exist; name the directory of a grid")
        inside = records_of(directory.absolute())
        if not inside:
            grids = sorted(path.parent.name for path in directory.glob(f"*/{GRID}"))
            hint = f"; name the grids in it: {', '.join(grids[:9])}" if grids else ""
            raise GridError(f"{directory} holds no cell of a grid and no run{hint}")
        found |= {record.directory: record for record in inside}
    return list(found.values())


def records_of(directory: Path) -> list[CellRecord]:
    """The cells below one directory, the expected ones first."""
    if is_one(directory):
        return [record_of(directory)]
    expected = {directory / name: v for name, v in read_grid(directory).get("cells", {}).items()}
    there = [
        path
        for path in sorted(directory.iterdir())
        if path not in expected and not path.name.startswith(".") and is_one(path)
    ]
    return [record_of(path, values) for path, values in expected.items()] + [*map(record_of, there)]


def is_one(directory: Path) -> bool:
    """Whether a cell or a run is there; one that was killed has no result, but its parts."""
    return any((directory / name).exists() for name in (cells.CELL, RESULT, PARTS))


def record_of(directory: Path, values: dict[str, Any] | None = None) -> CellRecord:
    """One cell; `values` are those it should have, for one that never came to be.

    A cell with a damaged file has failed: the file and what is wrong with it are its reason.
    """
    result = cells.result_of(directory)
    damaged = damage(directory) if directory.is_dir() else None
    if not (directory / cells.CELL).exists():
        return _run(directory, result, values, damaged)
    try:
        cell = cells.read_cell(directory)
    except GridError as error:
        why = " ".join(str(error).split())
        return CellRecord(directory, values or {"run": directory.name}, "failed", why)
    state = "failed" if damaged else cells.state(directory)
    chosen = {key: str(result[key]) for key in ("model", "data", "study") if result.get(key)}
    return CellRecord(
        directory,
        cell.values,
        state,
        damaged or str(cells.read_attempt(directory).get("error") or ""),
        {**cell.choices, **chosen},
        {**cell.config, **(result.get("config") or {})},
        scores_of(result) if state == "done" else [],
        divergence_text(result),
    )


def _run(
    directory: Path, result: dict[str, Any], values: dict[str, Any] | None, damaged: str | None
) -> CellRecord:
    """A run that no grid started, or nothing at all."""
    if damaged:
        return CellRecord(directory, values or {"run": directory.name}, "failed", damaged)
    newest = newest_of(directory)
    if not result:
        return CellRecord(directory, values or {"run": directory.name}, newest or "missing")
    choices = {key: str(result[key]) for key in ("model", "data", "study") if result.get(key)}
    state, config = newest or str(result.get("status", "done")), result.get("config") or {}
    scores = scores_of(result) if state == "done" else []
    why = str(result.get("error") or "")
    values = values or {"run": directory.name}
    return CellRecord(
        directory, values, state, why, choices, config, scores, divergence_text(result)
    )


def newest_of(directory: Path) -> str:
    """`running` or `killed` where a run's newest part is so, whatever its result is of."""
    try:
        return under_way(read_parts(directory))
    except (OSError, ValueError):
        return ""


def scores_of(result: Mapping[str, Any]) -> list[Score]:
    """The score records of a result, with what a study varied as fields of their own."""
    records = [dict(each) for each in result.get("scores") or [] if isinstance(each, dict)]
    records = [each for each in records if isinstance(each.get("value"), int | float)]
    titles = [str(each.get("intervention") or "") for each in records]
    for each, title in zip(records, titles, strict=True):
        if any(" on " in other for other in titles):
            ablation, _, layers = title.partition(" on ")
            each |= {"ablation": ablation or "none", "layers": layers or "none"}
            each.pop("intervention", None)
        elif any(titles):
            each["intervention"] = title or "none"
    return [each for each in records if each.get("metric")]


def axes_of(records: Iterable[CellRecord]) -> list[str]:
    """Every swept key of any of them, in order of appearance."""
    return list(dict.fromkeys(axis for record in records for axis in record.values))


__all__ = ["CONDITIONS", "CellRecord", "axes_of", "collect"]
