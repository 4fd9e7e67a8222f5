"""Tables of results in the four forms they are needed in: CSV, Markdown, LaTeX and HTML.

    table = Table(["model", "fid10k"], rows, best={"fid10k": "min"}, notes=["truncation 1"])
    table.write(directory)                      # table.csv, table.md, table.tex

CSV keeps every digit; the other three round a column to common decimals and set its best in bold.
Values that do not compare carry a mark and are explained in a note: `ganlab.report.protocols`.
"""

import csv
import io
import math
import numbers
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganlab.report.markup import (
    html_text,
    latex_text,
    markdown_line,
    markdown_text,
    plain_text,
    split_markdown_row,
)
from ganlab.report.means import Difference, Mean
from ganlab.storage.atomic import replace_file

MISSING = "\N{EN DASH}"  # shown for a value that a row does not have
_FORMULA = re.compile(r"[=+\-@\t\n]")  # begins what spreadsheets run
LONGEST = 300  # digits of a whole number, which is a float for its column's decimals
DIGITS = 4  # significant digits of a column's largest value


@dataclass(frozen=True)
class Cell:
    """One value as it is shown."""

    text: str
    bold: bool = False  # the best of its column
    number: bool = False  # aligned to the right
    mark: str = ""  # letters of the notes that it refers to


