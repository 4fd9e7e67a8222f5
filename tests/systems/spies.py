"""Callbacks for `allow_targets=[spies]`: they kill, poison or take notes."""

import os
import random
import resource
import signal
import time
from pathlib import Path

import numpy as np
import torch
from lightning import Callback

from ganlab.systems.drawing import Drawing


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Killer(Callback):
    """Sends this process SIGKILL at an exact moment, once `images` images were seen."""

    def __init__(self, images: int, moment: str):
        self.images, self.moment = images, moment

    def setup(self, trainer, pl_module, stage):
        getattr(self, f"arm_{self.moment}")(trainer, pl_module)

    def when_due(self, system, target, name, act):
        """Wrap a method so that `act` runs instead of it once the clock is past the moment."""
        original = getattr(target, name)

        def wrapped(*arguments, **options):
            if system.images_seen >= self.images:
                act(original, *arguments, **options)
            return original(*arguments, **options)

        setattr(target, name, wrapped)

    def arm_step(self, trainer, system):
        """Between the two optimizer steps of one batch."""
        self.when_due(system, system, "train_generator", lambda *a, **k: die())

    def arm_batch(self, trainer, system):
        """At a batch boundary."""
        self.when_due(system, system, "on_train_batch_start", lambda *a, **k: die())

    def arm_write(self, trainer, system):
        """With half a checkpoint on disk."""

        def half(original, path, *arguments, **options):
            original(path, *arguments, **options)
            os.truncate(path, Path(path).stat().st_size // 2)
            die()

        self.when_due(system, trainer, "save_checkpoint", half)

    def arm_row(self, trainer, system):
        """With half a row of metrics.csv on disk."""

        def half(original, metrics, step=None):
            original(metrics, step)
            path = Path(trainer.log_dir or ".") / "metrics.csv"
            os.truncate(path, path.stat().st_size - 7)
            die()

        self.when_due(system, trainer.loggers[0], "log_metrics", half)

    def arm_scoring(self, trainer, system):
        """Where the final scores begin: the last checkpoint is written, the result is not."""
        scores = next(each for each in trainer.callbacks if hasattr(each, "score_training"))
        self.when_due(system, scores, "score_training", lambda *a, **k: die())

    def arm_image(self, trainer, system):
        """Where a sample grid is about to get its name."""
        original = os.replace

        def replace(source, target, **options):
            if str(target).endswith(".png") and system.images_seen >= self.images:
                die()
            return original(source, target, **options)

        os.replace = replace


def watch_latents(note):
    """Let `note(purpose, latents)` see whatever a step draws from now on; returns how to stop."""
    draw = Drawing.latents

    def noted(self, purpose, n):
        latents = draw(self, purpose, n)
        note(purpose, latents)
        return latents

    Drawing.latents = noted
    return lambda: setattr(Drawing, "latents", draw)


class Notes(Callback):
    """Saves, for each batch of each rank, its image indices, latents and local gradients."""

    def __init__(self, directory: str):
        self.directory, self.notes = Path(directory), []

    def on_train_start(self, trainer, pl_module):
        self.gradients = {}
        for name, parameter in pl_module.discriminator.named_parameters():
            parameter.register_hook(
                lambda g, name=name: self.gradients.__setitem__(name, g.clone())
            )
        watch_latents(lambda purpose, latents: self.latents.__setitem__(purpose, latents.clone()))

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.latents = {}
        self.images = batch.image.clone()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        first = next(iter(self.gradients))
        self.notes.append(
            {
                "index": batch.index,
                "image": self.images,
                "latents": dict(self.latents),
                "gradient": self.gradients[first],
            }
        )

    def on_train_end(self, trainer, pl_module):
        torch.save(self.notes, self.directory / f"notes{trainer.global_rank}.pt")


class Images(Callback):
    """Saves the images of each batch of each rank, whatever is trained on them."""

    def __init__(self, directory: str):
        self.directory, self.images = Path(directory), []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.images.append(batch.image.clone())

    def on_train_end(self, trainer, pl_module):
        torch.save(self.images, self.directory / f"notes{trainer.global_rank}.pt")


class Jitter(Callback):
    """Shakes a weight by numbers from every global random stream, as code of a user's may."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        drawn = torch.rand(()) + random.random() + np.random.rand()  # noqa: NPY002
        next(pl_module.generator.parameters()).data.add_(drawn, alpha=1e-3)


class Raise(Callback):
    """Raises at an exact moment, as a bug or a full memory would."""

    def __init__(self, images: int):
        self.images = images

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if pl_module.images_seen >= self.images:
            raise RuntimeError("out of luck")


class Poison(Callback):
    """Puts a NaN into one named parameter."""

    def __init__(self, images: int, name: str):
        self.images, self.name = images, name

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if pl_module.images_seen >= self.images:
            pl_module.get_parameter(self.name).data.view(-1)[0] = float("nan")


class Fate(Callback):
    """What befalls one rank at a batch's start: it is killed, raises, or the other waits for ever.

    With `stuck` rank 1 is killed and rank 0 does not look at its connections any more, as one that
    waits in a collective of NCCL.
    """

    def __init__(self, rank: int, images: int, how: str):
        self.rank, self.images, self.how = rank, images, how

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if pl_module.images_seen < self.images or pl_module.images_seen >= 2 * self.images:
            return
        if self.how == "stuck" and trainer.global_rank != self.rank:
            time.sleep(1000)
        if trainer.global_rank == self.rank:
            if self.how == "raise":
                raise RuntimeError("out of luck")
            die()


class DiskFull(Callback):
    """On one rank no file can grow beyond `size` bytes from one count of images to another."""

    def __init__(self, images: int, until: int, size: int = 0, rank: int = 0):
        self.images, self.until, self.size, self.rank = images, until, size, rank

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_rank == self.rank:
            full = self.images <= pl_module.images_seen < self.until
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.size if full else hard, hard))


class Dawdle(Callback):
    """Takes its time before training starts, after it, or on one rank amid it, and says when."""

    def __init__(self, path: str, moment: str = "before", seconds: float = 100.0, rank: int = 0):
        self.path, self.moment, self.seconds, self.rank = Path(path), moment, seconds, rank

    def on_fit_start(self, trainer, pl_module):
        self.dawdle("before", trainer)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if pl_module.images_before < 32 <= pl_module.images_seen:
            self.dawdle("amid", trainer)

    def on_train_end(self, trainer, pl_module):
        self.dawdle("scoring", trainer)

    def dawdle(self, moment, trainer):
        if moment == self.moment and trainer.global_rank == self.rank:
            self.path.touch()
            time.sleep(self.seconds)


class Forgetful(Callback):
    """Begins the data anew in a resumed run."""

    def on_fit_start(self, trainer, pl_module):
        trainer.datamodule.position = 0
