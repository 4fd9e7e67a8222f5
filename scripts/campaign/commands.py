"""Commands of the product as a user starts them, and all that belongs to each: processes, words."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
MARK = "CHAOS_COMMAND"  # in the environment of each process of a command
TRACEBACK = "Traceback (most recent call last)"


class SurpriseError(Exception):
    """What no promise of the product allows."""


class Interrupted(Exception):  # noqa: N818 (no error: the campaign was told to stop)
    """The campaign was told to stop while a command ran."""


class Command:
    """A training or an evaluation in a session of its own.

    What it prints is read as it comes, so that a process that outlives it keeps nobody waiting.
    """

    stopping = threading.Event()  # of the whole campaign

    def __init__(
        self,
        words: list[str],  # train.py or evaluate.py, and its arguments
        cache: Path,  # of images and statistics
        wrapper: tuple[str, ...] = (),  # words before the program's
    ) -> None:
        self.words, self.mark = words, uuid.uuid4().hex
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
            "GANLAB_CACHE": str(cache),
            MARK: self.mark,
        }
        environment.pop("GANLAB_TRACEBACK", None)
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, *wrapper, *words],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._printed: list[bytes] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._printed.append(line)

    @property
    def output(self) -> str:
        """All that was printed so far."""
        return b"".join(self._printed).decode(errors="replace")

    @property
    def errors(self) -> list[str]:
        """The lines that tell a user what went wrong."""
        lines = self.output.replace("\r", "\n").splitlines()
        return [line for line in lines if line.startswith("error:")]

    @property
    def ended(self) -> bool:
        """Whether its first process has."""
        return self.process.poll() is not None

    def ranks(self) -> dict[int, int]:
        """Rank -> process of those that run; what has no rank of its own is the first."""
        found = {}
        for pid, environment in self._living():
            rank = environment.partition(b"\0LOCAL_RANK=")[2].partition(b"\0")[0]
            found.setdefault(int(rank or 0), pid)  # the first of them; later ones serve it
        return found

    def _living(self) -> list[tuple[int, bytes]]:
        mark, found = f"{MARK}={self.mark}".encode(), []
        for pid in sorted(int(path.name) for path in Path("/proc").glob("[0-9]*")):
            try:
                if mark in (text := Path(f"/proc/{pid}/environ").read_bytes()):
                    found.append((pid, text))
            except OSError:  # ended by now, or somebody else's
                continue
        return found

    def signal(self, number: int, alone: bool = False) -> None:
        """Send it to every process of the group, or to the first one alone."""
        with contextlib.suppress(ProcessLookupError):
            (os.kill if alone else os.killpg)(self.process.pid, number)

    def limit_files(self, size: int | None) -> None:
        """Let no file of its processes grow beyond `size` bytes, as on a full disk; None: undo."""
        for pid, _ in self._living():
            try:
                _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))
            except ProcessLookupError:
                continue

    def wait_until(self, came: Callable[[], bool], seconds: float, poll: float = 0.002) -> bool:
        """Whether something came while the command ran, in so many seconds at most."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if Command.stopping.is_set():
                raise Interrupted
            if came():
                return True
            if self.ended:
                return False
            time.sleep(poll)
        return False

    def end(self, seconds: float, others: float = 20.0) -> int:
        """Its exit code, once every process of it is gone.

        Raises:
            SurpriseError: it, or after it another of its processes, ran longer than it may.
        """
        try:
            if not self.wait_until(lambda: self.ended, seconds, 0.05) and not self.ended:
                raise SurpriseError(f"still running after {seconds:.0f} s: {self._names()}")
            deadline = time.monotonic() + others
            while (names := self._names()) and time.monotonic() < deadline:
                if Command.stopping.wait(0.1):
                    raise Interrupted
            if names:
                raise SurpriseError(f"left behind {others:.0f} s after its end: {names}")
        finally:
            self.kill()
        return self.process.returncode

    def _names(self) -> str:
        return ", ".join(f"rank {rank} ({pid})" for rank, pid in sorted(self.ranks().items()))

    def kill(self) -> None:
        """End whatever is left of it."""
        for pid, _ in self._living():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()
        self._reader.join(5)
