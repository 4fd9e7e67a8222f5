"""When a rank is gone or stopped the others end soon, say which one it was and how to go on."""

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from ganlab.cli import tell
from ganlab.processes import is_running, is_stopped
from ganlab.systems.alarm import Alarm
from ganlab.systems.checkpoint import Checkpointing
from ganlab.systems.random_state import gather
from ganlab.systems.rendezvous import FIRST, wait_for_long
from ganlab.systems.signals import URGENT, Stops

POLL = 1.0  # seconds between two looks at the other processes
NOTICE = 5.0  # seconds until a process whose connection broke is seen to be gone
PATIENCE = 15.0  # seconds this rank has to end by itself once another is gone
STOPPED = 40  # looks in a row at which a rank was stopped, until it is given up
ANSWER = 5  # looks that a signal may wait for its answer where none can come
IDLE = 30  # looks in a row at which nobody works: then a signal will not be answered
BUSY = 600  # looks that a signal waits at most, for scores as for anything else
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
    return neighbour(rank, os.getpid())


def neighbour(rank: int, pid: int) -> Peer:
    """A rank in another process that is numbered as this one is."""
    host, space = socket.gethostname(), Path("/proc/self/ns/pid")
    return Peer(rank, host, str(space.readlink()) if space.exists() else "", pid)


