"""Density and coverage (Naeem et al. 2020, arXiv 2002.09797)."""

from torch import Tensor

from ganlab.metrics.manifold import ManifoldScore
from ganlab.metrics.neighbours import balls_around, nearest, neighbour_radii


class DensityCoverage(ManifoldScore):
    """Density is how many balls of reals hold a fake, coverage the share of balls that hold one.

    Coverage lies in [0, 1]; density in [0, N / k] is about 1 for equal distributions and larger
    where fakes crowd at the densest reals. Unlike precision a single outlier among the reals, and
    unlike recall a single outlier among the fakes, moves neither much.
    """

    title = "density and coverage"
    higher_is_better = True
    parts = ("density", "coverage")

    def __init__(
        self,
        k: int = 5,  # the ball around a real reaches to its k-th neighbour, itself not counted
        memory_mb: int = 64,  # bound on the distances held at once, MiB
    ) -> None:
        super().__init__(k, memory_mb)

    def compute(self) -> dict[str, Tensor]:
        """`density` and `coverage`, float64."""
        real, fake = self.sides()
        density, coverage = density_coverage(real, fake, self.k, self.memory_mb)
        return {"density": density, "coverage": coverage}


def density_coverage(
    real: Tensor,  # (N, d)
    fake: Tensor,  # (M, d)
    k: int = 5,  # neighbours of a real, itself not counted
    memory_mb: int = 64,  # bound on the distances held at once, MiB
) -> tuple[Tensor, Tensor]:
    """Density and coverage of section 3.2, float64; the boundary of a ball belongs to it (`<=`)."""
    radii = neighbour_radii(real, k, memory_mb)
    density = balls_around(fake, real, radii, memory_mb).double().mean() / k  # eq. 3
    distances, _ = nearest(real, fake, 1, memory_mb)  # (N, 1)
    return density, (distances[:, 0] <= radii).double().mean()  # eq. 4
