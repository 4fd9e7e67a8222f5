"""Hears signals while the main thread cannot: it may sit in a collective, where Python waits."""

import math
import os
import signal
import threading
from collections.abc import Sequence

from ganlab.processes import busy_seconds
from ganlab.systems.signals import STOPS, URGENT

IDLE = 0.03  # a process that uses a smaller share of a core waits for something


class Alarm:
    """The signals to stop that came to this process, and for how long nobody worked since.

    All is counted in looks, not by a clock: while a job is suspended nobody looks.
    """

    def __init__(self) -> None:
        self.number: int | None = None  # the first signal, an urgent one before others
        self.again = False  # whether a second, urgent one came later
        self.looks = 0  # since the first
        self.idle = 0  # the newest of them at which no rank of this machine worked
        self._used: dict[int, float] = {}  # processor time of each process at the look before
        self._pipe: tuple[int, int] | None = None
        self._before = -1

    def set(self) -> None:
        """Have the system tell us of signals as they come; works in the main thread alone."""
        if threading.current_thread() is threading.main_thread():
            self._pipe = os.pipe()
            for end in self._pipe:
                os.set_blocking(end, False)
            self._before = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)

    def reset(self) -> None:
        """Undo `set`."""
        if self._pipe is not None:
            signal.set_wakeup_fd(self._before)
            for end in self._pipe:
                os.close(end)
            self._pipe = None

    def look(self, pids: Sequence[int], seconds: float) -> None:
        """Hear what came since the last look, so long ago, and see whether a process worked."""
        new = [number for number in self._heard() if number in STOPS]
        urgent = [number for number in new if number in URGENT]
        self.looks += self.number is not None
        if self.number in URGENT:
            self.again |= bool(urgent) and self.looks > 1
        elif new and (urgent or self.number is None):
            self.number, self.looks = (urgent or new)[0], 0
        used = {pid: busy_seconds(pid) for pid in pids}
        works = math.inf in used.values() or any(
            time - self._used.get(pid, 0.0) > IDLE * seconds for pid, time in used.items()
        )
        self.idle, self._used = 0 if works else self.idle + 1, used

    def _heard(self) -> list[int]:
        if self._pipe is None:
            return []
        try:
            return list(os.read(self._pipe[0], 4096))
        except OSError:  # nothing came
            return []
