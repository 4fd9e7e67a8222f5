"""R1 and R2, whose strength can be left to the resolution and the batch."""

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from ganlab.losses import r1, r2
from ganlab.networks.base import Condition, Images
from ganlab.nn.frames import Resolution


class R1:
    """`losses.r1` with a number for gamma, or `auto`.

    Karras et al. 2020 (arXiv:2006.06676), appendix C: gamma = 0.0002 * resolution^2 / batch. A
    gradient's squared length grows with the number of pixels, which is what counts of an image that
    is no square, and a larger batch needs less.

    Raises:
        ValueError: gamma is neither `auto` nor a number of at least 0, or `auto` lacks a resolution
            or a batch size of at least 1; names the keys.
    """

    name: ClassVar[str] = "r1"
    penalty: ClassVar[Callable[..., Tensor]] = staticmethod(r1)

    def __init__(
        self,
        gamma: float | str = 10.0,  # or auto
        resolution: Resolution | None = None,  # of the full-size images, for auto
        batch_size: int | None = None,  # over all processes, for auto
    ) -> None:
        key = f"model.penalties.{self.name}.gamma"
        self.derivation: str | None = None  # how auto came to its number
        if gamma == "auto":
            sides = [resolution] * 2 if isinstance(resolution, int) else [*(resolution or [])]
            if not sides or batch_size is None or min(*sides, batch_size) < 1:
                raise ValueError(
                    f"{key}=auto needs data.resolution and data.batch_size of at "
                    f"least 1, got {resolution} and {batch_size}; or give gamma a number"
                )
            gamma = 0.0002 * math.prod(sides) / batch_size
            square = isinstance(resolution, int)
            pixels = f"{resolution}^2" if square else " * ".join(map(str, sides))
            self.derivation = (
                f"{self.name.upper()} gamma=auto: 0.0002 * "
                f"{'resolution^2' if square else 'pixels'} / batch = "
                f"0.0002 * {pixels} / {batch_size} = {gamma:.6g}"
            )
        if isinstance(gamma, str) or gamma < 0:
            raise ValueError(f"{key} must be auto or at least 0, got {gamma}")
        self.gamma = float(gamma)

    def __call__(
        self,
        discriminator: nn.Module,
        real: Images,
        fake: Images,
        condition: Condition | None,
        uniform: Callable[[int], Tensor],
    ) -> Tensor:
        """The penalty of this strength, a scalar with a graph."""
        return self.penalty(discriminator, real, fake, condition, uniform, gamma=self.gamma)


class R2(R1):
    """`losses.r2`, the same of fakes."""

    name = "r2"
    penalty = staticmethod(r2)


def report_strengths(penalties: Mapping[str, Any]) -> None:
    """Say how each strength that was left to the program came about."""
    for penalty in penalties.values():
        if isinstance(penalty, R1) and penalty.derivation is not None:
            print(penalty.derivation)
