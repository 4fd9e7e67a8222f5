"""Scores compare only when they were measured alike: tables that say so where they were not.

A column of scores is named after metric and counts, yet the same name can stand for other weights
of the extractor, another resize or another truncation. `mark_protocols` finds that out from the
records in `result.json` and puts a letter on every value of such a column:

    rows = [{"norm": "in", "fid10k": 9.1}, {"norm": "pin", "fid10k": 8.7}]
    table = mark_protocols(Table(["norm", "fid10k"], rows), records_of_each_row)
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, count, product
from string import ascii_lowercase
from typing import Any

from ganlab.report.tables import Table

Record = Mapping[str, Any]  # one score, as in result.json
Stamp = tuple[tuple[str, Any], ...]  # (field of a record, value), in the order of PROTOCOL

# What a score depends on besides the generator. Its seed and the training's length are the run's.
PROTOCOL = (
    "n_fake",
    "n_real",
    "mirror",
    "unseen",  # whether the reals were not trained on
    "extractor",
    "extractor_sha256",
    "resize",
    "truncation",
    "classes",  # that all images were told
    "ema",
    "size",  # of a generator that was still growing
)

UNLIKE = "values of {} with different letters were measured differently and do not compare"


def protocol_stamp(record: Record, without: Iterable[str] = ()) -> Stamp:
    """How a score was measured: two scores of one name compare if their stamps are equal.

    Fields named in `without` are left out. A truncation of 1 is not None: of latents it is a cut.
    """
    return tuple((key, record.get(key)) for key in PROTOCOL if key not in set(without))


def protocol_text(stamp: Stamp) -> str:
    """A stamp as a note under a table: `10000 generated against 10000 real images; ...`."""
    values = dict(stamp)
    counts = [
        f"{values[key]} {word}"
        for key, word in (("n_fake", "generated"), ("n_real", "real"))
        if values.get(key) is not None
    ]
    weights = str(values.get("extractor_sha256") or "")[:12]
    extractor = f"extractor {values.get('extractor') or 'unknown'} {weights}".rstrip()
    parts = [f"{' against '.join(counts)} images"] if counts else []
    parts += ["reals held out of training"] if values.get("unseen") else []
    parts += ["reals mirrored"] if values.get("mirror") else []
    parts += [extractor, f"resize {values.get('resize') or 'unknown'}"]
    psi = values.get("truncation")  # 0 is the strongest cut: every image is of the mean style
    parts += [f"truncation {psi:g}"] if psi is not None else []
    parts += [f"told class {values['classes']}"] if values.get("classes") else []
    parts += ["without weight averaging"] if values.get("ema") is False else []
    parts += [f"still growing: {values['size']}"] if values.get("size") else []
    return "; ".join(parts)


def mark_protocols(
    table: Table,
    records: Sequence[Iterable[Record]],  # of each row: all scores that its values come from
) -> Table:
    """The table with a note of the protocol, and letters where one column holds several.

    A column is a metric's full name. Where all its values were measured alike nothing is marked.
    Otherwise each gets the letter of its protocol, or several letters if it was averaged over
    scores measured differently; its best is not set in bold, as such values do not rank; and the
    CSV gains a column `<metric> protocol` with the letters. A protocol field that is a column of
    the table itself, as `truncation` can be, marks nothing.

    Raises:
        ValueError: another number of record lists than rows.
    """
    if len(records) != len(table.rows):
        raise ValueError(f"{len(table.rows)} rows, but the records of {len(records)}")
    cells = _cells(table, records)
    by_column: dict[str, list[Stamp]] = {}
    for (_, column), stamps in cells.items():
        by_column[column] = list(dict.fromkeys([*by_column.get(column, []), *stamps]))
    mixed = {column: stamps for column, stamps in by_column.items() if len(stamps) > 1}
    letters = dict(zip(dict.fromkeys(chain(*mixed.values())), _letters(), strict=False))
    marks = {
        cell: ",".join(sorted(letters[stamp] for stamp in set(stamps)))
        for cell, stamps in cells.items()
        if cell[1] in mixed
    }
    notes = [f"{letter}: {protocol_text(stamp)}" for stamp, letter in letters.items()]
    notes += [UNLIKE.format(", ".join(mixed))] if mixed else []
    alike = {column: stamps[0] for column, stamps in by_column.items() if column not in mixed}
    notes += protocol_notes(alike, named=bool(mixed) or len(set(alike.values())) > 1)
    best = {column: way for column, way in table.best.items() if column not in mixed}
    return replace(table, best=best, notes=[*table.notes, *notes], marks=table.marks | marks)


def _cells(table: Table, records: Sequence[Iterable[Record]]) -> dict[tuple[int, str], list[Stamp]]:
    """(row, column) -> the stamps of the scores that its value comes from."""
    cells: dict[tuple[int, str], list[Stamp]] = {}
    for row, scores in enumerate(records):
        for record in scores:
            column = str(record.get("metric"))
            if table.rows[row].get(column) is not None:
                stamp = protocol_stamp(record, without=table.columns)
                cells.setdefault((row, column), []).append(stamp)
    return cells


def protocol_notes(columns: Mapping[str, Stamp], named: bool) -> list[str]:
    """One note for each protocol of these columns; `named` says which of them it holds for."""
    groups: dict[Stamp, list[str]] = {}
    for column, stamp in columns.items():
        groups.setdefault(stamp, []).append(column)
    return [
        f"{', '.join(group)}: {protocol_text(stamp)}" if named else protocol_text(stamp)
        for stamp, group in groups.items()
    ]


def _letters() -> Iterator[str]:
    """a, b, ..., z, aa, ab, ..."""
    for length in count(1):
        yield from map("".join, product(ascii_lowercase, repeat=length))
