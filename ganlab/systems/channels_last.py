"""Where the numbers of a convolution lie in memory: a matter of speed alone."""

import torch
from lightning import Callback, LightningModule, Trainer

from ganlab.systems.system import System


class ChannelsLast(Callback):
    """Keeps the channels of a pixel side by side, as matrix units want them.

    Weights are converted once, before training; activations follow them. Values differ from those
    of the other layout by rounding, so a run keeps its layout when it is resumed.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Convert the weights of every network."""
        assert isinstance(pl_module, System)
        for network in pl_module.networks().values():
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