@dataclass
class Table:
    """Rows of named values with the best of chosen columns marked.

    Raises ValueError for a row key or a `best` key that is no column, and for a direction other
    than "min" or "max".
    """

    columns: list[str]  # in the order shown
    rows: list[dict[str, Any]]  # column -> value; an absent key or None is a missing value
    best: dict[str, str] = field(default_factory=dict)  # column -> "min" or "max"
    caption: str = ""  # one sentence above the table
    notes: list[str] = field(default_factory=list)  # lines under it: protocol, what was assumed
    marks: dict[tuple[int, str], str] = field(default_factory=dict)  # (row, column) -> letters

    def __post_init__(self) -> None:
        known = f"; the columns are {', '.join(self.columns)}"
        for key in [*self.best, *(key for row in self.rows for key in row)]:
            if key not in self.columns:
                raise ValueError(f"no column {key!r} in this table{known}")
        for column, direction in self.best.items():
            if direction not in ("min", "max"):
                raise ValueError(f"best[{column!r}] is {direction!r}; it must be 'min' or 'max'")

    @classmethod
    def of(
        cls,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],  # of as many values, None where one is missing
        caption: str = "",
        notes: Sequence[str] = (),
    ) -> "Table":
        """A table of rows in the order of its columns; nothing in it is ranked."""
        named = [dict(zip(columns, row, strict=True)) for row in rows]
        return cls([*columns], named, caption=caption, notes=[*notes])

    def shown(self) -> "ShownTable":
        """The table as rounded text, with the best cells marked."""
        by_column = [self._shown_column(column) for column in self.columns]
        cells = [list(row) for row in zip(*by_column, strict=True)]
        return ShownTable(list(self.columns), cells, self.caption, list(self.notes))

    def _shown_column(self, column: str) -> list[Cell]:
        values = [_scalar(row.get(column)) for row in self.rows]
        finite = [float(v) for v in values if _is_number(v) and math.isfinite(v)]
        told = column in self.best and (len(finite) == 1 or len({*finite}) > 1)  # no tie of all
        winner = _BEST[self.best[column]](finite) if told else None
        decimals = _decimals([float(v) for v in values if _is_number(v)])
        marks = [self.marks.get((row, column), "") for row in range(len(values))]
        return [
            Cell(_text(v, decimals), _is_number(v) and winner == float(v), _is_number(v), mark)
            for v, mark in zip(values, marks, strict=True)
        ]

    def csv(self) -> str:
        """Header and rows with full precision; a missing value is an empty cell.

        A column with marks is followed, at the end, by one that holds them. Text that a spreadsheet
        would run as a formula has an apostrophe before it.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        marked = [c for c in self.columns if any(column == c for _, column in self.marks)]
        head = [*self.columns, *(f"{column} protocol" for column in marked)]
        writer.writerow(map(_inert, head))
        for number, row in enumerate(self.rows):
            values = [_scalar(row.get(column)) for column in self.columns]
            marks = [self.marks.get((number, column), "") for column in marked]
            writer.writerow(map(_inert, [*values, *marks]))
        return text.getvalue()

    def markdown(self) -> str:
        """A GitHub table, numbers to the right, notes as a list under it."""
        return self.shown().markdown()

    def _repr_markdown_(self) -> str:
        """What a notebook shows."""
        return self.markdown()

    def latex(self, label: str = "") -> str:
        """A `table` float in booktabs style; needs `\\usepackage{booktabs}` only."""
        return self.shown().latex(label)

    def html(self) -> str:
        """A `<figure>` with the table and its notes, every text escaped."""
        return self.shown().html()

    def write(self, directory: Path, stem: str = "table") -> list[Path]:
        """Write `stem`.csv, .md and .tex into `directory`, each atomically."""
        label = re.sub(r"[^\w.-]", "-", f"{Path(directory).resolve().name}-{stem}")
        forms = {"csv": self.csv(), "md": self.markdown(), "tex": self.latex(f"tab:{label}")}
        return [
            replace_file(Path(directory) / f"{stem}.{suffix}", text.encode("utf-8", "replace"))
            for suffix, text in forms.items()
        ]


ACRONYMS = ("fid", "kid", "is", "swd", "ppl")  # of the scores
_BEST = {"min": min, "max": max}


@dataclass(frozen=True)
class ShownTable:
    """A table whose values are text already: what Markdown, LaTeX and HTML are made from."""

    columns: list[str]
    cells: list[list[Cell]]  # rows of as many cells as there are columns
    caption: str = ""
    notes: list[str] = field(default_factory=list)

    def right_aligned(self) -> list[bool]:
        """Which columns hold numbers (and missing values) only."""
        by_column = zip(*self.cells, strict=True) if self.cells else ([] for _ in self.columns)
        return [
            any(cell.number for cell in column)
            and all(cell.number or cell.text == MISSING for cell in column)
            for column in by_column
        ]

    def markdown(self) -> str:
        """The GitHub form, see `Table.markdown`."""
        rules = ["---:" if right else "---" for right in self.right_aligned()]
        lines = [_markdown_row([markdown_text(c) for c in self.columns]), _markdown_row(rules)]
        lines += [_markdown_row([_markdown_cell(cell) for cell in row]) for row in self.cells]
        above = [f"{markdown_line(self.caption)}\n"] if self.caption else []
        below = ["", *(f"- {markdown_line(note)}" for note in self.notes)] if self.notes else []
        return "\n".join([*above, *lines, *below]) + "\n"

    def latex(self, label: str = "") -> str:
        """The booktabs form, see `Table.latex`."""
        align = "".join("r" if right else "l" for right in self.right_aligned())
        rows = [_latex_row([_latex_cell(cell) for cell in row]) for row in self.cells]
        lines = [r"\begin{table}[t]", r"  \centering"]
        lines += [rf"  \caption{{{latex_text(self.caption)}}}"] if self.caption else []
        lines += [rf"  \label{{{label}}}"] if label and self.caption else []
        lines += [rf"  \begin{{tabular}}{{{align}}}", r"    \toprule"]
        lines += [
            _latex_row([latex_text(heading(c)) for c in self.columns]),
            r"    \midrule",
            *rows,
        ]
        lines += [r"    \bottomrule", r"  \end{tabular}"]
        lines += [rf"  \par\smallskip{{\footnotesize {latex_text(n)}\par}}" for n in self.notes]
        return "\n".join([*lines, r"\end{table}"]) + "\n"

    def html(self) -> str:
        """The HTML form, see `Table.html`."""
        rights = self.right_aligned()
        head = "".join(
            _html_cell("th", Cell(c), r) for c, r in zip(self.columns, rights, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(_html_cell("td", c, r) for c, r in zip(row, rights, strict=True))
            + "</tr>\n"
            for row in self.cells
        )
        caption = f"<caption>{html_text(self.caption)}</caption>" if self.caption else ""
        notes = "".join(f"<li>{html_text(note)}</li>" for note in self.notes)
        return (
            f'<figure class="table"><div class="scroll" tabindex="0"><table>{caption}\n'
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>"
            + (f'<ul class="notes">{notes}</ul>' if notes else "")
            + "</figure>\n"
        )


def read_csv(text: str) -> Table:
    """The columns and rows of a CSV file with numbers as numbers, for showing.

    Raises ValueError where there is no header, or a row does not fit it.
    """
    table = csv.reader(io.StringIO(text.replace("\0", "")))
    header, *rows = [[*map(_active, line)] for line in table] or [[]]
    if not header or len(set(header)) != len(header):
        raise ValueError("a CSV table needs a header of distinct column names")
    if any(len(row) != len(header) for row in rows):
        raise ValueError("the rows of this CSV table differ in length")
    return Table(header, [dict(zip(header, map(_value, row), strict=True)) for row in rows])


def _inert(value: object) -> object:
    """A value as a cell of a CSV file, where a lone carriage return would be read as an end."""
    if not isinstance(value, str):
        return "" if value is None else value
    text = re.sub(r"\r\n?", "\n", value)
    return f"'{text}" if _FORMULA.match(text) and isinstance(_value(text), str) else text


def _active(cell: str) -> str:
    """The text of a cell of `_inert`."""
    return cell[1:] if cell[:1] == "'" and _FORMULA.match(cell[1:]) else cell


def _value(cell: str) -> object:
    kinds = (int, float) if len(cell) < LONGEST else (float,)
    for kind in () if "_" in cell else kinds:  # Python reads `8_0` as 80
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell or None


def parse_markdown(text: str) -> ShownTable:
    """Read back what `Table.markdown` wrote; alignment tells which columns hold numbers.

    Raises ValueError where the text holds no such table.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    start = next((i for i, line in enumerate(lines) if line.startswith("|")), None)
    if start is None or start + 1 >= len(lines):
        raise ValueError("no Markdown table in this text")
    rows = [split_markdown_row(line) for line in lines[start:] if line.startswith("|")]
    header, rules, body = rows[0], rows[1], rows[2:]
    if any(len(row) != len(header) for row in rows):
        raise ValueError("the rows of this Markdown table differ in length")
    notes = [plain_text(line[2:]) for line in lines[start:] if line.startswith("- ")]
    rights = [rule.endswith(":") for rule in rules]
    cells = [[_parsed_cell(c, r) for c, r in zip(row, rights, strict=True)] for row in body]
    caption = plain_text(" ".join(lines[:start]))
    return ShownTable([plain_text(c) for c in header], cells, caption, notes)


