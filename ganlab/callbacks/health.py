"""Signs of collapse that a loss does not show."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from ganlab.callbacks.observer import Observer, fixed_fakes, log_row
from ganlab.cli import tell
from ganlab.data.positions import random_positions, stored_images
from ganlab.nn.growing import growth_state
from ganlab.systems.training import Training

PATIENCE = 2  # ticks in a row until it is said
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
    generator's; beside them stand those of as many real images, a fixed random choice. Fakes that
    were as varied as reals and are so no longer, at two ticks in a row, are collapsing: one line
    says so, and what usually helps. Sign rates of D and gradient norms are tallied by the system.
    Rank 0 only.

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
        self.reals: dict[str, float] = {}  # sign -> its value of real images
        self.outside: int | None = None  # ticks in a row; None = not yet as varied as reals

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Measure the reals."""
        data, self.outside = pl_module.data, None
        if trainer.is_global_zero and data is not None and len(data.dataset) >= 2:
            num = len(data.dataset)
            chosen = random_positions(num, min(num, self.num), "health", self.seed)
            self.reals = self.signs(stored_images(data, sorted(chosen), pl_module.device).image)

    def signs(self, images: Tensor) -> dict[str, float]:
        """What is measured of (N, C, H, W) images in [-1, 1]."""
        images = images.float().clamp(-1, 1)
        return {
            "pixel_std": pixel_std(images).item(),
            "near_duplicates": near_duplicates(images, self.threshold).item(),
        }

    def observe(self, trainer: Trainer, system: Training) -> None:
        """Generate, measure, log; say where variety was lost."""
        if not trainer.is_global_zero:
            return
        chunks = fixed_fakes(system, self.num, self.seed, self.batch_size)
        fakes = self.signs(torch.cat(list(chunks)))
        metrics = {f"health/{sign}": value for sign, value in fakes.items()}
        metrics |= {f"health/{sign}_of_reals": value for sign, value in self.reals.items()}
        log_row(trainer, metrics, system.images_seen)
        if self.reals and growth_state(system.generator_ema) is None:
            self.judge(fakes, system.images_seen)

    def judge(self, fakes: Mapping[str, float], images_seen: int) -> None:
        """Count ticks at which the fakes are less varied than reals; say it at the second."""
        if is_varied(fakes, self.reals):
            self.outside = 0
        elif self.outside is not None:
            self.outside += 1
            if self.outside == PATIENCE:
                tell(self.told(fakes, images_seen))

    def told(self, fakes: Mapping[str, float], images_seen: int) -> str:
        """What happened, and what usually helps."""
        spread, copies = fakes["pixel_std"], fakes["near_duplicates"]
        return (
            f"collapse at {images_seen / 1000:g} kimg: of {self.num} generated images a share of "
            f"{copies:.2f} have near-duplicates (reals {self.reals['near_duplicates']:.2f}), and "
            f"their spread is {spread:.2f} (reals {self.reals['pixel_std']:.2f}). What usually "
            "helps: a larger R1 or gradient penalty, a lower learning rate, a larger batch, more "
            "images or data.flip=true; best.ckpt, if there is one, may be of before"
        )


def is_varied(fakes: Mapping[str, float], reals: Mapping[str, float]) -> bool:
    """Whether fakes have at least half the spread of reals and hardly more near-duplicates."""
    spread = fakes["pixel_std"] >= 0.5 * reals["pixel_std"]
    return spread and fakes["near_duplicates"] <= reals["near_duplicates"] + 0.25
