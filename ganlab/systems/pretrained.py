"""A generator that was trained elsewhere: all that scores and studies ask of a system."""

from typing import Any

from lightning import LightningModule
from torch import nn

from ganlab.data.batch import Batch
from ganlab.networks.base import Discriminator, Generator


class Pretrained(LightningModule):
    """Holds networks for evaluation; there is nothing to train them with.

    Its clock stands at zero images: how many the generator saw elsewhere is not known.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator | None = None,  # None = it was not kept
    ) -> None:
        super().__init__()
        self.generator_ema = generator.requires_grad_(False)
        self.discriminator = None if discriminator is None else discriminator.requires_grad_(False)
        self.images_seen = 0
        self.recipe: dict[str, Any] = {}
        self.eval()

    def train(self, mode: bool = True) -> "Pretrained":
        """Stay in evaluation mode."""
        super().train(False)
        return self

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Nothing: studies are callbacks, and read `generator_ema`."""

    def networks(self) -> dict[str, nn.Module]:
        """Those there are, by name."""
        found = {"generator_ema": self.generator_ema, "discriminator": self.discriminator}
        return {name: network for name, network in found.items() if network is not None}
