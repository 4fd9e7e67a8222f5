"""What tells runs apart besides the swept keys: settings that their commands fixed differently."""

from collections.abc import Iterable, Sequence
from typing import Any

from ganlab.grid.cell import MANNER
from ganlab.grid.records import CONDITIONS, CellRecord

Column = tuple[Any, ...]  # a key's value in each record


def is_seed(axis: str) -> bool:
    """Whether an axis repeats a run instead of changing it."""
    return axis == "seed" or axis.endswith((".seed", "_seed"))


def telling(records: Sequence[CellRecord], axes: Iterable[str]) -> list[str]:
    """Further keys that differ among records alike on these axes, seeds apart.

    Records alike on `axes` and on these differ in seeds alone, and in what only says how they were
    run. Those without scores add nothing to a mean and are not looked at.
    """
    scored = [record for record in records if record.scores]
    known = [axis for axis in axes if not is_seed(axis)]
    found: list[str] = []
    while more := _differing(scored, [*known, *found]):
        found += more
    return found


def _differing(records: Sequence[CellRecord], axes: Sequence[str]) -> list[str]:
    """What differs within any row of these axes, each key once."""
    rows: dict[Column, list[CellRecord]] = {}
    for record in records:
        rows.setdefault(tuple(record.value(axis) for axis in axes), []).append(record)
    said = [name for name in CONDITIONS if name in axes]  # a score's own truncation is its study's
    found = dict.fromkeys(key for row in rows.values() for key in _named(row))
    return [key for key in found if _last(key) not in said]


def _named(row: Sequence[CellRecord]) -> list[str]:
    """Keys that differ: config groups first, then settings that follow from none of them."""
    alike = list(_columns(row).values())
    groups = dict.fromkeys(group for record in row for group in record.choices)
    chosen = [
        group
        for group in groups
        if _choices(row, group) > 1 and any(_follows(key, group) for keys in alike for key in keys)
    ]
    rest = [
        min(keys, key=_depth)
        for keys in alike
        if not any(_follows(key, group) for key in keys for group in chosen)
    ]
    if rest and _choices(row, "experiment") > 1:  # it may set any key
        rest = ["experiment"]
    outer = [group for group in chosen if not any(group.startswith(f"{each}/") for each in chosen)]
    return sorted(outer, key=_depth) + sorted(rest, key=_depth)


def _columns(row: Sequence[CellRecord]) -> dict[tuple[str, Column], list[str]]:
    """Settings that differ; of one name and with one column they are copies of one setting."""
    found: dict[tuple[str, Column], list[str]] = {}
    for key in dict.fromkeys(key for record in row for key in record.settings):
        column = tuple(record.value(key) for record in row)
        if len(set(column)) > 1 and not any(_is_manner(key, record) for record in row):
            found.setdefault((_last(key), column), []).append(key)
    return found


def _is_manner(key: str, record: CellRecord) -> bool:
    """Whether no score depends on the key; a checkpoint continues a training or is evaluated."""
    if key == "ckpt":
        return "study" not in record.config
    return is_seed(key) or key.startswith(MANNER)


def _choices(row: Sequence[CellRecord], group: str) -> int:
    return len({record.value(group) for record in row} - {None})


def _follows(key: str, group: str) -> bool:
    """Whether a group can make a setting, as `model/norm` makes `model.generator.norm.eps`."""
    first, *further = group.split("/")
    parts = iter(key.split("."))
    return next(parts) == first and all(part in parts for part in further)


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _depth(key: str) -> int:
    return key.count(".") + key.count("/")
