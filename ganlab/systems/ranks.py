"""When a rank is gone the others end soon, and say which one it was and how to go on."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from ganlab.processes import is_running
from ganlab.systems.state import gathered

POLL = 1.0  # seconds between two looks at the other processes
NOTICE = 5.0  # seconds until a process whose connection broke is seen to be gone
PATIENCE = 15.0  # seconds this rank has to end by itself once another is gone
BROKEN = re.compile("gloo|nccl|(closed|reset) by peer|broken pipe|socket", re.IGNORECASE)


class RankLostError(ConnectionError):
    """Another rank ended before the run did; the message names it and the way on."""


@dataclass(frozen=True)
class Peer:
    """Another rank's process."""

    rank: int
    host: str
    space: str  # in which the number of its process means something
    pid: int

    def __str__(self) -> str:
        return f"rank {self.rank} (process {self.pid} on {self.host})"


def this_process(rank: int) -> Peer:
    """What this rank tells the others of itself."""
    host, space = socket.gethostname(), Path("/proc/self/ns/pid")
    return Peer(rank, host, str(space.readlink()) if space.exists() else "", os.getpid())


class Watch(Callback):
    """Looks after the ranks on this machine, from the start of a run to its end.

    A rank that waits for one that died may wait for half an hour: gloo notices a closed connection,
    NCCL does not. So a thread looks at the processes; once one is gone this one has `PATIENCE`
    seconds to fail by itself, then it says what happened and exits with 1.
    """

    def __init__(
        self,
        way_on: Callable[[], str],  # how to go on, as the last words of a sentence
    ) -> None:
        super().__init__()
        self.way_on = way_on
        self.others: list[Peer] = []
        self.near: list[Peer] = []  # those whose processes can be looked at
        self.children: list[Any] = []  # processes that this rank started, rank 1 first
        self.over = threading.Event()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Get to know the others and begin to look."""
        if trainer.world_size == 1:
            return
        us = this_process(trainer.global_rank)
        self.others = [each for each in gathered(us) if each.rank != us.rank]
        here = [each for each in self.others if (each.host, each.space) == (us.host, us.space)]
        self.near = [each for each in here if is_running(each.pid)]
        self.children = list(getattr(trainer.strategy.launcher, "procs", []))
        retire_observer()
        threading.Thread(target=self._look, daemon=True, name="ranks").start()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let nobody leave before everybody has stopped looking."""
        if self.others and not self.over.is_set():
            trainer.strategy.barrier("end")
        self.over.set()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """This rank ends by itself."""
        self.over.set()

    def gone(self) -> Peer | None:
        """The first rank of this machine that has ended."""
        return next((each for each in self.near if not is_running(each.pid)), None)

    def _look(self) -> None:
        while not self.over.wait(POLL):
            if (peer := self.gone()) is not None:
                if not self.over.wait(PATIENCE):
                    print(f"error: {self.message(peer)}", file=sys.stderr, flush=True)
                    os._exit(1)
                return

    def message(self, peer: Peer | None, reason: str = "") -> str:
        """Who is gone, or else what broke; and the way on."""
        if peer is not None:
            return f"{peer} is gone{self._manner(peer)}, so this run ends; {self.way_on()}"
        far = ", ".join(str(each) for each in self.others if each not in self.near)
        seen = f"; not on this machine: {far}" if far else ""
        return f"the connection to another rank broke ({reason}){seen}; {self.way_on()}"

    def _manner(self, peer: Peer) -> str:
        child = next((each for each in self.children if each.pid == peer.pid), None)
        code = 0
        with suppress(subprocess.TimeoutExpired):  # its first thread may be gone before the others
            code = 0 if child is None else child.wait(NOTICE)
        if code >= 0:
            return ""
        name = signal.Signals(-code).name if -code in {*signal.Signals} else f"signal {-code}"
        hint = " (often the system's answer to full memory)" if name == "SIGKILL" else ""
        return f", ended by {name}{hint}"

    def explain(self, error: BaseException) -> str:
        """What a broken connection means, once the process at its other end is seen to be gone."""
        until = time.monotonic() + NOTICE
        while self.near and self.gone() is None and time.monotonic() < until:
            time.sleep(0.1)
        return self.message(self.gone(), " ".join(str(error).split())[:200])


def retire_observer() -> None:
    """Stop Lightning's own watcher: it kills the first rank before that has said anything."""
    for thread in threading.enumerate():
        if thread.name == "child-process-observer":
            thread._run = lambda: True  # type: ignore[attr-defined]  # its answer to "finished?"


@contextmanager
def lost_ranks_named(trainer: Trainer) -> Iterator[None]:
    """Turn the error of a broken connection into one line about the rank that is gone.

    Raises:
        RankLostError: see there.
    """
    try:
        yield
    except RuntimeError as error:
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        watch = next((each for each in callbacks if isinstance(each, Watch)), None)
        if watch is None or not watch.others or not BROKEN.search(str(error)):
            raise
        raise RankLostError(watch.explain(error)) from error
