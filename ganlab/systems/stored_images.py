"""Images that are there already, as a system whose generator paints the one its address names."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ganlab.data import ImageData
from ganlab.networks.base import Condition, Generator
from ganlab.systems.conditioning import Conditioner
from ganlab.systems.system import System


class StoredImages(Generator):
    """Paints stored images: a condition's label is the position of one; latents say nothing."""

    latent_dim = 1
    anchor: Tensor

    def __init__(
        self,
        data: ImageData,  # set up
    ) -> None:
        super().__init__()
        self.data, self.channels = data, data.channels
        self.height, self.resolution = data.dataset.pixels.shape[2:]
        self.register_buffer("anchor", torch.zeros(()))  # where images are wanted

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.height, self.resolution

    @property
    def layers(self) -> dict[str, nn.Module]:
        """None."""
        return {}

    def forward(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        """The images of these positions, (N, C, H, W) in [-1, 1]."""
        assert condition is not None
        assert condition.label is not None
        batch = self.data.batch(condition.label.cpu())
        return self.data.on_after_batch_transfer(batch.to(self.anchor.device), 0).image


class Positions(Conditioner):
    """Tells each address itself."""

    def at(self, indices: Sequence[int]) -> Condition:
        """The addresses as labels."""
        return Condition(label=torch.tensor(list(indices)))


class StoredImageSystem(System):
    """Stored images for whoever scores a system's."""

    generates = False

    def __init__(
        self,
        data: ImageData,  # set up
        place: str,  # where they lie, for results
    ) -> None:
        super().__init__()
        self.generator_ema, self.discriminator = StoredImages(data), None
        self.conditioner = Positions()
        self.recipe = {"source": {"name": "images", "file": place}}
        self.eval()

    def networks(self) -> dict[str, nn.Module]:
        """The album."""
        return {"generator_ema": self.generator_ema}
