"""When an observer looks, and at what: ticks of the clock and images of fixed latents."""

import errno
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from ganlab.loggers import trackers_of
from ganlab.nn.randomness import derived_seed
from ganlab.report.images import Pixels
from ganlab.sampling import Sampler, batched
from ganlab.systems.clock import crossed
from ganlab.systems.training import Training

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what a write says that found no room


def is_finished(system: Training) -> bool:
    """Whether the run has reached its length, as opposed to having been stopped before."""
    return system.complete


class Observer(Callback):
    """Calls `observe` after each batch that crosses a multiple of `every_kimg`, and after the last.

    The last batch of a run that is stopped early and resumed later is not the run's last.

    Raises:
        ValueError: a period below one image.
    """

    def __init__(self, every_kimg: float) -> None:
        super().__init__()
        self.every_images = round(every_kimg * 1000)
        if self.every_images < 1:
            name = type(self).__name__
            raise ValueError(f"every_kimg of {name} must be at least 0.001, got {every_kimg}")

    def due(self, system: Training) -> bool:
        """Whether the batch that just ended is one to look at."""
        return is_finished(system) or crossed(
            system.images_before, system.images_seen, self.every_images
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look, if it is time."""
        if self.due(pl_module):
            self.observe(trainer, pl_module)

    def observe(self, trainer: Trainer, system: Training) -> None:
        """What the observer does at a tick; on every rank."""
        raise NotImplementedError


@contextmanager
def tolerate(what: str | Path, reads: bool = False) -> Iterator[None]:
    """Let a picture that could not be written cost itself, not the run.

    One that `reads` other files may find them to be none of ours, which a ValueError says.
    """
    kinds = (OSError, ValueError) if reads else (OSError,)
    try:
        yield
    except kinds as error:
        full = isinstance(error, OSError) and error.errno in FULL
        advice = "; free some space" if full else ""
        warnings.warn(f"{what} was not written ({error}){advice}", stacklevel=3)


def log_row(trainer: Trainer, metrics: Mapping[str, float], images_seen: int) -> None:
    """Hand metrics to every logger; loggers join what they receive at equal `images_seen`."""
    for logger in trainer.loggers:
        logger.log_metrics(dict(metrics), step=images_seen)


def log_picture(trainer: Trainer, key: str, picture: Pixels, images_seen: int) -> None:
    """Hand an (H, W, 3) uint8 picture to every logger that takes pictures."""
    for tracker in trackers_of(trainer.loggers):
        tracker.log_images(key, picture, images_seen)


def fixed_fakes(
    system: Training,  # has generator_ema
    num: int,  # latents 0 .. num-1
    seed: int,
    batch_size: int,  # images a forward pass; bounds the memory
) -> Iterator[Tensor]:
    """Yield the averaged generator's images of addressed latents, see `Sampler`.

    A generator that draws noise of its own gets the same noise each time, and the global random
    streams are left as they were.
    """
    sampler = Sampler.of(system, seed, batch_size=batch_size)
    for indices in batched(range(num), batch_size):
        with isolate_rng():
            torch.manual_seed(derived_seed("noise", seed, indices[0]))
            images = sampler.batch(indices)
        yield images


def class_fakes(
    system: Training,  # has generator_ema, and a conditioner that tells classes
    rows: int,  # latents 0 .. rows-1
    classes: int,  # classes 0 .. classes-1 of each
    seed: int,
    batch_size: int,  # images a forward pass; bounds the memory
) -> Tensor:
    """Each latent in each class, (rows * classes, C, H, W) on the CPU; otherwise as `fixed_fakes`.

    Image c + classes * r is latent r told class c.
    """
    sampler = Sampler.of(system, seed, batch_size=batch_size)
    latents = sampler.latents(range(rows)).repeat_interleave(classes, dim=0)
    with isolate_rng():
        torch.manual_seed(derived_seed("noise", seed, 0))
        return sampler.paint(latents, [*range(classes)] * rows)  # address c is told class c
