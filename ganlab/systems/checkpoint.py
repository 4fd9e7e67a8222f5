"""Checkpoints: written whole or not at all, self-describing, safe to open."""

import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins import TorchCheckpointIO

from ganlab import __version__
from ganlab.checks.places import place_named
from ganlab.cli import SharedError
from ganlab.places import KEPT, is_among
from ganlab.storage import DamagedFile, irregularity
from ganlab.storage.archive import CompressedArchive
from ganlab.storage.atomic import PARTIAL
from ganlab.storage.pickles import RefusedPickle
from ganlab.storage.untrusted import read_untrusted
from ganlab.systems.clock import crossed
from ganlab.systems.nonfinite import bad_parameter
from ganlab.systems.random_state import FORMAT, gather
from ganlab.systems.schema import DESCRIBED, complaint, overgrown
from ganlab.systems.scorer import scorers
from ganlab.systems.signals import Stops
from ganlab.systems.training import Training

BEST = "best.ckpt"
LEFT_BEHIND = ".left"  # ends the name of what was kept on a course that a run has left
TAKEN = "the directory was moved or removed while this run wrote it"
REQUIRED = ("recipe", "images_seen", "state_dict")


class CheckpointError(ValueError):
    """A file that is missing, is no checkpoint, or is one that must not be trusted."""


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Open a checkpoint without running anything in it, every checksum in it compared.

    Raises:
        CheckpointError: the file is missing, damaged, holds more than plain data, is not ours or
            of a later version.
    """
    place = require_file(path)
    try:
        content = read_untrusted(place, archived=True)
    except (DamagedFile, CompressedArchive, RefusedPickle, OSError) as error:
        raise CheckpointError(f"ckpt={path}: {unreadable(error)}") from error
    return check_content(content, place)


def require_file(path: str | Path) -> Path:
    """The path of a file.

    Raises:
        CheckpointError: there is none; says what is there instead, or beside it.
        ValueError: its name is longer than a file system can hold.
    """
    path = place_named(path, "ckpt")
    if path.is_dir():
        raise CheckpointError(
            f"ckpt={path} is a directory; name a file such as {path}/checkpoints/last.ckpt"
        )
    if (kind := irregularity(path)) is not None:
        raise CheckpointError(f"ckpt={path} is {kind}")
    if not path.is_file():
        raise CheckpointError(f"ckpt={path}: no such file{_nearby(path)}")
    return path


def is_ours(content: object) -> bool:
    """Whether a file's content has what a checkpoint has, sound or not."""
    return isinstance(content, dict) and {*REQUIRED} <= content.keys()


def check_content(content: Any, path: Path) -> dict[str, Any]:
    """A file's content as a checkpoint, once all its fields are known to be ones.

    Raises:
        CheckpointError: what `load_checkpoint` says of content.
    """
    missing = [key for key in REQUIRED if not isinstance(content, dict) or key not in content]
    if missing:
        raise CheckpointError(
            f"ckpt={path} was not written by ganlab (it lacks {', '.join(missing)})"
        )
    if wrong := overgrown(content):
        raise CheckpointError(f"ckpt={path}: {wrong}")
    refuse_later(content, f"ckpt={path}")
    if wrong := complaint(content, DESCRIBED):
        raise CheckpointError(f"ckpt={path}: {wrong}")
    return dict(content)


def refuse_later(checkpoint: Any, name: str) -> None:
    """Refuse a file whose form this version does not know; files before forms had a number pass.

    Raises:
        CheckpointError: names the version that wrote it.
    """
    form = checkpoint.get("format", FORMAT) if isinstance(checkpoint, dict) else FORMAT
    if type(form) is not int or not 1 <= form <= FORMAT:
        version = str(checkpoint.get("version", "of another version"))[:40]
        raise CheckpointError(
            f"{name} has format {form!r:.40}, written by ganlab {version}; this is ganlab "
            f"{__version__}, which reads up to format {FORMAT}: open it with the version it is of"
        )


def unreadable(error: Exception) -> str:
    """Why a file was not read, in a sentence."""
    if isinstance(error, RefusedPickle):
        return f"it was not opened for safety: {error}"
    return f"not a readable checkpoint; it is damaged or some other kind of file: {error}"


