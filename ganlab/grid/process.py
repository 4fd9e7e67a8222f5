"""The process of a cell, seen from the process that started it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Protocol

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from ganlab.grid import cell as cells
from ganlab.grid.cell import GridError
from ganlab.grid.preparation import prepare_together
from ganlab.processes import ENDING, external_rank, heeded_signals
from ganlab.report.directions import way_of, ways_of
from ganlab.slurm import AGAIN

ROOT = Path(__file__).parents[2]
HASH = "GANLAB_CELL"  # a cell's hash of its file, for the ranks it starts
STOPS = (*ENDING, *AGAIN)
SAVING = 120  # seconds a stopped cell has to save when this process must go


def sweeping() -> bool:
    """Whether Hydra runs this job for a sweep."""
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


class CellProcess(Protocol):
    """A cell's process: a `subprocess.Popen`, or a fork."""

    @property
    def pid(self) -> int:
        """Its number, and that of the group of all its ranks."""
        ...

    @property
    def returncode(self) -> Any:
        """Of the ended process, negative for the signal that ended it; None while it runs."""
        ...

    def poll(self) -> int | None:
        """The same, looked for."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """The same, waited for."""
        ...


def environment_of(environment: Mapping[str, str]) -> dict[str, str]:
    """What a cell's process is told, so that it finds this very package."""
    given = {key: value for key, value in environment.items() if key != HASH}
    paths = [str(ROOT), *filter(None, [given.get("PYTHONPATH")])]
    return given | {"PYTHONPATH": os.pathsep.join(paths)}


def start(
    directory: Path,
    environment: Mapping[str, str] = os.environ,
    log: Path | None = None,  # None = on this process's terminal
) -> CellProcess:
    """Start a cell's process in a session of its own, so that signals reach it once, through us."""
    command = [sys.executable, "-m", "ganlab.grid", str(directory)]
    with nullcontext() if log is None else log.open("ab") as file:
        return subprocess.Popen(
            command,
            env=environment_of(environment),
            stdout=file,
            stderr=file and subprocess.STDOUT,
            start_new_session=True,
        )


def stop(process: CellProcess, number: int = signal.SIGTERM) -> None:
    """Send a signal to a cell and to all its ranks."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:  # it has ended, or has no group yet, being forked just now
        if process.poll() is None:
            os.kill(process.pid, number)
    except PermissionError:
        pass


def run_cell(config: DictConfig) -> float | None:
    """A sweep's job under a launcher that runs one job a process or a task: run it and wait.

    Returns:
        The cell's objective, for sweepers that look for the best.

    Raises:
        GridError: the cell failed; the message names it and says why.
    """
    prepared = prepare_together(config)
    directory = prepared.cell.directory
    if prepared.action != "skip":
        process = start(directory)
        with forwarding(process) as stopped:
            process.wait()
        if external_rank() != 0:  # the first task keeps the record
            sys.exit(process.returncode)
        conclude(directory, process.returncode, bool(stopped), process.pid)
        if stopped:
            sys.exit(128 + stopped[0])
    if problem := complaint(directory):
        raise GridError(f"{directory.name} {problem}; the same command runs it again")
    return objective(cells.result_of(directory), (config.get("grid") or {}).get("objective"))


@contextmanager
def forwarding(process: CellProcess) -> Iterator[list[int]]:
    """Pass stop signals on to a cell, and stop it if this process must leave; yields them."""
    received: list[int] = []

    def forward(number: int, frame: object) -> None:
        received.append(number)
        stop(process, number)

    main = threading.current_thread() is threading.main_thread()
    # submitit has an answer of its own to one of the scheduler's
    free = [number for number in AGAIN if signal.getsignal(number) == signal.SIG_DFL]
    numbers = heeded_signals((*ENDING, *free)) if main else ()
    before = {number: signal.signal(number, forward) for number in numbers}
    try:
        yield received
    except BaseException:  # a cluster's requeue comes as SystemExit: the cell must save first
        stop(process)
        with suppress(subprocess.TimeoutExpired):
            process.wait(SAVING)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop(process, signal.SIGKILL)  # a rank that outlived its first process


def conclude(
    directory: Path,
    returncode: int,
    stopped: bool = False,
    pid: int | None = None,  # of the process that ended; None = whoever began the attempt
) -> str:
    """Complete the record of an attempt whose process has ended; returns the cell's state.

    Only who holds a cell writes about it: where another driver's process runs it, or ran it after
    ours, its word stands. A full disk costs the record, not the other cells.
    """
    with suppress(GridError, OSError), cells.lock(directory, patience=0.5):
        known = cells.read_attempt(directory)
        waiting, ours = known.get("state") == "waiting", pid in (None, known.get("pid"))
        if waiting or ours:
            facts: dict[str, Any] = {"exit_code": returncode}
            if waiting or known.get("state") == "running":  # its process could not say more
                end = "interrupted" if stopped else "killed" if returncode < 0 else "failed"
                facts |= {"state": end, "error": death(returncode)}
            cells.write_attempt(directory, **facts)
    return cells.state(directory)


def conclude_unstarted(directory: Path, error: OSError) -> str:
    """Record that no process could be started for a cell; returns the cell's state."""
    with suppress(GridError, OSError), cells.lock(directory, patience=0.5):
        cells.write_attempt(directory, state="failed", error=f"it was not started: {error}")
    return cells.state(directory)


def death(returncode: int) -> str:
    """How a process ended that left no word: by which signal, or with which exit code."""
    if returncode >= 0:
        return f"its process ended with exit code {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    hint = "; SIGKILL is often the system's answer to full memory" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{hint}"


def complaint(directory: Path) -> str | None:
    """What became of a cell that is not done, and why; None for one that is done."""
    state = cells.state(directory)
    if state == "done":
        return None
    why = cells.read_attempt(directory).get("error")
    return f"{state} ({why})" if why else state


def objective(result: Mapping[str, Any], metric: str | None = None) -> float | None:
    """The score that a sweeper minimizes: the metric asked for, else the first FID; None without.

    A score of which more is better comes with a minus.

    Raises:
        GridError: the metric asked for was not computed, or improves in no known direction.
    """
    plain = [r for r in result.get("scores") or [] if not r.get("intervention")]
    values = {str(record["metric"]): float(record["value"]) for record in plain}
    if metric is not None and metric not in values:
        raise GridError(f"grid.objective={metric} was not computed; there are {', '.join(values)}")
    first = next((name for name in values if name.startswith("fid")), next(iter(values), None))
    name = metric or first
    if name is None:
        return None
    way = way_of(name, ways_of(plain))
    if way is None:
        raise GridError(f"grid.objective={name}: cannot tell whether less or more is better")
    return values[name] if way == "min" else -values[name]
