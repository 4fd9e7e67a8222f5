"""How a checkpoint reaches the disk: straight to its place, and a failure told, not raised."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins import TorchCheckpointIO


class CheckpointWriter(TorchCheckpointIO):
    """Writes each file where it is asked to, and keeps what went wrong.

    Lightning's own writes to the machine's temporary folder first, which may be small, and raises
    on the rank that writes while the others wait for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failure: str | None = None  # why the newest file was not written; None = it was

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: Any | None = None,
    ) -> None:
        """Write and flush the file; a failure leaves nothing of it, and `failure` says why."""
        path, self.failure = Path(path), None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:  # torch has words of its own for a full disk
            self.failure = str(error)
            with suppress(OSError):
                path.unlink(missing_ok=True)
