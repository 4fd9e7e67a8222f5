"""`metrics.csv`: the curve of a run, one row per moment, exact and whole at any instant."""

import csv
import io
import os
import warnings
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import Tensor

from ganlab.loggers.tracker import Tracker
from ganlab.storage import irregularity
from ganlab.storage.atomic import replace_file

CLOCK = "images_seen"
Row = dict[str, str]  # column -> number as written, without the clock


def line(cells: Iterable[str]) -> str:
    """One CSV line with its newline."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def number(value: float | Tensor | np.generic, column: str) -> str:
    """The shortest text that reads back as exactly this number.

    Raises:
        ValueError: not a single number.
    """
    value = value.item() if isinstance(value, Tensor | np.generic) else value
    if not isinstance(value, (int, float)):
        raise ValueError(f"{CLOCK} curve: {column} is not a number but {value!r}")
    return repr(int(value) if isinstance(value, int) else value)


class CSVLog(Tracker):
    """Writes `metrics.csv` in the run's folder, first column `images_seen`.

    Columns stand in the order in which they first appear. What is logged at equal `images_seen`
    joins one row. The newest row is handed to the operating system, in one piece, before the call
    returns; every other change replaces the file as a whole. So a process killed at any moment
    leaves a readable file, at worst with a part of a last line, which is dropped when training goes
    on. A full disk costs no row: it is written as soon as there is room. Equal calls give equal
    bytes. Rank 0 only; pictures and settings are not for this log.

    Lines that are damaged all the same, by a disk or by a second process, are dropped with one
    warning.

    Raises:
        ValueError: the folder holds a `metrics.csv` of another kind.
    """

    def __init__(
        self,
        directory: str | Path,  # the run's folder
    ) -> None:
        super().__init__()
        self.path = Path(directory) / "metrics.csv"
        self.columns: list[str] = []
        self._rows: dict[int, Row] | None = None  # images_seen -> row, ascending; None = unread
        self._newest: int | None = None  # bytes before the newest row; None = the file is behind
        self._warned = False

    @property
    def name(self) -> str:
        """What this logger is called."""
        return "csv"

    @property
    def version(self) -> str:
        """A run has one."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run's folder."""
        return str(self.path.parent)

    @property
    def rows(self) -> dict[int, Row]:
        """images_seen -> row, ascending, read from the file at first need."""
        if self._rows is None:
            self._rows = self._read()
        return self._rows

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float | Tensor], step: int | None = None) -> None:
        """Add numbers to the row of `step` images seen.

        Raises:
            ValueError: no step, or a value that is not a number.
        """
        if step is None:
            raise ValueError(f"metrics.csv is kept by {CLOCK}: log with step=system.images_seen")
        row = {name: number(value, name) for name, value in metrics.items()}
        newest = next(reversed(self.rows), -1)  # the columns are known once the rows are
        fresh = [name for name in row if name not in self.columns]
        self.columns += fresh
        self.rows[step] = {**self.rows.get(step, {}), **row}
        if fresh or step < newest or self._newest is None:
            self._save(self._rewrite)
        else:
            start = self._newest if step == newest else None
            self._save(partial(self._write_newest, step, start))

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """A last try for rows that found no room."""
        if self._warned and self._newest is None and self.rows:
            self._save(self._rewrite)

    @rank_zero_only
    def log_hyperparams(self, params: object, *args: object, **kwargs: object) -> None:
        """Nothing: the run's folder holds its config."""

    @rank_zero_only
    def truncate(self, images_seen: int) -> None:
        """Drop rows beyond `images_seen`, and columns that only they had.

        The file is then what it was when the clock stood there; without any row left it is removed.
        """
        kept = {seen: row for seen, row in self.rows.items() if seen <= images_seen}
        if len(kept) == len(self.rows):
            return
        self._rows = kept
        self.columns = [name for name in self.columns if any(name in row for row in kept.values())]
        if kept:
            self._newest = self._rewrite()
        else:
            self._newest = None
            self.path.unlink(missing_ok=True)

    def _line(self, step: int) -> str:
        return line([str(step), *(self.rows[step].get(name, "") for name in self.columns)])

    def _save(self, write: Callable[[], int]) -> None:
        """Note where the newest row begins; a file that cannot be written ends no training."""
        self._newest = None
        try:
            self._newest = write()
        except OSError as error:
            if not self._warned:
                warnings.warn(
                    f"{self.path} was not written ({error}); its rows are kept until there is room",
                    stacklevel=4,
                )
            self._warned = True

    def _write_newest(self, step: int, start: int | None) -> int:
        """Put the newest row at byte `start`, where it stood before; None = at the end."""
        with self.path.open("r+b") as file:
            start = file.seek(0, os.SEEK_END) if start is None else file.seek(start)
            file.write(self._line(step).encode())
            file.truncate()
        return start

    def _rewrite(self) -> int:
        self._rows = dict(sorted(self.rows.items()))
        lines = [line([CLOCK, *self.columns]), *map(self._line, self.rows)]
        data = [each.encode() for each in lines]
        replace_file(self.path, b"".join(data))
        return sum(map(len, data[:-1]))

    def _read(self) -> dict[int, Row]:
        if not self.path.exists():
            return {}
        if (kind := irregularity(self.path)) is not None:
            raise ValueError(f"{self.path} is {kind}; move it away")
        text = self.path.read_bytes().decode(errors="replace")
        begun = text.startswith(CLOCK) or CLOCK.startswith(
            text
        )  # a kill can leave a part of a line
        header, *lines = text.split("\n")[:-1] or [CLOCK if begun else text]
        first = _cells(header)
        if first[:1] != [CLOCK] or len(set(first)) < len(first):
            raise ValueError(f"{self.path}: line 1 must start with {CLOCK}; move this file away")
        self.columns = first[1:]
        self._rows = dict(ascending([row for row in map(self._parsed, lines) if row is not None]))
        if dropped := len(lines) - len(self._rows):
            warnings.warn(
                f"{self.path}: {dropped} of {len(lines)} lines were damaged and are dropped",
                stacklevel=4,
            )
        if dropped or not text.endswith("\n"):
            self._save(self._rewrite)
        return self._rows

    def _parsed(self, text: str) -> tuple[int, Row] | None:
        """A line's clock and numbers; None if it is damaged."""
        cells = _cells(text)
        if len(cells) != 1 + len(self.columns) or not cells[0].isdecimal():
            return None
        filled = {name: text for name, text in zip(self.columns, cells[1:], strict=True) if text}
        return (int(cells[0]), filled) if all(map(_is_number, filled.values())) else None


def _cells(text: str) -> list[str]:
    """What one line holds; nothing where it is no line of a table."""
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error:
        return []


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def ascending(rows: Sequence[tuple[int, Row]]) -> list[tuple[int, Row]]:
    """As many of the rows, in their order, as have ascending clocks.

    Where two processes wrote to one file rows are doubled, and a merged line can look like a row.
    """
    ends: list[int] = []  # of the ascents of each length, the lowest last clock
    lengths: list[int] = []  # of the longest ascent that ends in each row
    for clock, _ in rows:
        length = bisect_left(ends, clock)
        ends[length : length + 1] = [clock]
        lengths.append(length)
    kept: list[tuple[int, Row]] = []
    wanted = len(ends) - 1
    for row, length in zip(reversed(rows), reversed(lengths), strict=True):
        if length == wanted and (not kept or row[0] < kept[-1][0]):
            kept.append(row)
            wanted -= 1
    return kept[::-1]
