"""Signals that ask a run to stop: noted when they come, answered when all ranks know of them."""

import math
import signal
import threading
import time
from types import FrameType
from typing import Any

import torch
from lightning import Trainer
from torch import distributed

from ganlab.processes import ENDING, heeded_signals
from ganlab.slurm import AGAIN
from ganlab.systems.training import Training

URGENT = ENDING  # a second one of these does not wait for a boundary
STOPS = (*URGENT, *AGAIN)
TIME_UP = 14  # SIGALRM's number: what a run is stopped by that has used up its hours
ECHO = 1.0  # seconds in which two are one: `timeout` and terminals signal a process and its group
POLL_IMAGES = 1_000  # ranks ask each other for a signal after at most so many images,
POLL_SECONDS = 3.0  # or as many as they saw in this time; a growing network's steps get slower


class Stops:
    """The signals of one training run.

    A signal reaches ranks at different moments, or only one of them, and they must save together.
    Asking each other at every step would cost a synchronization each, and no clock is the same on
    two ranks; so at each poll they take the slowest one's seconds since the poll before, and all
    reckon from them at which image to poll next.
    """

    def __init__(
        self,
        hours: float | None = None,  # from now on until it is as if TIME_UP came; None = never
    ) -> None:
        self.deadline = math.inf if hours is None else time.monotonic() + 3600 * hours
        self.received: int | None = None  # the first that came to this rank
        self.agreed: int | None = None  # the one that all ranks stop for
        self.poll_at = 0  # images_seen at which ranks next ask each other
        self._urged: float | None = None  # when the first urgent one came
        self._polled: tuple[int, float] | None = None  # images_seen and time at the last poll
        self._before: dict[int, Any] = {}  # the handlers that were there

    def take(self) -> None:
        """Answer signals from now on; in the main thread alone, as Python has it."""
        if threading.current_thread() is threading.main_thread():
            self._before = {
                number: signal.signal(number, self.note) for number in heeded_signals(STOPS)
            }

    def give_back(self) -> None:
        """Let those answer again who did before."""
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before = {}

    def pass_on(self) -> None:
        """Give back, and repeat the signal that came too late to be asked for.

        Raises:
            KeyboardInterrupt: mostly their answer.
        """
        self.give_back()
        if self.received not in (None, TIME_UP):
            signal.raise_signal(self.received)

    def note(self, number: int, frame: FrameType | None = None) -> None:
        """Keep the first; a second urgent one is for those who answered before, and ends the run.

        Raises:
            KeyboardInterrupt: mostly their answer.
        """
        self.received = self.received or number
        if number not in URGENT:
            return
        now = time.monotonic()
        if self._urged is None:
            self._urged = now
        elif now - self._urged > ECHO:
            self.give_back()
            signal.raise_signal(number)

    def asked(self, trainer: Trainer, system: Training) -> bool:
        """Whether all ranks stop here; they find the same, and now and then ask each other."""
        if self.received is None and time.monotonic() > self.deadline:
            self.received = TIME_UP
        if trainer.world_size == 1:
            self.agreed = self.received
        elif system.complete or system.images_seen >= self.poll_at:
            self._ask(trainer.strategy.root_device, system.images_seen)
        return self.agreed is not None

    def _ask(self, device: torch.device, images: int) -> None:
        before, now = self._polled, time.monotonic()
        told = torch.tensor([self.received or 0, now - before[1] if before else 0.0], device=device)
        distributed.all_reduce(told, distributed.ReduceOp.MAX)
        number, seconds = told.tolist()
        self.agreed, self._polled = int(number) or None, (images, now)
        self.poll_at = images + (pause(images - before[0], seconds) if before else 1)


def pause(images: int, seconds: float) -> int:
    """Images until the next poll, of ranks that saw so many in so long since the last."""
    rate = images / max(seconds, 1e-6)
    return max(1, min(POLL_IMAGES, int(rate * POLL_SECONDS)))
