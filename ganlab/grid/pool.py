"""Runs prepared cells on one machine, several at a time, and lives through their failures."""

import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ganlab.grid import cell as cells
from ganlab.grid.devices import Devices
from ganlab.grid.forks import fork, forks
from ganlab.grid.preparation import Prepared
from ganlab.grid.process import STOPS, CellProcess, conclude, conclude_unstarted, start, stop
from ganlab.grid.progress import LiveTable
from ganlab.processes import heeded_signals
from ganlab.slurm import AGAIN
from ganlab.storage.turns import announced

POLL = 0.2  # seconds


@dataclass
class Running:
    """A cell's process and the places it holds."""

    process: CellProcess
    places: list[str]


@dataclass
class Pool:
    """Starts waiting cells where places are free until all have ended or a signal asks to stop.

    The first Ctrl-C, SIGTERM, SIGHUP, SIGUSR1 or SIGUSR2 is passed on to the cells, which save and
    end; so is a second one, on which they end at once; a third kills them.
    """

    prepared: Iterable[Prepared]  # in their order; the first starts before the last is prepared
    devices: Devices
    seconds: float = 2.0  # between two drawings of the table
    states: dict[Path, str] = field(default_factory=dict)
    running: dict[Path, Running] = field(default_factory=dict)
    signals: list[int] = field(default_factory=list)

    def run(self) -> dict[Path, str]:
        """Directory -> how its cell ended; `waiting` where a signal kept it from starting."""
        table, waiting = LiveTable(self.seconds), dict[Path, cells.Cell]()
        with self.answering(), self.last_rites():
            actions = self.begin(waiting, table)
            announce(table, actions, self.devices)
            while self.running or (waiting and not self.signals):
                self.advance(waiting, table)
                time.sleep(POLL)
        table.update(self.states, now=True)
        return self.states

    def begin(self, waiting: dict[Path, cells.Cell], table: LiveTable) -> list[str]:
        """Take cells up as they are prepared, starting some; what is to be done about each."""
        actions = []
        for each in self.prepared:
            actions.append(each.action)
            self.states[each.cell.directory] = "done" if each.action == "skip" else "waiting"
            if each.action != "skip":
                waiting[each.cell.directory] = each.cell
            if self.signals:
                break
            self.advance(waiting, table)
        return actions

    def advance(self, waiting: dict[Path, cells.Cell], table: LiveTable) -> None:
        """Start what can start, take note of what has ended, and draw."""
        self.start_some(waiting)
        self.collect()
        table.update(self.states)

    def start_some(self, waiting: dict[Path, cells.Cell]) -> None:
        """Start cells in their order; one that needs more places than are free holds the others."""
        while waiting and not self.signals:
            directory, cell = next(iter(waiting.items()))
            places = self.devices.take(self.devices.wanted(cell.config))
            if places is None:
                return
            environment = self.devices.environment(cell.config, places) | announced()
            begin = fork if forks(cell.config, environment) else start
            del waiting[directory]
            try:
                process = begin(directory, environment, directory / cells.LOG)
            except OSError as error:  # no memory for a process, or the folder is gone
                self.states[directory] = conclude_unstarted(directory, error)
                self.devices.give_back(places)
            else:
                self.running[directory] = Running(process, places)
                self.states[directory] = "running"

    def collect(self) -> None:
        """Take note of the cells that have ended."""
        for directory, each in list(self.running.items()):
            if each.process.poll() is not None:
                stop(each.process, signal.SIGKILL)  # ranks that outlived their first process
                self.states[directory] = conclude(
                    directory, each.process.returncode, bool(self.signals), each.process.pid
                )
                self.devices.give_back(each.places)
                del self.running[directory]

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Pass signals on while cells run."""
        with ExitStack() as stack:
            if threading.current_thread() is threading.main_thread():
                for number in heeded_signals(STOPS):
                    before = signal.signal(number, self.pass_on)
                    stack.callback(signal.signal, number, before)
            yield

    def pass_on(self, number: int, frame: object) -> None:
        """Answer a signal."""
        self.signals.append(number)
        urgent = [each for each in self.signals if each not in AGAIN]
        for each in self.running.values():
            stop(each.process, number if len(urgent) < 3 else signal.SIGKILL)

    @contextmanager
    def last_rites(self) -> Iterator[None]:
        """Leave no process behind if we must go."""
        try:
            yield
        finally:
            for each in self.running.values():
                stop(each.process, signal.SIGTERM)


def announce(table: LiveTable, actions: Sequence[str], devices: Devices) -> None:
    """Say how many cells there are, what is done already, and how many run at a time."""
    if not actions:
        return
    counts = [(actions.count("skip"), "done already"), (actions.count("continue"), "to continue")]
    known = "".join(f", {n} {what}" for n, what in counts if n)
    kind = "GPU" if devices.gpus else "CPU slot"
    table.say(
        f"{len(actions)} cell{'s' * (len(actions) > 1)}{known}; {devices.size} at a time, "
        f"one a {kind}; what a cell prints is in its {cells.LOG}"
    )
