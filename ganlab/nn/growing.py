"""Progressive growing: where a network stands, and how one resolution fades into the next.

Karras et al. 2018 (arXiv:1710.10196), section 2 and figure 2: a new level's output is blended with
the enlarged output of the level before by alpha, which rises from 0 to 1.
"""

from dataclasses import dataclass
from operator import index
from typing import Any

from torch import Tensor, nn

from ganlab.nn.frames import Frame
from ganlab.nn.resample import downsample_average, upsample_nearest


@dataclass(frozen=True)
class Stage:
    """How far a growing network has come."""

    level: int  # 0 = the first resolution, each level twice the one before
    alpha: float = 1.0  # share of the newest level in the image, 0 to 1


def blend(old: Tensor, new: Tensor, alpha: float) -> Tensor:
    """(1 - alpha) old + alpha new, exact at both ends."""
    return (1 - alpha) * old + alpha * new


def faded_reals(images: Tensor, width: int, alpha: float) -> Tensor:
    """Reals as a growing D sees them: halved to this width, blended with their coarser version.

    Karras et al. 2018, section 2: during a transition the reals are interpolated between two
    resolutions as the generator's images are.
    """
    while images.shape[-1] > width:  # by halves: each level is then the next one's half
        images = downsample_average(images)
    if alpha == 1:
        return images
    return blend(upsample_nearest(downsample_average(images)), images, alpha)


def enlarge(images: Tensor, width: int) -> Tensor:
    """Images of an early level at the final width, pixels repeated; images of that size as is."""
    return upsample_nearest(images, max(1, width // images.shape[-1]))


class Growing(nn.Module):
    """A network all of whose levels exist from the start; `level` and `alpha` say which act.

    Both are kept as extra state, so they travel with weights. A fresh network stands at its last
    level, fully faded in; a system that grows it calls `grow_to` before the first batch.
    """

    resolution: int  # of the last level; of a rectangle that of its table, see `Frame`
    frame: Frame | None = None  # of images that may be rectangles; None = a square
    num_levels: int  # resolutions, first to last
    level: int
    alpha: float

    def start(self, num_levels: int) -> None:
        """Stand at the last of `num_levels` levels."""
        self.num_levels, self.level, self.alpha = num_levels, num_levels - 1, 1.0

    def grow_to(self, stage: Stage) -> None:
        """Take a stage; level 0 has nothing to fade from, so its alpha counts as 1.

        Raises:
            ValueError: a level or alpha that there is not.
        """
        if not 0 <= stage.level < self.num_levels or not 0 <= stage.alpha <= 1:
            raise ValueError(
                f"a network of {self.num_levels} levels cannot take {stage}; "
                "model.growth must end at data.resolution"
            )
        self.level = stage.level
        self.alpha = float(stage.alpha) if stage.level else 1.0

    def get_extra_state(self) -> dict[str, Any]:
        """The stage as plain numbers."""
        return {"level": self.level, "alpha": self.alpha}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take back a stored stage; raises ValueError where it is none."""
        try:
            stage = Stage(index(state["level"]), float(state["alpha"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{state!r:.80} is no stage of a network that grows") from error
        self.grow_to(stage)


def growth_state(network: nn.Module) -> str | None:
    """How far a network that still grows has come, as `16 of 32 px, alpha 0.25`; else None."""
    if not isinstance(network, Growing):
        return None
    missing = network.num_levels - 1 - network.level
    if not missing and network.alpha == 1:
        return None
    full = network.frame or Frame(network.resolution)
    fading = f", alpha {network.alpha:.3g}" if network.alpha < 1 else ""
    return f"{full.pixels(full.size >> missing)} of {full.pixels(full.size)} px{fading}"
