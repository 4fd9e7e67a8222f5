"""What makes a training on a GPU faster, each way by itself."""

from dataclasses import dataclass

import torch
from lightning import Callback, LightningModule, Trainer

from ganlab.nn.blockwise import Blockwise
from ganlab.systems.training import Training


@dataclass(eq=False)
class Speed(Callback):
    """Sets what the config asks for, and sets it back at the end; see `make_trainer`."""

    tf32: bool = False
    fused: bool = False
    compile: str | None = None
    resident_mb: float = 0.0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Before there are optimizers."""
        if stage == "fit" and isinstance(pl_module, Training):
            pl_module.fused = self.fused

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Once everything is where it will be."""
        if pl_module.device.type == "cuda":
            self.before = self.round_products(self.tf32)
        if not isinstance(pl_module, Training):  # a user's own
            return
        if self.compile is not None and isinstance(pl_module.generator, Blockwise):
            pl_module.generator.compile_blocks(self.compile)
        if self.resident_mb and pl_module.data is not None:
            pl_module.data.reside(pl_module.device, self.resident_mb)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Scores and studies that follow are computed in full."""
        if pl_module.device.type == "cuda":
            self.round_products(self.before)

    @staticmethod
    def round_products(tf32: bool) -> bool:
        """Whether float32 factors are rounded to 10 bits of mantissa; returns what was before."""
        before = torch.backends.cudnn.allow_tf32
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = tf32
        return before
