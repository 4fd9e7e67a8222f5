"""Where the numbers of a convolution lie in memory: a matter of speed alone."""

from typing import Any

import torch
from lightning import Callback, Trainer
from torch import nn


class ChannelsLast(Callback):
    """Keeps the channels of a pixel side by side, as matrix units want them.

    Weights are converted once, before training; activations follow them. Values differ from those
    of the other layout by rounding, so a run keeps its layout when it is resumed.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Convert the weights of every network."""
        networks: dict[str, nn.Module] = pl_module.networks()
        for network in networks.values():
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
