"""Exponential moving average of the generator, with its half-life counted in images."""

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class ExponentialAverage:
    """Averages parameters with a half-life in images, so that batch size does not change it.

    beta = 0.5 ** (images / half_life), Karras et al. 2019 (half-life 10 kimg); with a ramp the
    half-life is at most `ramp` times the images seen so far (Karras et al. 2020, ADA, appendix).
    Buffers (batch-norm statistics, a running mean of w) are copied, not averaged.

    Raises:
        ValueError: a half-life or a ramp that is not above 0; names the key.
    """

    half_life_kimg: float = 10.0  # images (in thousands) after which an old weight counts half
    ramp: float | None = 0.05  # half-life as a share of the images seen; None = no ramp

    def __post_init__(self) -> None:
        if not self.half_life_kimg > 0:
            raise ValueError(
                f"model.ema.half_life_kimg must be above 0, got {self.half_life_kimg}; "
                "for no average: model.ema=null"
            )
        if self.ramp is not None and not self.ramp > 0:
            raise ValueError(f"model.ema.ramp must be above 0, or null, got {self.ramp}")

    def beta(self, images: int, images_seen: int, share: float = 1.0) -> float:
        """Weight of the old average after `images` more images, `images_seen` in total."""
        half_life = share * self.half_life_kimg * 1000
        if self.ramp is not None:
            half_life = min(half_life, self.ramp * images_seen)
        return 0.5 ** (images / half_life) if half_life > 0 else 0.0

    @torch.no_grad()
    def update(
        self,
        average: nn.Module,  # changed in place
        source: nn.Module,
        images: int,  # images since the last update, over all ranks
        images_seen: int,  # images since the start, this batch included
        share: float = 1.0,  # of the half-life
    ) -> None:
        """Move the average's parameters towards the source's; copy the buffers."""
        weight = 1.0 - self.beta(images, images_seen, share)
        torch._foreach_lerp_(list(average.parameters()), list(source.parameters()), weight=weight)
        for target, buffer in zip(average.buffers(), source.buffers(), strict=True):
            target.copy_(buffer)


AVERAGE = ExponentialAverage()  # where nothing is said
NO_AVERAGE = ExponentialAverage(half_life_kimg=1e-9)  # a millionth of an image: none weighs on
