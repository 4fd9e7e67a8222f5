"""A generator that was trained elsewhere: all that scores and studies ask of a system."""

from collections.abc import Sequence

from torch import nn

from ganlab.networks.base import Discriminator, Generator
from ganlab.systems.conditioning import Labels
from ganlab.systems.system import System


class Pretrained(System):
    """Holds networks for evaluation; there is nothing to train them with.

    A conditional generator is told class i mod their number at address i. Its clock stands at zero
    images: how many the generator saw elsewhere is not known.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator | None = None,  # None = it was not kept
        label_names: Sequence[str] = (),  # what its labels mean, in order, where that is known
    ) -> None:
        super().__init__()
        self.generator_ema = generator.requires_grad_(False)
        self.discriminator = None if discriminator is None else discriminator.requires_grad_(False)
        if generator.num_labels:
            self.conditioner = Labels(generator.num_labels, label_names)
        self.recipe = {}
        self.eval()

    def train(self, mode: bool = True) -> "Pretrained":
        """Stay in evaluation mode."""
        super().train(False)
        return self

    def networks(self) -> dict[str, nn.Module]:
        """Those there are, by name."""
        found = {"generator_ema": self.generator_ema, "discriminator": self.discriminator}
        return {name: network for name, network in found.items() if network is not None}
