"""How the scales of a generator that makes several agree with each other."""

from pathlib import Path

import torch
from lightning import Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor
from torch.nn import functional as F

from ganlab.callbacks.series import PictureSeries
from ganlab.networks.base import Condition, Generator
from ganlab.nn.randomness import derived_seed
from ganlab.report.images import Pixels, labelled_grid
from ganlab.sampling import Sampler
from ganlab.systems.training import Training


@torch.no_grad()
def scales(
    generator: Generator, latents: Tensor, condition: Condition | None = None
) -> dict[str, Tensor]:
    """Caption -> (N, C, H, W), coarse to fine; empty for a generator of single images.

    A generator with a `chain` shows its steps (a Laplacian pyramid: the enlarged image, the
    detail painted on it, their sum), another its images at each size.
    """
    if chain := generator.chain(latents):
        return chain
    images = generator(latents, condition)
    if not isinstance(images, list):
        return {}
    return {f"{image.shape[-1]} px": image for image in images}


def enlarge(images: Tensor, size: int) -> Tensor:
    """Pixels repeated until the images are `size` wide."""
    return F.interpolate(images, size=(size, size), mode="nearest")


class Scales(PictureSeries):
    """A row for each scale, coarse to fine, a column for each of latents 0 .. num-1 of `seed`.

    The images are those of the averaged generator, the same latents as in the sample grid. Of a
    generator that makes single images no picture is taken.
    """

    name = "scales"

    def __init__(
        self,
        directory: str | Path,  # the run's folder
        every_kimg: float,  # a picture each time training crosses this
        num: int = 8,  # latents
        seed: int = 0,  # of the latents
    ) -> None:
        super().__init__(directory, every_kimg, num)
        self.seed = seed

    def picture(self, trainer: Trainer, system: Training) -> Pixels | None:
        """One captioned row a scale, every pixel drawn as large as the finest scale's."""
        with isolate_rng():
            torch.manual_seed(derived_seed("noise", self.seed, 0))
            sampler, indices = Sampler.of(system, self.seed), range(self.num)
            latents = sampler.latents(indices).to(system.device)
            shown = scales(system.generator_ema, latents, sampler.condition(indices))
        if not shown:
            return None
        size = max(images.shape[-1] for images in shown.values())
        return labelled_grid([(text, enlarge(images, size)) for text, images in shown.items()])
