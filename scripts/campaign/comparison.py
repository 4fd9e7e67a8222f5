"""Whether two runs came to the same, to the bit: weights, curve, scores, pictures, files."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganlab.callbacks import TIMING_COLUMNS

# What tells of a command and its process, not of what was learnt.
OF_THE_PROCESS = ("recipe", "loops", "epoch")
SHOWN = 3  # differences told of each file


def differences(
    expected: Path,  # the run that was left alone
    found: Path,  # the one that was not
    missing: tuple[str, ...] = (),  # patterns of files that may be absent from it
    excused: tuple[str, ...] = (),  # names of files that are not looked at
) -> list[str]:
    """One line for each thing that is not the same in two run directories; none if all is."""
    told = list(_files(expected, found, missing + excused))
    for name in sorted({"last.ckpt", "best.ckpt"} - {*excused}):
        paths = [run / "checkpoints" / name for run in (expected, found)]
        if all(path.is_file() for path in paths):
            told += _shortened(name, _checkpoints(*paths))
    if all((run / "metrics.csv").is_file() for run in (expected, found)):
        told += _shortened("metrics.csv", _curves(expected, found))
    if all((run / "result.json").is_file() for run in (expected, found)):
        told += _shortened("result.json", _results(expected, found))
    return [*told, *_shortened("pictures", _pictures(expected, found, excused))]


def files(run: Path) -> set[str]:
    """Every file of a run by its path in it."""
    return {path.relative_to(run).as_posix() for path in run.rglob("*") if not path.is_dir()}


def flattened(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Path and value of every leaf of nested mappings and sequences."""
    if isinstance(node, dict | list | tuple):
        pairs = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in pairs:
            yield from flattened(value, f"{prefix}/{key}")
    else:
        yield prefix, node


def same(one: Any, other: Any) -> bool:
    """Whether two leaves are equal to the bit; a NaN is itself, and -0.0 is not 0.0."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        alike = one.dtype == other.dtype and one.shape == other.shape
        return alike and torch.equal(_bytes(one), _bytes(other))
    return type(one) is type(other) and repr(one) == repr(other)


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _shortened(name: str, lines: Iterator[str]) -> list[str]:
    told = [f"{name}: {line}" for line in lines]
    rest = len(told) - SHOWN
    return [*told[:SHOWN], f"{name}: and {rest} more"] if rest > 0 else told


def _files(expected: Path, found: Path, missing: tuple[str, ...]) -> Iterator[str]:
    wanted, there = files(expected), files(found)
    for name in sorted(wanted - there):
        if not any(Path(name).match(pattern) for pattern in missing):
            yield f"{name} is missing"
    for name in sorted(there - wanted):
        yield f"{name} is left over"


def _leaves(path: Path) -> dict[str, Any]:
    state = torch.load(path, map_location="cpu", weights_only=True)
    return dict(flattened({key: state[key] for key in state if key not in OF_THE_PROCESS}))


def _checkpoints(expected: Path, found: Path) -> Iterator[str]:
    yield from _compared(_leaves(expected), _leaves(found))


def _compared(one: dict[str, Any], other: dict[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys([*one, *other]):
        if name not in one or name not in other:
            yield f"{name} is only {'there' if name in one else 'here'}"
        elif not same(one[name], other[name]):
            yield f"{name} differs{_by(one[name], other[name])}"


def _by(one: Any, other: Any) -> str:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return f": {one!r:.60} and {other!r:.60}"
    if one.shape != other.shape:
        return f": {tuple(one.shape)} and {tuple(other.shape)}"
    return f" by up to {float((one.double() - other.double()).abs().max()):.3g}"


def _curves(expected: Path, found: Path) -> Iterator[str]:
    one, other = _rows(expected), _rows(found)
    if list(one) != list(other):
        yield f"rows at {_few(one)} and at {_few(other)} images"
    for moment in one.keys() & other.keys():
        for line in _compared(one[moment], other[moment]):
            yield f"at {moment} images: {line}"


def _few(rows: dict[str, Any]) -> str:
    return f"{', '.join(list(rows)[-3:])} ({len(rows)})"


def _rows(run: Path) -> dict[str, dict[str, str]]:
    """Moment -> column -> text, without what a clock on the wall says; a double row is its own."""
    with (run / "metrics.csv").open(newline="") as file:
        found: dict[str, dict[str, str]] = {}
        for row in csv.DictReader(file):
            moment = row.pop("images_seen")
            moment += "'" * sum(each.rstrip("'") == moment for each in found)
            found[moment] = {k: v for k, v in row.items() if k not in TIMING_COLUMNS}
    return found


def _results(expected: Path, found: Path) -> Iterator[str]:
    one, other = (json.loads((run / "result.json").read_text()) for run in (expected, found))
    kept = ("status", "exit_code", "images_seen", "scores")
    yield from _compared(
        *(dict(flattened({key: each.get(key) for key in kept})) for each in (one, other))
    )


def _pictures(expected: Path, found: Path, excused: tuple[str, ...]) -> Iterator[str]:
    for name in sorted(files(expected) & files(found)):
        path = Path(name)
        if path.suffix != ".png" or path.name in excused:
            continue
        if (expected / path).read_bytes() != (found / path).read_bytes():
            yield f"{name} differs"
