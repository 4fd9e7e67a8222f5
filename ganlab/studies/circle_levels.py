"""What counts as a circular artifact: how far a peak must stand out, and over how many layers."""

from collections.abc import Mapping
from dataclasses import dataclass

PERSISTENCE = 2  # consecutive resolutions
MINIMUM = 2.5  # peak over the 90% quantile, below which nothing counts as standing out


def size_of(layer: str) -> str:
    """`8x8` of `8x8/1`."""
    return layer.partition("/")[0]


@dataclass(frozen=True)
class Levels:
    """What counts as an artifact, and how that was chosen."""

    levels: float | Mapping[str, float] = MINIMUM  # contrast that stands out; by size, as {8x8: 3}
    threshold: float = 1.0  # an image is affected above this score, in units of its levels
    persistence: int = PERSISTENCE  # consecutive resolutions a peak must be found at
    source: str = "as configured"

    def __post_init__(self) -> None:
        values = self.levels.values() if isinstance(self.levels, Mapping) else [self.levels]
        if any(value <= 0 for value in values) or self.threshold <= 0 or self.persistence < 1:
            raise ValueError(
                f"study.levels={self.levels}, study.threshold={self.threshold} and "
                f"study.persistence={self.persistence} must be above 0"
            )

    def of(self, layer: str) -> float:
        """The contrast that stands out in a layer; where sizes are listed, of others `MINIMUM`."""
        if isinstance(self.levels, Mapping):
            return self.levels.get(size_of(layer), MINIMUM)
        return self.levels

    def text(self) -> str:
        """For notes and records."""
        shown = self.levels
        if isinstance(shown, Mapping):
            text = ", ".join(f"{size} {value:.3g}" for size, value in shown.items())
        else:
            text = f"{shown:.3g}"
        return f"peak over {self.threshold:.3g} x ({text}), {self.persistence} resolutions"
