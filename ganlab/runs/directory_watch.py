"""A run writes to a directory for as long as it holds it."""

import time
from pathlib import Path

from lightning import Callback, LightningModule, Trainer

from ganlab.runs import locks
from ganlab.runs.directory import sweep

LOOK = 1.0  # seconds between two looks


class DirectoryWatch(Callback):
    """Clears away what a kill left in a run's directory, once nothing can be refused any more.

    Ends a run whose directory was moved or removed: by now it may be another run's.

    Raises:
        InUseError: says how to go on.
    """

    def __init__(
        self,
        directory: str | Path,  # of the run
    ) -> None:
        self.directory, self.looked = Path(directory), time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Clear away; every rank has looked at the checkpoint, the config and the data by now."""
        if trainer.is_global_zero:
            sweep(self.directory)
        trainer.strategy.barrier("cleared away")  # before another rank writes there

    on_test_start = on_train_start

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Look now and then, before anything else is written."""
        if time.monotonic() - self.looked < LOOK:
            return
        self.looked = time.monotonic()
        if locks.is_lost(self.directory):
            raise locks.InUseError(
                f"{self.directory} was moved or removed while this run wrote it: the run ends and "
                "writes nothing more; ckpt=<where its last.ckpt is now> goes on"
            )