_MARK = re.compile(r"<sup>([a-z,]+)</sup>$")  # a text's own `<` are escaped


def _parsed_cell(source: str, right: bool) -> Cell:
    marked = _MARK.search(source)
    source = source[: marked.start()] if marked else source
    bold = len(source) > 4 and source.startswith("**") and source.endswith("**")
    text = plain_text(source[2:-2] if bold else source)
    return Cell(text, bold, right and text != MISSING, marked[1] if marked else "")


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown_cell(cell: Cell) -> str:
    text = f"**{markdown_text(cell.text)}**" if cell.bold else markdown_text(cell.text)
    return f"{text}<sup>{cell.mark}</sup>" if cell.mark else text


def heading(column: str) -> str:
    """A column's name in words: `recall10k_k3_classifier` is "Recall (10k, k3, classifier)"."""
    score = re.fullmatch(r"([a-z]+(?:_[a-z]+)*?)(\d+k?)((?:_\w+)*)", column)
    if score is None:
        return column.replace("_", " ")
    first, *others = score[1].split("_")
    words = [first.upper() if first in ACRONYMS else first.capitalize(), *others]
    protocol = [re.sub(r"^of(?=\d)", "of ", part) for part in score[3].split("_")[1:]]
    return f"{' '.join(words)} ({', '.join([score[2], *protocol])})"


def _latex_row(cells: Sequence[str]) -> str:
    return f"    {' & '.join(cells)} \\\\"


def _latex_cell(cell: Cell) -> str:
    text = latex_text(cell.text)
    text = f"${text}$" if cell.number and text.startswith("-") else text  # a minus, not a hyphen
    text = rf"\textbf{{{text}}}" if cell.bold else text
    return rf"{text}\textsuperscript{{{cell.mark}}}" if cell.mark else text


def _html_cell(tag: str, cell: Cell, right: bool) -> str:
    scope = ' scope="col"' if tag == "th" else ""
    style = ' class="number"' if right else ""
    text = html_text(cell.text)
    text = f"<strong>{text}</strong>" if cell.bold else text
    return f"<{tag}{scope}{style}>{text}{f'<sup>{cell.mark}</sup>' * bool(cell.mark)}</{tag}>"


def _scalar(value: object) -> Any:
    """Unwrap zero-dimensional tensors and numpy scalars."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _decimals(values: Sequence[float]) -> int:
    """Decimals that give the largest magnitude of a column `DIGITS` significant digits."""
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    return 0 if largest == 0 else min(max(DIGITS - 1 - math.floor(math.log10(largest)), 0), 6)


def _text(value: object, decimals: int) -> str:
    if value is None or (isinstance(value, str) and not value):
        return MISSING
    if isinstance(value, Mean):
        return f"{_float_text(value, decimals)} ± {_float_text(value.spread, decimals)}"
    if isinstance(value, Difference):
        ends = [_float_text(end, decimals) for end in (value.low, value.high)]
        return f"{_float_text(value, decimals)} [{', '.join(ends)}]"
    if isinstance(value, float):
        return _float_text(value, decimals)
    return str(value)


def _float_text(value: float, decimals: int) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
    fixed = f"{value:.{decimals}f}"
    lost = value != 0 and float(fixed) == 0  # too small for this column: show it all the same
    return f"{value:.2g}" if lost else f"{value:.{DIGITS}g}" if abs(value) >= 1e7 else fixed
