"""A curve holds what happened: rows of a future that did not are dropped as training goes on."""

from typing import Any

from lightning import Callback, Trainer

from ganlab.loggers import trackers_of


class CurvesCut(Callback):
    """Drops logged rows that lie ahead of the clock, all where training starts from nothing.

    Once training starts, and before any other callback logs: by then every rank has looked at the
    checkpoint, the config and the data, and nothing was refused.
    """

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Tell each logger that can forget."""
        if not trainer.is_global_zero:
            return
        seen = pl_module.images_seen if trainer.ckpt_path else -1
        for tracker in trackers_of(trainer.loggers):
            tracker.truncate(seen)