def _nearby(path: Path) -> str:
    others = sorted(path.parent.glob("*.ckpt")) if path.parent.is_dir() else []
    return f"; there are {', '.join(other.name for other in others)}" if others else ""


def first_complaint(verdict: str | None) -> str | None:
    """The first rank's complaint, if any: what only one rank sees must stop all of them."""
    return next((each for each in gather(verdict) if each is not None), None)


class Writer(TorchCheckpointIO):
    """Writes checkpoints and raises nothing."""

    failure: str | None = None  # why the newest file was not written; None = it was


class Checkpointing(Checkpoint):
    """Writes `last.ckpt` every K kimg, at the end, and on a signal to stop or an exception.

    A file appears under its name only when complete and on disk. `best.ckpt` is the same file under
    a second name, taken whenever a scoring callback says that its monitored score improved, and
    `kept/<images seen>.ckpt` one that stays. A
    signal (SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2) is answered at a batch boundary, where the
    state is consistent and all ranks know of it; a second SIGTERM, SIGINT or SIGHUP at once.
    """

    def __init__(
        self,
        directory: str | Path,  # where last.ckpt and best.ckpt go
        every_kimg: float | None = 50.0,  # None = only at the end and when interrupted
        written: Callable[[int], None] | None = None,  # hears the images seen of each new file
        taken: Callable[[], bool] = bool,  # whether the directory is no longer this run's
        keep_every_kimg: float | None = None,  # a copy of these stays; None = none does
        max_hours: float | None = None,  # until the run is stopped; None = never
    ) -> None:
        super().__init__()
        self.directory = Path(directory)
        for key, kimg in (("checkpoint", every_kimg), ("keep", keep_every_kimg)):
            if kimg is not None and kimg < 0.001:
                raise ValueError(f"{key}_every_kimg={kimg} should be at least 0.001")
        self.every_images = None if every_kimg is None else round(every_kimg * 1000)
        self.kept_images = None if keep_every_kimg is None else round(keep_every_kimg * 1000)
        self.written, self.taken, self.stops = written, taken, Stops(max_hours)
        self.saved_at: int | None = None  # images_seen of the newest file
        self.failure: str | None = None  # why the newest attempt left no file
        self.failed_at: int | None = None  # images_seen of the newest attempt that left none

    @property
    def signal(self) -> int | None:
        """The signal that asked this run to stop; of several ranks, once all know of it."""
        return self.stops.agreed

    def lost(self, images_seen: int) -> bool:
        """Whether the state after so many images is in no file, because none could be written."""
        return self.failure is not None and self.saved_at != images_seen

    @property
    def last(self) -> Path:
        """Path of the newest checkpoint."""
        return self.directory / "last.ckpt"

    def on_train_start(self, trainer: Trainer, pl_module: Training) -> None:  # type: ignore[override]
        """Take over the stop signals; let callbacks answer the step a crash kept from them.

        A run that had all its images already takes no further step: what is left is its end.
        """
        self.stops.take()
        begun = Path(trainer.ckpt_path) if trainer.ckpt_path else self.last
        branch = not is_among(begun, self.directory)  # of another run's: what it tells is its own
        if branch:
            pl_module.patience.anew(scorers(trainer))
        if branch or (begun.name not in (self.last.name, BEST) and self.is_behind(pl_module)):
            for callback in scorers(trainer):
                callback.best = None
        if not branch and not pl_module.exact_resume and trainer.is_global_zero:
            self.leave_behind(pl_module.images_seen)
        if pl_module.open_tick is not None:
            pl_module.images_before, pl_module.open_tick = pl_module.open_tick, None
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                callback.on_train_batch_end(trainer, pl_module, None, None, 0)
        if pl_module.complete:
            trainer.should_stop = True
            if not branch and begun.name == self.last.name:  # else there is no file of it yet
                self.saved_at = pl_module.images_seen
            self.stops.give_back()
            pl_module.take_random_state()  # the first batch, which would, does not come

    def leave_behind(self, images_seen: int) -> None:
        """Rename what was kept beyond a moment that a run was forced back to: it has other ones.

        Whoever goes through what a run kept, as `study=averages`, must not meet both.
        """
        for path in sorted((self.directory / KEPT).glob("*.ckpt")):
            if path.stem.isdecimal() and int(path.stem) > images_seen:
                names = (path.with_name(f"{path.stem}.{n}{LEFT_BEHIND}") for n in count(1))
                path.rename(next(name for name in names if not name.exists()))

    def is_behind(self, system: Training) -> bool:
        """Whether a run went back to before its `best.ckpt`, whose score it then never had."""
        with suppress(CheckpointError):
            return int(load_checkpoint(self.directory / BEST)["images_seen"]) > system.images_seen
        return False

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: Training, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Save when a boundary was crossed, a score improved, a signal came, or all is trained.

        What follows the last image, mostly scores, can be repeated: a signal may end it at once.
        """
        pl_module.mid_tick = False  # checkpoints are written last: every other callback is done
        stop = self.stops.asked(trainer, pl_module)
        complete = pl_module.complete
        due, kept = (
            every is not None and crossed(pl_module.images_before, pl_module.images_seen, every)
            for every in (self.every_images, self.kept_images)
        )
        best = any(callback.improved for callback in scorers(trainer))
        if due or kept or best or stop or complete:
            self.save(trainer, pl_module, best, kept)
        if complete and not stop:
            self.stops.pass_on()
        if stop:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: Training) -> None:  # type: ignore[override]
        """Save the final state, and the final score's best.

        Raises:
            SharedError: neither this time nor before could the final state be written.
        """
        best = any(callback.improved for callback in scorers(trainer))
        if self.saved_at != pl_module.images_seen or best:
            self.save(trainer, pl_module, best)
        self.stops.give_back()
        if self.lost(pl_module.images_seen):
            raise SharedError(
                f"the final checkpoint could not be written ({self.failure}){self.advice}; "
                f"ckpt={self.last}, if there is one, goes on from before"
            )

    def on_exception(self, trainer: Trainer, pl_module: Training, exception: BaseException) -> None:  # type: ignore[override]
        """Save if the exception fell between two steps; within one the state is not consistent."""
        self.stops.give_back()
        if trainer.world_size > 1 or pl_module.mid_step or not trainer.optimizers:
            return
        if pl_module.images_seen and pl_module.images_seen not in (self.saved_at, self.failed_at):
            self.save(trainer, pl_module, best=False)

    def save(self, trainer: Trainer, system: Training, best: bool, kept: bool = False) -> None:
        """Write `last.ckpt`; give it the name `best.ckpt` too if asked, and one that is kept.

        A full disk costs this file, never the one before it, and does not end the run. Every rank
        learns of it: they must not differ in what comes next.
        """
        self.failure = first_complaint(TAKEN if self.taken() else None)
        if self.failure is None:
            bad = first_complaint(bad_parameter(system.networks()))
            if bad is not None:
                warnings.warn(f"not saving: {bad} is not finite; kept {self.last}", stacklevel=2)
                return
            names = [BEST] if best else []
            names += [f"{KEPT}/{system.images_seen:09d}.ckpt"] if kept else []
            self.failure = first_complaint(self._written(trainer, names))
        if self.failure is None:
            self.saved_at = system.images_seen
            if self.written is not None:
                self.written(system.images_seen)
        elif self.failed_at != system.images_seen:  # another attempt at it says nothing new
            self.failed_at = system.images_seen
            warnings.warn(
                f"checkpoint at {system.images_seen} images was not written ({self.failure}); "
                f"the one before it is kept{self.advice}",
                stacklevel=2,
            )

    @property
    def advice(self) -> str:
        """What helps against the failure, as the end of a sentence."""
        return "" if self.failure == TAKEN else f"; free some space under {self.directory}"

    def _written(self, trainer: Trainer, names: Sequence[str]) -> str | None:
        """Write on rank 0 while the others wait; why it failed there, if it did."""
        partial, writer = self.directory / f"last.ckpt{PARTIAL}", trainer.strategy.checkpoint_io
        trainer.save_checkpoint(partial)
        failure = writer.failure if isinstance(writer, Writer) else None
        if failure is not None or not trainer.is_global_zero:
            return failure
        try:
            for name in names:  # first: killed in between, the run goes on from before them
                self._name(partial, name)
            partial.replace(self.last)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            return str(error)
        return None

    def _name(self, written: Path, name: str) -> None:
        link = self.directory / f"{name}{PARTIAL}"
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        try:
            os.link(written, link)
        except OSError:  # a file system without hard links
            link.write_bytes(written.read_bytes())
        link.replace(self.directory / name)
