"""The curve of a run: one row a tick, from sums that stayed on the device."""

from typing import Any

import torch
from lightning import Trainer

from ganlab.callbacks.observer import Observer, log_row
from ganlab.loggers import trackers_of
from ganlab.systems.divergence import watch
from ganlab.systems.training import Training


class MetricsLog(Observer):
    """At each tick reads the system's running means, resets them and logs them under `images_seen`.

    Under several ranks the means are means over all of them. Losses out of range are noted, see
    `systems.divergence`. A checkpoint of the same batch belongs after this callback: it then holds
    means that start anew, and the row is in the log already.
    """

    def __init__(
        self,
        every_kimg: float,  # a row each time training crosses this
    ) -> None:
        super().__init__(every_kimg)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Cut the logs back to the clock, so that a resumed curve holds every row once."""
        for tracker in trackers_of(trainer.loggers):
            tracker.truncate(pl_module.images_seen)

    def observe(self, trainer: Trainer, system: Training) -> None:
        """Read, reset, log."""
        means = self.over_ranks(trainer, system.running_means.read())
        system.running_means.reset()
        watch(trainer, system, means)
        if means:
            log_row(trainer, means, system.images_seen)

    def over_ranks(self, trainer: Trainer, means: dict[str, float]) -> dict[str, float]:
        """The mean of each value over the ranks, which all know the same names."""
        if trainer.world_size == 1 or not means:
            return means
        values = torch.tensor(list(means.values()), device=trainer.strategy.root_device)
        total: Any = trainer.strategy.reduce(values, reduce_op="mean")
        return dict(zip(means, total.tolist(), strict=True))
