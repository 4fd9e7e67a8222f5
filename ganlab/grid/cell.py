"""One cell of a grid on disk: what it is, how its last attempt went, what is to be done now."""

import hashlib
import json
import math
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from ganlab.checks.fields import complaint
from ganlab.config import differences
from ganlab.grid.schema import ATTEMPT, CELL_FIELDS, attempt_of, damage
from ganlab.report.results import checked_result
from ganlab.runs import locks
from ganlab.runs.directory import contents
from ganlab.storage import read_text
from ganlab.storage.atomic import replace_file

CELL, LOG, ASIDE = "cell.yaml", "cell.log", ".attempts"
KEPT = (".hydra", locks.LOCK, locks.HOLDER)  # of this attempt already as older ones move away
MANNER = (  # beginnings of keys that only say how a cell is run
    *("trainer.", "logger.", "callbacks.", "grid.", "allow_targets", "run_dir", "resume"),
    *("log_every_kimg", "sample_every_kimg", "score_every_kimg", "checkpoint_every_kimg"),
    *("scores.every_kimg", "data.cache_dir", "data.max_pixels", "data.memory_budget_mb"),
    *("keep_every_kimg", "stop", "max_hours"),
    *("metrics.reducible", "scores.suite.reducible", "study.suite.reducible"),
)
# Beginnings of keys that may change under the same name; three lengthen or continue a cell.
FREE = ("kimg", "model.kimg", "ckpt", *MANNER)


class GridError(ValueError):
    """A cell that cannot be run or did not finish; the message names it and the way out."""


@dataclass(frozen=True)
class Cell:
    """What `cell.yaml` holds."""

    kind: str  # train or evaluate
    grid: str  # name of the grid
    values: dict[str, Any]  # swept key -> value
    overrides: list[str]  # the command line that makes this cell alone
    choices: dict[str, str]  # config group -> option
    config: dict[str, Any]  # of `ganlab.run.train` or `evaluate`; run_dir is this directory
    inputs: dict[str, Any] = field(default_factory=dict)  # files it reads -> [bytes, time changed]

    @property
    def directory(self) -> Path:
        """Where it runs."""
        return Path(self.config["run_dir"])

    def write(self) -> Path:
        """Put `cell.yaml` into its directory."""
        text = OmegaConf.to_yaml(OmegaConf.create(asdict(self)))  # interpolations stay as they are
        return replace_file(self.directory / CELL, text.encode())


def read_cell(directory: Path) -> Cell:
    """The cell of a directory, which may have been moved since.

    Raises:
        GridError: no `cell.yaml`, or a damaged one.
    """
    path = Path(directory) / CELL
    try:
        found: Any = OmegaConf.to_container(OmegaConf.create(without_aliases(read_text(path))))
        if wrong := complaint(found, CELL_FIELDS):
            raise ValueError(wrong)
        found["config"]["run_dir"] = str(path.parent.absolute())
        return Cell(**found)
    except FileNotFoundError:
        raise GridError(f"{path} does not exist: {directory} is no cell of a grid") from None
    except Exception as error:  # YAML and OmegaConf have many
        raise GridError(
            f"{path} is damaged ({error}): delete this one file and run again, or say "
            f"grid.fresh=true for all cells; what was left moves to {ASIDE} and a cell begins anew"
        ) from error


def without_aliases(text: str) -> str:
    """YAML in which nothing stands twice: a few lines of aliases can stand for gigabytes.

    Raises:
        ValueError, yaml.YAMLError: an alias, or no YAML.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # an older PyYAML may lack the fast one
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, loader)):
        raise ValueError("it has aliases, which no grid writes")
    return text


def file_hash(directory: Path) -> str:
    """Twelve hexadecimal digits of `cell.yaml` as it stands.

    Raises:
        GridError: there is none.
    """
    path = Path(directory) / CELL
    if not path.is_file():
        raise GridError(f"{path} does not exist: {directory} is no cell of a grid")
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def write_attempt(directory: Path, **facts: object) -> None:
    """Add facts to `attempt.json`: state, number, error, exit_code, started, ended, pid, host."""
    text = json.dumps(read_attempt(directory) | facts, indent=2)
    replace_file(Path(directory) / ATTEMPT, text.encode("utf-8", "replace"))


def read_attempt(directory: Path) -> dict[str, Any]:
    """What is known of the last attempt; nothing where there was none or its file is damaged."""
    try:
        return attempt_of(directory)
    except (OSError, ValueError):
        return {}


def begin_attempt(directory: Path) -> None:
    """Note that this process is at it."""
    number = read_attempt(directory).get("number", 0) + 1
    facts = {"number": number, "state": "running", "pid": os.getpid(), "host": socket.gethostname()}
    facts |= {"started": time.time(), "ended": None, "error": None, "exit_code": None}
    write_attempt(directory, **facts)


@contextmanager
def lock(directory: Path, patience: float = locks.PATIENCE) -> Iterator[None]:
    """Hold a cell for this process; the lock goes with the process, however it ends.

    Raises:
        GridError: another process holds it.
    """
    try:
        with locks.hold(directory, patience):
            yield
    except locks.InUseError as error:
        raise GridError(str(error)) from error


def is_held(directory: Path) -> bool:
    """Whether a process runs the cell at this moment."""
    return locks.holder(directory) is not None


def state(directory: Path) -> str:
    """`missing`, `waiting`, `running`, `done`, `interrupted`, `failed` or `killed`, from files."""
    if not (Path(directory) / CELL).exists():
        return "missing"
    said = str(read_attempt(directory).get("state", "waiting"))
    if said == "running" and not is_held(directory):
        return "killed"
    return said


def result_of(directory: Path) -> dict[str, Any]:
    """The cell's `result.json`; nothing where there is none to read."""
    try:
        return checked_result(directory)
    except (OSError, ValueError):
        return {}


