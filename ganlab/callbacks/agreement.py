"""All ranks of a run must be of one mind about what it is."""

from typing import Any

from lightning import Callback, LightningModule, Trainer

from ganlab.systems.random_state import gather


class SameConfig(Callback):
    """Compares the hash of the config over all ranks before anything is trained or scored.

    Raises:
        ValueError: a rank was started with another config; the message names ranks and hashes.
    """

    def __init__(
        self,
        config_hash: str,  # of this rank's resolved config, and what else must be the same
    ) -> None:
        super().__init__()
        self.config_hash = config_hash

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Ask every rank, once they can hear each other."""
        if trainer.world_size > 1:
            self.agree(gather(self.config_hash))

    def agree(self, hashes: list[Any]) -> None:
        """Refuse hashes, in rank order, that are not all the same."""
        if len(set(hashes)) > 1:
            listed = ", ".join(f"rank {rank}: {each}" for rank, each in enumerate(hashes))
            raise ValueError(
                f"the ranks of this run were started with different configs ({listed}); start all "
                "of them with the same words and the same hydra.run.dir=, or from one cell.yaml"
            )
