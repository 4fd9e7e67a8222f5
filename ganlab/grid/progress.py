"""How far a cell is, from its files; and one table of all cells that follows them."""

import csv
import math
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from ganlab.checks.ranges import text_of
from ganlab.cli import visible
from ganlab.grid import cell as cells
from ganlab.grid.cell import GridError
from ganlab.storage import irregularity

TIMING = ("images_per_second", "seconds_left")
TAIL = 2**20  # bytes
HEADER = ("cell", "state", "kimg", "images/s", "left", "score")


def last_values(directory: Path) -> dict[str, float]:
    """Column -> its newest value in the last MiB of `metrics.csv`; nothing where there is none.

    That is a few thousand rows: a table that is drawn anew every other second reads no long run.
    """
    path = Path(directory) / "metrics.csv"
    if irregularity(path):
        return {}
    try:
        with path.open("rb") as file:
            header, whole = file.readline(), file.tell()
            start = max(whole, file.seek(0, os.SEEK_END) - TAIL)
            file.seek(start)
            if start > whole:
                file.readline()  # the rest of a row
            text = (header + file.read()).decode(errors="replace")
    except OSError:
        return {}
    values: dict[str, float] = {}
    lines = text[: text.rfind("\n") + 1].replace("\0", "").splitlines()
    with suppress(csv.Error):  # a damaged file: what came before it counts
        for row in csv.DictReader(lines):
            for name, cell in row.items():
                text_in_both = isinstance(name, str) and isinstance(cell, str)
                if text_in_both and (n := _number(cell)) is not None:
                    values[name] = n
    return values


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def score_of(directory: Path, values: Mapping[str, float]) -> str:
    """`fid1k 12.3`: the first FID, or other score, of the result, else of the curve."""
    found = {
        str(r["metric"]): r["value"]
        for r in cells.result_of(directory).get("scores") or []
        if not r.get("intervention") and isinstance(r.get("value"), int | float)
    }
    found = found or {name: value for name, value in values.items() if name.startswith("fid")}
    name = next((n for n in found if n.startswith("fid")), next(iter(found), None))
    return "" if name is None else f"{name} {found[name]:.4g}"


def row(directory: Path, state: str) -> tuple[str, ...]:
    """A cell as a line of the table."""
    values = last_values(directory)
    seen = values.get("images_seen", cells.result_of(directory).get("images_seen"))
    kimg = f"{seen / 1000:g}" if seen else ""
    rate, left = (values.get(name) if state == "running" else None for name in TIMING)
    return (
        visible(directory.name),
        state,
        kimg,
        "" if rate is None else f"{rate:,.0f}",
        "" if left is None else duration(left),
        visible(score_of(directory, values)),
    )


def duration(seconds: float) -> str:
    """`1:02:03` or `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def align(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Rows as text columns, no line longer than the terminal."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()[: width - 1]
        for row in rows
    ]


class LiveTable:
    """One table of all cells: redrawn in place on a terminal, else a line when a state changes.

    Raises:
        GridError: `seconds` is no number.
    """

    def __init__(
        self,
        seconds: float = 2.0,  # least time between two drawings
        stream: TextIO | None = None,  # None = standard error
    ) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise GridError(f"hydra.launcher.seconds={text_of(seconds)} should be a number")
        self.seconds = seconds
        self.stream = sys.stderr if stream is None else stream
        self.drawn = 0  # lines of the last drawing
        self.drawn_at = -math.inf
        self.shown: dict[Path, str] = {}  # states that were said already

    def update(self, states: Mapping[Path, str], now: bool = False) -> None:
        """Draw, if it is time to; `now` draws in any case."""
        if not self.stream.isatty():
            self.say_changes(states)
        elif now or time.monotonic() - self.drawn_at >= self.seconds:
            self.redraw(states)

    def say_changes(self, states: Mapping[Path, str]) -> None:
        """One line for every cell whose state is new."""
        for directory, state in states.items():
            if self.shown.get(directory, "waiting") != state:
                _, _, kimg, _, _, score = row(directory, state)
                facts = [state, f"{kimg} kimg" if kimg else "", score]
                why = cells.read_attempt(directory).get("error") if state != "running" else None
                facts += [str(why)] if why else []
                self.say(f"{directory.name}: {', '.join(filter(None, facts))}")
            self.shown[directory] = state

    def redraw(self, states: Mapping[Path, str]) -> None:
        """Put the table where it stood; what is finished gives way where it does not fit."""
        size = shutil.get_terminal_size()
        listed = [row(directory, states[directory]) for directory in states]
        room = max(3, size.lines - 3)
        hidden = max(0, len(listed) - room)
        lively = sorted(listed, key=lambda each: each[1] in ("done", "waiting"))
        kept = listed if not hidden else lively[:room]
        lines = align([HEADER, *kept], size.columns)
        lines += [f"... and {hidden} more"] if hidden else []
        up = f"\x1b[{self.drawn}A" if self.drawn else ""
        self.put(up + "".join(f"\x1b[2K{line}\n" for line in lines) + "\x1b[J")
        self.drawn, self.drawn_at = len(lines), time.monotonic()

    def say(self, text: str) -> None:
        """A line that stays, above the table."""
        up = f"\x1b[{self.drawn}A\x1b[J" if self.drawn else ""
        self.put(f"{up}{text}\n")
        self.drawn = 0

    def put(self, text: str) -> None:
        """Write; a grid outlives the terminal or the pipe that it was started at."""
        with suppress(OSError):
            self.stream.write(text)
            self.stream.flush()
