"""Whether the discriminator learns its images by heart."""

from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from ganlab.callbacks.observer import Observer, fixed_fakes, log_row
from ganlab.data import ImageData
from ganlab.data.positions import random_positions, stored_images
from ganlab.networks.base import Condition
from ganlab.sampling import Sampler, batched, evaluating
from ganlab.systems.gan import GAN
from ganlab.systems.training import Training

KEY = "callbacks.overfitting"


def overfitting(training: Tensor, held_out: Tensor, generated: Tensor) -> float:
    """r_v of Karras et al. 2020 (arXiv:2006.06676), equation 1, from logits of each kind.

    0 where held-out images are judged as those of training are, 1 where as generated ones.
    """
    gap = training.mean() - held_out.mean()
    return (gap / (training.mean() - generated.mean())).item()


class Overfitting(Observer):
    """Logs the mean logit of images of training, of held-out ones and of the averaged generator.

    `logit/training`, `logit/held_out`, `logit/generated`, and `overfitting`, how far the second has
    gone from the first to the third. All are judged without augmentation, by the discriminator as
    it stands; the images are the same at every tick. Rank 0 only.

    Raises:
        ValueError: on construction fewer than two images; before training, data without a side
            that is held out, or a model without a discriminator that judges images alone.
    """

    def __init__(
        self,
        every_kimg: float,  # a measurement each time training crosses this
        num: int = 256,  # images of each kind, or as many as there are
        seed: int = 0,  # of the choice of images, and of the latents
        batch_size: int = 64,  # images judged at a time
    ) -> None:
        super().__init__(every_kimg)
        if num < 2 or batch_size < 1:
            raise ValueError(f"{KEY}.num must be at least 2, and {KEY}.batch_size at least 1")
        self.num, self.seed, self.batch_size = num, seed, batch_size
        self.held_out: ImageData | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Refuse what cannot be measured."""
        if not (isinstance(pl_module, GAN) and pl_module.discriminator.augments):
            raise ValueError(f"{KEY} needs a discriminator that is shown images alone")
        try:
            self.held_out = None if pl_module.data is None else pl_module.data.held_out()
        except ValueError as error:
            raise ValueError(f"{KEY} needs images that are held out: {error}") from error

    def observe(self, trainer: Trainer, system: Training) -> None:
        """Judge, compare, log."""
        if not (trainer.is_global_zero and isinstance(system, GAN)) or self.held_out is None:
            return
        assert system.data is not None  # else nothing is held out
        reals = {"training": system.data, "held_out": self.held_out}
        with evaluating(system.discriminator):
            logits = {name: self.of_reals(system, data) for name, data in reals.items()}
            logits["generated"] = self.of_fakes(system)
        metrics = {f"logit/{name}": each.mean().item() for name, each in logits.items()}
        log_row(trainer, metrics | {"overfitting": overfitting(**logits)}, system.images_seen)

    def of_reals(self, system: GAN, data: ImageData) -> Tensor:
        """Logits of a fixed random choice, each told what it is of."""
        num = len(data.dataset)
        chosen = random_positions(num, min(num, self.num), "overfitting", self.seed)
        found = []
        for indices in batched(sorted(chosen), self.batch_size):
            batch, condition = system.conditioner(stored_images(data, indices, system.device))
            found.append(logits_of(system, batch.image, condition))
        return torch.cat(found)

    def of_fakes(self, system: GAN) -> Tensor:
        """Logits of latents 0 .. num-1, each told what its image was made of."""
        sampler = Sampler.of(system, self.seed)
        told = map(sampler.condition, batched(range(self.num), self.batch_size))
        fakes = fixed_fakes(system, self.num, self.seed, self.batch_size)
        pairs = zip(fakes, told, strict=True)
        return torch.cat([logits_of(system, images, condition) for images, condition in pairs])


@torch.no_grad()
def logits_of(system: GAN, images: Tensor, condition: Condition | None) -> Tensor:
    """(N, ..) logits of (N, C, H, W) images of full size, shown as reals are."""
    discriminator = system.discriminator
    logits: Tensor = discriminator(discriminator.views(images), condition)
    return logits.float()