def stamps(config: dict[str, Any]) -> dict[str, Any]:
    """Size and time of every file that an evaluation's settings name: others are another one.

    Of a run's directory it is the result's; no other directory is looked through.
    """
    found = {}
    for word in _texts({key: value for key, value in config.items() if key != "run_dir"}):
        places = (word, word.rpartition(":")[0])  # part of a file, as in x.npz:images
        for place in filter(None, places):
            with suppress(OSError, RuntimeError):  # too long for a file's name; no such user's ~
                path = Path(place).expanduser()
                path = path / "result.json" if path.is_dir() else path
                if path.is_file():
                    found[str(path)] = [path.stat().st_size, path.stat().st_mtime_ns]
    return found


def _texts(settings: Any) -> Iterator[str]:
    if isinstance(settings, str):
        yield settings
    elif isinstance(settings, (dict, list)):
        for value in settings.values() if isinstance(settings, dict) else settings:
            yield from _texts(value)


def plan(cell: Cell, fresh: bool = False) -> tuple[str, str | None]:
    """What to do with a cell: `skip`, `continue` with a checkpoint, or `start`.

    Raises:
        GridError: the directory holds a cell of other settings or another run, or somebody runs it.
    """
    directory = cell.directory
    refuse_another_run(directory)
    if (who := locks.holder(directory)) is not None:
        raise GridError(locks.in_use(directory, who))
    if fresh or not (directory / CELL).exists():
        return "start", cell.config.get("ckpt")
    older = read_cell(directory)
    last = directory / "checkpoints" / "last.ckpt"
    if last.is_file() or state(directory) == "done":  # there is something to lose
        refuse_other_settings(older, cell)
    whole = state(directory) == "done" and not damage(directory)
    if whole and reads_the_same(older, cell) and long_enough(cell):
        return "skip", None
    if cell.kind == "train" and last.is_file():
        return "continue", str(last)
    return "start", cell.config.get("ckpt")


def reads_the_same(older: Cell, cell: Cell) -> bool:
    """Whether an evaluation is of the same checkpoint, which may have a name and be no file.

    Of other files those count that were taken note of.
    """
    named = cell.kind == "train" or older.config.get("ckpt") == cell.config.get("ckpt")
    return named and all(cell.inputs.get(path) == was for path, was in older.inputs.items())


def refuse_another_run(directory: Path) -> None:
    """Refuse a directory in which something was trained that is no cell, and look only.

    Raises:
        GridError: names what is there and the way out.
    """
    directory = Path(directory)
    known = any((directory / name).exists() for name in (CELL, ATTEMPT))
    if not known and (found := contents(directory)) is not None:
        raise GridError(
            f"{directory} holds {found} of a run that is no cell of a grid: name another "
            "hydra.sweep.dir= or grid.name=, or move that run away"
        )


def long_enough(cell: Cell) -> bool:
    """Whether a finished cell has the length that is asked for today."""
    kimg = cell.config.get("kimg") if cell.kind == "train" else None
    result = result_of(cell.directory)
    patience = (result.get("ended_early") or {}).get("patience", 0)
    if patience and patience >= ((cell.config.get("stop") or {}).get("patience") or math.inf):
        return True
    return bool(kimg is None or (result.get("images_seen") or 0) >= 1000 * kimg)


def refuse_other_settings(older: Cell, cell: Cell) -> None:
    """Refuse to call a cell of other settings the same one.

    Raises:
        GridError: names every key that differs.
    """
    changed = differences(comparable(older), comparable(cell))
    changed = [line for line in changed if not line.startswith(FREE)]
    if changed:
        raise GridError(
            f"made with other settings before ({'; '.join(changed)}): "
            "give this grid a name of its own (grid.name=...), or say grid.fresh=true"
        )


def comparable(cell: Cell) -> dict[str, Any]:
    """A cell's settings as they are compared between two runs of a command."""
    return {"kind": cell.kind, **cell.config}


def group_by_fate(problems: Sequence[tuple[str, str]]) -> list[str]:
    """`a, b failed (why)` from pairs of a cell's name and its fate; equal fates are one."""
    by_fate: dict[str, list[str]] = {}
    for name, fate in problems:
        by_fate.setdefault(fate, []).append(name)
    return [f"{', '.join(filter(None, names))} {fate}".strip() for fate, names in by_fate.items()]


def set_aside(directory: Path) -> None:
    """Move what an older attempt left to `.attempts` beside the cells; nothing is deleted."""
    directory = Path(directory)
    old = [path for path in directory.iterdir() if path.name not in KEPT]
    if not old:
        return
    places = (directory.parent / ASIDE / f"{directory.name}-{n}" for n in range(1, 10**6))
    place = next(each for each in places if not each.exists())
    place.mkdir(parents=True)
    for path in old:
        path.rename(place / path.name)
