"""How fast training goes, by the clock on the wall."""

import math
import time
from collections import deque
from typing import Any

from lightning import Trainer

from ganlab.callbacks.observer import Observer, log_row
from ganlab.systems.training import Training

TIMING_COLUMNS = ("images_per_second", "seconds_left")  # what differs between two equal runs


class Pace:
    """Images a second, from marks of (time, images seen); NaN until time has passed."""

    def __init__(
        self,
        images_seen: int,  # at the first mark, now
        window: int = 1,  # the recent rate looks this many marks back
    ) -> None:
        self.first = (time.monotonic(), images_seen)
        self.marks = deque([self.first], maxlen=window + 1)

    def mark(self, images_seen: int) -> None:
        """Note that so many images have been seen by now."""
        self.marks.append((time.monotonic(), images_seen))

    def recent(self) -> float:
        """Images a second over the window."""
        return self._rate(self.marks[0])

    def seconds_left(self, total: float) -> float:
        """Time to `total` images at the mean rate so far, scoring and pauses included."""
        images = max(0.0, total - self.marks[-1][1])
        rate = self._rate(self.first)
        return images / rate if rate else math.nan

    def _rate(self, since: tuple[float, int]) -> float:
        seconds = self.marks[-1][0] - since[0]
        return (self.marks[-1][1] - since[1]) / seconds if seconds > 0 else math.nan


class Throughput(Observer):
    """Logs `images_per_second` since the last tick and `seconds_left` to the end of the run.

    Both are timing columns: they differ between two runs that are otherwise equal.
    """

    def __init__(
        self,
        every_kimg: float,  # a measurement each time training crosses this
    ) -> None:
        super().__init__(every_kimg)
        self.pace: Pace | None = None

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Start the clock where the run starts or was resumed."""
        self.pace = Pace(pl_module.images_seen)

    def observe(self, trainer: Trainer, system: Training) -> None:
        """Log the rate since the last tick."""
        assert self.pace is not None
        self.pace.mark(system.images_seen)
        left = self.pace.seconds_left(system.kimg * 1000)
        values = (self.pace.recent(), left)
        log_row(trainer, dict(zip(TIMING_COLUMNS, values, strict=True)), system.images_seen)
