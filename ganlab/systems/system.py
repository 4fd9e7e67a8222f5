"""What every model here is to those who sample, score and study it."""

from typing import Any, ClassVar

from lightning import LightningModule
from torch import Tensor, nn

from ganlab.data import ImageData
from ganlab.data.batch import Batch
from ganlab.networks.base import Discriminator, Generator
from ganlab.systems.conditioning import Conditioner


class System(LightningModule):
    """Networks, what they are told, and the clock at which they stand."""

    generator_ema: Generator  # what is sampled, scored and studied
    discriminator: Discriminator | None  # None = there is none, or it was not kept
    conditioner: Conditioner = Conditioner()
    images_seen: int = 0  # real images shown so far, over all ranks: the clock
    kimg: float = 0.0  # length of the training in thousands of images; 0 = not trained here
    recipe: dict[str, Any]  # the resolved config
    generates: ClassVar[bool] = True  # whether its images are made here, by a generator
    reconstructs: ClassVar[bool] = False  # whether `reconstruct` maps images to themselves

    @property
    def data(self) -> ImageData | None:
        """The images that this system is trained on or studied with; None where there are none."""
        found = getattr(self._trainer, "datamodule", None)  # Lightning sets it where one is given
        return found if isinstance(found, ImageData) else None

    @property
    def complete(self) -> bool:
        """Whether it has reached its length."""
        return self.images_seen >= self.kimg * 1000

    def networks(self) -> dict[str, nn.Module]:
        """All networks by name."""
        raise NotImplementedError

    def reconstruct(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images as the networks give them back, where the system `reconstructs`."""
        raise NotImplementedError

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Nothing: studies are callbacks, and read `generator_ema`."""
