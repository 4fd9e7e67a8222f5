"""Checkpoints: written whole or not at all, self-describing, safe to open."""

import os
import re
import signal
import warnings
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import distributed

from ganlab.systems.clock import crossed
from ganlab.systems.guard import bad_parameter
from ganlab.systems.state import gathered

if TYPE_CHECKING:
    from ganlab.systems.gan import GAN

POLL_IMAGES = 1_000  # how often several ranks ask each other for a signal
REQUIRED = ("recipe", "images_seen", "state_dict")


class CheckpointError(ValueError):
    """A file that is missing, is no checkpoint, or is one that must not be trusted."""


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Open a checkpoint without running anything in it.

    Raises:
        CheckpointError: the file is missing, damaged, holds more than plain data, or is not ours.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise CheckpointError(
            f"ckpt={path} is a directory; name a file such as {path}/checkpoints/last.ckpt"
        )
    if not path.is_file():
        raise CheckpointError(f"ckpt={path}: no such file{_nearby(path)}")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"ckpt={path}: {_unreadable(error)}") from error
    missing = [key for key in REQUIRED if not isinstance(checkpoint, dict) or key not in checkpoint]
    if missing:
        raise CheckpointError(
            f"ckpt={path} was not written by ganlab (it lacks {', '.join(missing)})"
        )
    return checkpoint


def _unreadable(error: Exception) -> str:
    if re.search("Unsupported (global|class)|not an allowed global", str(error)):
        return (
            "it holds pickled objects besides tensors and plain data, and was not opened for safety"
        )
    return "not a readable checkpoint; it is damaged or some other kind of file"


def _nearby(path: Path) -> str:
    others = sorted(path.parent.glob("*.ckpt")) if path.parent.is_dir() else []
    return f"; there are {', '.join(other.name for other in others)}" if others else ""


def agreed(verdict: str | None) -> str | None:
    """The first rank's complaint, if any: what only one rank sees must stop all of them."""
    return next((each for each in gathered(verdict) if each is not None), None)


