"""Cells that start at once: forked from a clean process that has imported everything.

What libraries read while they load, such as OMP_NUM_THREADS, is that of the first such cell of a
driver. Cells that are told otherwise, of several ranks or on GPUs, start as processes of their own.
"""

import atexit
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from ganlab.grid.process import STOPS, CellProcess, environment_of

PRELOADED = ["ganlab.run", "ganlab.grid.__main__"]
FIRST: dict[str, str] = {}  # environment that the clean process has


class Fork:
    """A forked cell, with what drivers ask of a `subprocess.Popen`."""

    def __init__(self, process: BaseProcess) -> None:
        assert process.pid is not None
        self.process, self.pid = process, process.pid

    @property
    def returncode(self) -> int | None:
        """Of the ended process, negative for the signal that ended it; None while it runs."""
        return self.process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The same, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not, after so many seconds.
        """
        self.process.join(timeout)
        if (code := self.returncode) is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code


def forks(config: Mapping[str, Any], environment: Mapping[str, str]) -> bool:
    """Whether a cell can be forked: one process on the CPU, and nothing else to be read at load."""
    trainer = config.get("trainer") or {}
    alone = (trainer.get("accelerator"), trainer.get("devices"), trainer.get("num_nodes", 1))
    fits = not FIRST or environment_of(environment) == FIRST
    return sys.platform == "linux" and alone == ("cpu", 1, 1) and fits


def fork(directory: Path, environment: Mapping[str, str], log: Path) -> CellProcess:
    """Start a cell in a session of its own; what it prints goes into its log.

    The first one waits for the imports, which the others then have.
    """
    context = multiprocessing.get_context("forkserver")
    given = environment_of(environment)
    if not FIRST:
        FIRST.update(given)
        context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=perform, args=(directory, given, log))
    with told(given), blocked(), unwarned():
        process.start()
    return Fork(process)


@contextmanager
def told(environment: Mapping[str, str]) -> Iterator[None]:
    """The environment inside the block: the clean process starts with it."""
    before = dict(os.environ)
    become(environment)
    try:
        yield
    finally:
        become(before)


@contextmanager
def unwarned() -> Iterator[None]:
    """What Python starts inside the block says nothing of semaphores that a killed cell held.

    They are cleared away all the same, by a process that is the driver's, not the cell's.
    """
    sys.warnoptions.append("ignore:resource_tracker:UserWarning")
    try:
        yield
    finally:
        sys.warnoptions.pop()


def become(environment: Mapping[str, str]) -> None:
    """Let this process have that environment."""
    os.environ.clear()
    os.environ.update(environment)


@contextmanager
def blocked() -> Iterator[None]:
    """Signals wait inside the block, and with whom is started in it for as long as it lives.

    The clean process ends with the driver, not by a signal to both; a cell takes them once it is in
    a session of its own.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def perform(directory: Path, environment: Mapping[str, str], log: Path) -> None:
    """Become that cell, as `python -m ganlab.grid` would."""
    from ganlab.grid.__main__ import main

    os.setsid()
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)
    become(environment)
    random.seed()
    np.random.seed()  # noqa: NPY002 - the global one, that every fork would share
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    sys.argv = [sys.argv[0], str(directory)]
    try:
        main()
    finally:
        atexit._run_exitfuncs()  # which a fork leaves out: temporary folders, services of trackers
