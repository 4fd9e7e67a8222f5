"""The parts of a training run, its start and each resume, as `parts.json` tells them.

A part is written as it starts, again at each checkpoint and at its end: what a kill leaves of it
is what was trained up to its last checkpoint, which is where the next part begins.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from ganlab.processes import is_running, place
from ganlab.report.results import read_json, write_json
from ganlab.report.tables import MISSING, Cell, ShownTable

NAME = "parts.json"
Part = dict[str, Any]
MOST_CHANGES = 8  # keys named in a row of the page
MOST = 10**15  # images or seconds
NUMBERS = ("images_from", "images_to", "seconds")
TEXTS = ("began", "status")


def write_parts(directory: Path, parts: Sequence[Part]) -> Path:
    """Put `parts.json` into a run's directory, atomically."""
    return write_json(Path(directory) / NAME, {"parts": list(parts)})


def read_parts(directory: Path) -> list[Part]:
    """Every part that began, oldest first; one that never ended and runs no more is `killed`.

    Raises ValueError, naming the file, where it is damaged, and OSError where it cannot be read.
    """
    path = Path(directory) / NAME
    if not path.is_file():
        return []
    parts = read_json(path).get("parts")
    if not isinstance(parts, list) or not all(map(is_part, parts)):
        raise ValueError(f"{path} is damaged: it lists no parts of a run")
    return [part | {"status": _status(part)} for part in parts]


def is_part(found: object) -> bool:
    """Whether a value has what every part has."""
    return (
        isinstance(found, Mapping)
        and all(isinstance(found.get(key), str) for key in TEXTS)
        and all(_is_amount(found.get(key)) for key in NUMBERS)
    )


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value < MOST


def _status(part: Part) -> str:
    process = part.get("process")
    if part["status"] != "running" or not isinstance(process, Mapping):
        return str(part["status"])
    here = process.get("place") is not None and process.get("place") == place()
    pid = process.get("pid")
    gone = here and isinstance(pid, int) and not is_running(pid)
    return "killed" if gone else "running"


def under_way(parts: Sequence[Part]) -> str:
    """`running` or `killed` where the newest part is that, and so came after any result; or ""."""
    newest = str(parts[-1]["status"]) if parts else ""
    return newest if newest in ("running", "killed") else ""


def seconds_of(parts: Sequence[Part]) -> float:
    """Time that all parts took together; of a killed one up to its last checkpoint."""
    return float(sum(part["seconds"] for part in parts))


def parts_record(parts: Sequence[Part]) -> list[Part]:
    """The parts as `result.json` repeats them: without whole configs and process numbers."""
    inner = ("config", "process")
    return [{key: value for key, value in part.items() if key not in inner} for part in parts]


def configs(parts: Sequence[Part]) -> dict[int, Any]:
    """Number of a part, from 1, -> its config, where another one than that of the part before."""
    numbered = enumerate(parts, start=1)
    return {number: part["config"] for number, part in numbered if part.get("config")}


def parts_table(parts: Sequence[Part], duration: Callable[[float], str]) -> ShownTable:
    """A row a part; `duration` turns seconds into words."""
    columns = ["part", "began (UTC)", "images", "time", "ended", "commit", "machine", "recipe"]
    rows = [_row(number, part, duration) for number, part in enumerate(parts, start=1)]
    notes = []
    if any(part["status"] == "killed" for part in parts):
        notes.append("A killed part counts up to its last checkpoint.")
    if any(later["images_from"] < earlier["images_to"] for earlier, later in pairwise(parts)):
        notes.append("Images before an earlier part's end were trained again, from a checkpoint.")
    return ShownTable(columns, rows, notes=notes)


def _row(number: int, part: Part, duration: Callable[[float], str]) -> list[Cell]:
    began = part["began"].replace("T", " ").removesuffix("+00:00")
    texts = [
        began,
        f"{part['images_from']:,} to {part['images_to']:,}",
        duration(part["seconds"]),
        part["status"],
        str(part.get("commit") or MISSING),
        machine(part),
        recipe(part),
    ]
    return [Cell(str(number), number=True), *map(Cell, texts)]


def machine(part: Part) -> str:
    """`host, Intel(R) Xeon(R), 2 x NVIDIA H200`."""
    found = part.get("machine")
    if not isinstance(found, Mapping):
        return MISSING
    hosts, devices = found.get("hosts"), found.get("devices")
    said = [str(host) for host in hosts] if isinstance(hosts, list) else []
    said += [str(found["processor"])] if found.get("processor") else []
    if isinstance(devices, Mapping):
        said += [f"{count} \N{MULTIPLICATION SIGN} {name}" for name, count in devices.items()]
    return ", ".join(said) or MISSING


def recipe(part: Part) -> str:
    """The hash of its config and what differs from the first part's."""
    changes = part.get("changes")
    listed = [str(each) for each in changes] if isinstance(changes, list) else []
    more = len(listed) - MOST_CHANGES
    shown = [*listed[:MOST_CHANGES], *([f"and {more} more"] if more > 0 else [])]
    return ": ".join(filter(None, [str(part.get("config_hash") or ""), "; ".join(shown)]))
