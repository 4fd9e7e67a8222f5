"""Signs of collapse that a loss does not show."""

import torch
from lightning import Trainer
from torch import Tensor

from ganlab.callbacks.observer import Observer, fixed_fakes, log_row
from ganlab.systems.training import Training

GREY_LEVEL = 2 / 255  # one step of an 8-bit file, in images of range [-1, 1]


def pixel_std(images: Tensor) -> Tensor:
    """How much images differ: the standard deviation of each pixel over (N, C, H, W), averaged.

    Between 0, when all N images are one, and 1, when each pixel is -1 in half of them, else 1.
    """
    return images.std(dim=0, correction=0).mean()


def near_duplicates(images: Tensor, threshold: float) -> Tensor:
    """Share of (N, C, H, W) images that have a near-duplicate among the others.

    Two images are near-duplicates when the root mean square of their difference is at most
    `threshold` times its median over all pairs, or at most one grey level of an 8-bit file; the
    second keeps a generator that makes only one image from passing because its median is tiny.
    """
    flat = images.flatten(1).float()
    exact = "donot_use_mm_for_euclid_dist"  # a product in TF32 would set equal images apart
    distance = torch.cdist(flat, flat, compute_mode=exact) / flat.shape[1] ** 0.5  # (N, N)
    first, second = torch.triu_indices(len(flat), len(flat), offset=1, device=flat.device)
    limit = (threshold * distance[first, second].median()).clamp(min=GREY_LEVEL)
    nearest = distance.fill_diagonal_(torch.inf).min(dim=1).values
    share: Tensor = (nearest <= limit).float().mean()
    return share


class Health(Observer):
    """Logs `health/pixel_std` and `health/near_duplicates` of the averaged generator's images.

    Both are read from latents 0 .. num-1 of `seed`, the same at every tick, so that a change is the
    generator's. Sign rates of D and gradient norms are tallied by the system. Rank 0 only.

    At the default threshold fewer than 1 in 500 real Fashion-MNIST images have a near-duplicate
    among 64.

    Raises:
        ValueError: fewer than two images, or a threshold outside [0, 1].
    """

    def __init__(
        self,
        every_kimg: float,  # a measurement each time training crosses this
        num: int = 64,  # images compared
        seed: int = 0,  # of the latents
        threshold: float = 0.2,  # near-duplicate: closer than this share of the median distance
        batch_size: int = 64,  # images generated at a time
    ) -> None:
        super().__init__(every_kimg)
        if num < 2:
            raise ValueError(f"callbacks.health.num must be at least 2, got {num}")
        if not 0 <= threshold <= 1:
            raise ValueError(f"callbacks.health.threshold must be in [0, 1], got {threshold}")
        if batch_size < 1:
            raise ValueError(f"callbacks.health.batch_size must be at least 1, got {batch_size}")
        self.num, self.seed, self.threshold, self.batch_size = num, seed, threshold, batch_size

    def observe(self, trainer: Trainer, system: Training) -> None:
        """Generate, measure, log."""
        if not trainer.is_global_zero:
            return
        chunks = fixed_fakes(system, self.num, self.seed, self.batch_size)
        images = torch.cat(list(chunks)).float().clamp(-1, 1)
        metrics = {
            "health/pixel_std": pixel_std(images).item(),
            "health/near_duplicates": near_duplicates(images, self.threshold).item(),
        }
        log_row(trainer, metrics, system.images_seen)