class Watch(Callback):
    """Looks after the ranks on this machine, from before they meet until a run's end.

    A rank that waits for one that died may wait for half an hour, and for one that is stopped or
    that it never met as well: gloo notices a closed connection, NCCL does not, and a signal is not
    answered meanwhile. So a thread looks at the processes. Once one is gone this one has `PATIENCE`
    seconds to fail by itself, then it says what happened and exits. Who is stopped for long is
    killed, and so is gone. All counts are of looks: while the whole job is suspended nobody looks.
    """

    def __init__(
        self,
        way_on: Callable[[], str],  # how to go on, as the last words of a sentence
    ) -> None:
        super().__init__()
        self.way_on = way_on
        self.rank = 0
        self.others: list[Peer] = []  # once they have met
        self.near: list[Peer] = []  # those whose processes can be looked at
        self.children: list[Any] = []  # processes that this rank started, rank 1 first
        self.launcher: Any = None  # who starts them
        self.stopped: dict[Peer, int] = {}  # at how many looks in a row
        self.stops: Stops | None = None  # of a training run
        self.alarm = Alarm()
        self.over = threading.Event()
        self.meeting = threading.Lock()

    @contextmanager
    def looking(self, trainer: Trainer) -> Iterator[None]:
        """Look after those who start or were started with this rank, and then after all."""
        self.launcher, self.rank = trainer.strategy.launcher, trainer.global_rank
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        self.stops = next((c.stops for c in callbacks if isinstance(c, Checkpointing)), None)
        first = os.environ.get(FIRST) if trainer.local_rank else None
        parents = [neighbour(self.rank - trainer.local_rank, int(first))] if first else []
        environment = self.launcher and self.launcher.cluster_environment
        starts = environment is not None and not environment.creates_processes_externally
        if starts:
            os.environ[FIRST] = str(os.getpid())
        self.alarm.set()
        looks = partial(self._look, parents)
        threading.Thread(target=looks, daemon=True, name="ranks").start()
        try:
            yield
        finally:
            self.over.set()
            self.alarm.reset()
            if starts:
                os.environ.pop(FIRST, None)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Get to know the others."""
        if trainer.world_size == 1:
            return
        us = this_process(trainer.global_rank)
        others = [each for each in gather(us) if each.rank != us.rank]
        here = [each for each in others if (each.host, each.space) == (us.host, us.space)]
        with self.meeting:
            self.near, self.others = [each for each in here if is_running(each.pid)], others
        if self.near == others:
            wait_for_long()

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

    def _look(self, parents: Sequence[Peer] = ()) -> None:
        while not self.over.wait(POLL):
            with self.meeting:
                if not self.others:
                    self._find_family(parents)
            self._count()
            if given_up := [each for each, looks in self.stopped.items() if looks >= STOPPED]:
                self.kill_stopped(given_up)
            if (peer := self.gone()) is not None:
                if not self.over.wait(PATIENCE):
                    self.end(self.message(peer))
                return
            if (reason := self.unanswered()) is not None:
                self.end(f"{reason}; {self.way_on()}")
                return

    def _find_family(self, parents: Sequence[Peer]) -> None:
        started = enumerate(self._started(), self.rank + 1)
        self.near = [*parents, *(neighbour(rank, each.pid) for rank, each in started)]
        retire_observer()

    def _started(self) -> list[Any]:
        self.children = getattr(self.launcher, "procs", self.children)
        return self.children

    def _count(self) -> None:
        """See who is stopped, and what signal came; of the dead the last count is kept."""
        for peer in self.near:
            if is_stopped(peer.pid):
                self.stopped[peer] = self.stopped.get(peer, 0) + 1
            elif is_running(peer.pid):
                self.stopped.pop(peer, None)
        self.alarm.look([os.getpid(), *(each.pid for each in self.near)], POLL)

    def unanswered(self) -> str | None:
        """Why a signal that came to this rank will not be answered by itself; None if it may be."""
        alarm = self.alarm
        if alarm.number is None or alarm.looks < ANSWER:
            return None
        name = signal.Signals(alarm.number).name
        hung = [each for each, looks in self.stopped.items() if looks >= ANSWER]
        if not self.others:
            return f"ended by {name} before all ranks had met"
        if hung:
            return f"ended by {name} while {self._listed(hung)} was stopped, and killed it"
        if alarm.again:
            return f"ended at once by a second signal after {name}"
        answered = self.answered() or alarm.number not in URGENT
        if not answered and (min(alarm.idle, alarm.looks) >= IDLE or alarm.looks >= BUSY):
            return f"ended by {name}, as no rank here did anything about it for {alarm.looks} s"
        return None

    def end(self, text: str) -> None:
        """Say it, leave nobody stopped or alone behind, and exit."""
        self.kill_stopped()
        self.leave()
        tell(f"error: {text}")
        number = self.alarm.number
        os._exit(1 if number is None else 128 + number)

    def kill_stopped(self, peers: Sequence[Peer] | None = None) -> None:
        """End the processes that are stopped, by default all: they could not end by themselves."""
        for peer in self.near if peers is None else peers:
            if is_stopped(peer.pid):
                self.stopped.setdefault(peer, 1)
                with suppress(OSError):
                    os.kill(peer.pid, signal.SIGKILL)

    def message(self, peer: Peer | None, reason: str = "") -> str:
        """Who is gone, or else what broke; and the way on."""
        if peer is not None and not self._speaks():
            return f"rank {self.rank} ends too, as rank {peer.rank} is gone"
        if peer is not None:
            return f"{peer} is gone{self._manner(peer)}, so this run ends; {self.way_on()}"
        far = self._listed([each for each in self.others if each not in self.near])
        seen = f"; not on this machine: {far}" if far else ""
        return f"the connection to another rank broke ({reason}){seen}; {self.way_on()}"

    def _speaks(self) -> bool:
        """Whether this is the first rank of this machine that can say what happened."""
        lower = [each for each in self.near if each.rank < self.rank]
        return not any(is_running(each.pid) and not is_stopped(each.pid) for each in lower)

    def _listed(self, peers: Sequence[Peer]) -> str:
        return ", ".join(map(str, peers))

    def _manner(self, peer: Peer) -> str:
        if looks := self.stopped.get(peer):
            return f": it was stopped for {looks} s and was killed"
        child = next((each for each in self.children if each.pid == peer.pid), None)
        code = 0
        with suppress(subprocess.TimeoutExpired):  # its first thread may be gone before the others
            code = 0 if child is None else child.wait(NOTICE)
        if code >= 0:
            return ""
        name = signal.Signals(-code).name if -code in {*signal.Signals} else f"signal {-code}"
        hint = " (often the system's answer to full memory)" if name == "SIGKILL" else ""
        return f", ended by {name}{hint}"

    def answered(self) -> bool:
        """Whether all ranks know of a signal, and save."""
        return self.stops is not None and self.stops.agreed is not None

    def explain(self, error: BaseException) -> str:
        """What a broken connection means, once the process at its other end is seen to be gone."""
        until = time.monotonic() + NOTICE
        while self.near and self.gone() is None and time.monotonic() < until:
            time.sleep(0.1)
        return self.message(self.gone(), " ".join(str(error).split())[:200])

    @contextmanager
    def concluding(self) -> Iterator[None]:
        """Where this rank fails leave nobody stopped, or alone at a meeting that does not come.

        Raises:
            RankLostError: in place of the error of a broken connection.
        """
        try:
            yield
        except BaseException as error:
            broken = isinstance(error, RuntimeError) and BROKEN.search(str(error))
            text = self.explain(error) if self.others and broken else None
            self.kill_stopped()
            self.leave()
            if text is not None:
                raise RankLostError(text) from error
            raise

    def leave(self) -> None:
        """End the ranks that this one started, unless they have met and so notice by themselves."""
        for child in [] if self.others else self._started():
            child.kill()


def retire_observer() -> None:
    """Stop Lightning's own watcher: it kills the first rank before that has said anything."""
    for thread in threading.enumerate():
        if thread.name == "child-process-observer":
            thread._run = lambda: True  # type: ignore[attr-defined]  # its answer to "finished?"


@contextmanager
def lost_ranks_named(trainer: Trainer) -> Iterator[None]:
    """Look after the ranks of a run; a broken connection is told as who is gone, in one line.

    Raises:
        RankLostError: see there.
    """
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    watch = next((each for each in callbacks if isinstance(each, Watch)), None)
    if watch is None or trainer.world_size == 1:
        yield
        return
    with watch.looking(trainer), watch.concluding():
        yield
