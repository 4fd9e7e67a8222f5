"""Monge inception distance (Berthet et al. 2026, arXiv 2605.06797)."""

from torch import Tensor

from ganlab.metrics.score import StoredFeatures
from ganlab.metrics.sliced_wasserstein import sliced_distance


class MongeDistance(StoredFeatures):
    """MIND: the sliced 2-Wasserstein distance of two sets of features, squared, times 3 d.

    0 for equal sets. It takes no covariance, so fewer images do than for FID, and sets that agree
    in mean and covariance alone are told apart. The projections are addressed by key.
    """

    higher_is_better = False
    parts = ("mind",)

    def __init__(
        self,
        num_projections: int = 1000,  # directions that features are projected on
        memory_mb: int = 256,  # bound on the projections held at once, MiB
    ) -> None:
        super().__init__()
        if num_projections < 1 or memory_mb < 0:
            raise ValueError("MIND needs num_projections >= 1 and memory_mb >= 0")
        self.num_projections, self.memory_mb = num_projections, memory_mb
        self.protocol = "" if num_projections == 1000 else f"p{num_projections}"

    def check_sizes(self, num_real: int | None, num_fake: int) -> None:
        """Raise ValueError where the sets differ in size and sorted projections do not pair."""
        if num_real not in (None, num_fake):
            raise ValueError(
                f"MIND compares equally many images, not {num_fake} with {num_real}: "
                "set metrics.num_real and metrics.num_fake alike"
            )

    def compute(self) -> dict[str, Tensor]:
        """`mind`, float64."""
        real, fake = self.rows("real"), self.rows("fake")
        self.check_sizes(len(real), len(fake))
        squared = sliced_distance(real, fake, self.num_projections, self.memory_mb, power=2)
        return {"mind": 3 * real.shape[1] * squared}  # alpha = 3 d, section 3