class Checkpointing(Checkpoint):
    """Writes `last.ckpt` every K kimg, at the end, and on SIGTERM, SIGINT or an exception.

    A file appears under its name only when complete and on disk. `best.ckpt` is the same file under
    a second name, taken whenever a scoring callback says that its monitored score improved. A
    signal is answered at the next batch boundary, where the state is consistent; a second one at
    once.
    """

    def __init__(
        self,
        directory: str | Path,  # where last.ckpt and best.ckpt go
        every_kimg: float | None = 50.0,  # None = only at the end and when interrupted
    ) -> None:
        super().__init__()
        self.directory = Path(directory)
        if every_kimg is not None and every_kimg < 0.001:
            raise ValueError(f"checkpoint_every_kimg={every_kimg} should be at least 0.001")
        self.every_images = None if every_kimg is None else round(every_kimg * 1000)
        self.signal: int | None = None  # the signal that asked this run to stop
        self.saved_at: int | None = None  # images_seen of the newest file
        self.failure: str | None = None  # why the newest attempt left no file
        self._handlers: dict[int, Any] = {}

    @property
    def last(self) -> Path:
        """Path of the newest checkpoint."""
        return self.directory / "last.ckpt"

    def on_train_start(self, trainer: Trainer, pl_module: "GAN") -> None:  # type: ignore[override]
        """Take over the stop signals; let callbacks answer the step a crash kept from them.

        A run that had all its images already takes no further step: what is left is its end.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            self._handlers[number] = signal.signal(number, self._request_stop)
        begun = trainer.ckpt_path  # a branch has another run's file: its best is one of its own
        if begun and Path(begun).resolve().parent != self.directory.resolve():
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if hasattr(callback, "improved"):
                    callback.best = None
        if pl_module.open_tick is not None:
            pl_module.images_before, pl_module.open_tick = pl_module.open_tick, None
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                callback.on_train_batch_end(trainer, pl_module, None, None, 0)
        if pl_module.images_seen >= pl_module.kimg * 1000:
            trainer.should_stop, self.saved_at = True, pl_module.images_seen
            pl_module.take_random_state()  # the first batch, which would, does not come

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            self._restore_handlers()
            raise KeyboardInterrupt
        self.signal = number

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._handlers = {}

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: "GAN", outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when a boundary was crossed, a score improved, or a signal came."""
        pl_module.mid_tick = False  # checkpoints are written last: every other callback is done
        stop = self._stop_requested(trainer, pl_module)
        due = self.every_images is not None and crossed(
            pl_module.images_before, pl_module.images_seen, self.every_images
        )
        best = any(getattr(callback, "improved", False) for callback in trainer.callbacks)  # type: ignore[attr-defined]
        if due or best or stop:
            self.save(trainer, pl_module, best)
        if stop:
            trainer.should_stop = True

    def _stop_requested(self, trainer: Trainer, system: "GAN") -> bool:
        if trainer.world_size == 1:
            return self.signal is not None
        # Ranks must agree before they save; asking at every step would cost a synchronization each.
        if not crossed(system.images_before, system.images_seen, POLL_IMAGES):
            return False
        number = torch.tensor(self.signal or 0, device=trainer.strategy.root_device)
        distributed.all_reduce(number, distributed.ReduceOp.MAX)
        self.signal = int(number) or None
        return self.signal is not None

    def on_train_end(self, trainer: Trainer, pl_module: "GAN") -> None:  # type: ignore[override]
        """Save the final state, and the final score's best.

        Raises:
            OSError: neither this time nor before could the final state be written.
        """
        best = any(getattr(callback, "improved", False) for callback in trainer.callbacks)  # type: ignore[attr-defined]
        if self.saved_at != pl_module.images_seen or best:
            self.save(trainer, pl_module, best)
        self._restore_handlers()
        if self.failure is not None and self.saved_at != pl_module.images_seen:
            raise OSError(
                f"the final checkpoint could not be written ({self.failure}): free some space "
                f"under {self.directory}; ckpt={self.last}, if there is one, goes on from before"
            )

    def on_exception(self, trainer: Trainer, pl_module: "GAN", exception: BaseException) -> None:  # type: ignore[override]
        """Save if the exception fell between two steps; within one the state is not consistent."""
        self._restore_handlers()
        if trainer.world_size > 1 or pl_module.mid_step or not trainer.optimizers:
            return
        if pl_module.images_seen and self.saved_at != pl_module.images_seen:
            self.save(trainer, pl_module, best=False)

    def save(self, trainer: Trainer, system: "GAN", best: bool) -> None:
        """Write `last.ckpt`; give it the name `best.ckpt` too if asked.

        A full disk costs this file, never the one before it, and does not end the run. Every rank
        learns of it: they must not differ in what comes next.
        """
        bad = agreed(bad_parameter(system.networks()))
        if bad is not None:
            warnings.warn(f"not saving: {bad} is not finite; kept {self.last}", stacklevel=2)
            return
        self.failure = agreed(self._written(trainer, best))
        if self.failure is None:
            self.saved_at = system.images_seen
            return
        warnings.warn(
            f"checkpoint at {system.images_seen} images was not written ({self.failure}); "
            f"the one before it is kept; free some space under {self.directory}",
            stacklevel=2,
        )

    def _written(self, trainer: Trainer, best: bool) -> str | None:
        """Write on rank 0 while the others wait; why it failed there, if it did."""
        partial, writer = self.directory / "last.ckpt.partial", trainer.strategy.checkpoint_io
        trainer.save_checkpoint(partial)
        failure: str | None = getattr(writer, "failure", None)
        if failure is not None or not trainer.is_global_zero:
            return failure
        try:
            if best:  # first: killed in between, the run goes on from before and comes here again
                self._name_best(partial)
            partial.replace(self.last)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            return str(error)
        return None

    def _name_best(self, written: Path) -> None:
        link = self.directory / "best.ckpt.partial"
        link.unlink(missing_ok=True)
        try:
            os.link(written, link)
        except OSError:  # a file system without hard links
            link.write_bytes(written.read_bytes())
        link.replace(self.directory / "best.ckpt")
