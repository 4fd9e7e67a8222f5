"""Clipped density and clipped coverage (Salvy, Talbot, Thirion, ICLR 2026, arXiv 2507.01761)."""

import torch
from torch import Tensor

from ganlab.metrics.manifold import ManifoldScore
from ganlab.metrics.neighbours import balls_around, nearest, neighbour_radii


class ClippedDensityCoverage(ManifoldScore):
    """Density and coverage that read as shares: of good fakes, and of fakes that cover as reals do.

    Both lie in [0, 1] and fall in proportion as fakes are replaced by bad ones. One image counts
    for one at most, and the balls of the sparsest reals are cut to the median radius.
    """

    title = "clipped density and coverage"
    fake_balls = True
    higher_is_better = True
    parts = ("clipped_density", "clipped_coverage")

    def __init__(
        self,
        k: int = 5,  # the ball around a real reaches to its k-th neighbour, itself not counted
        memory_mb: int = 64,  # bound on the distances held at once, MiB
    ) -> None:
        super().__init__(k, memory_mb)

    def compute(self) -> dict[str, Tensor]:
        """`clipped_density` and `clipped_coverage`, float64."""
        real, fake = self.sides()
        radii = neighbour_radii(real, self.k, self.memory_mb)
        given = (real, fake, radii, self.k, self.memory_mb)
        return {
            "clipped_density": clipped_density(*given),
            "clipped_coverage": clipped_coverage(*given),
        }


def clipped_density(
    real: Tensor,  # (N, d)
    fake: Tensor,  # (M, d)
    radii: Tensor,  # (N,) distance of each real to its k-th nearest other one
    k: int,
    memory_mb: int = 64,  # bound on the distances held at once, MiB
) -> Tensor:
    """Mean over fakes of min(1, balls that hold one / k), as a share of what reals have; float64.

    Balls have the radius min(R_k, median of R_k). A real's own ball does not hold it. NaN where no
    real is in the ball of another.
    """
    middle = radii.sort().values[[(len(radii) - 1) // 2, len(radii) // 2]].mean()
    balls = radii.clamp(max=middle)

    def mean(held: Tensor) -> Tensor:
        return (held.double() / k).clamp(max=1).mean()

    fakes = mean(balls_around(fake, real, balls, memory_mb))
    reals = mean(balls_around(real, real, balls, memory_mb) - 1)
    return (fakes / reals).clamp(max=1)


def clipped_coverage(
    real: Tensor,  # (N, d)
    fake: Tensor,  # (M, d)
    radii: Tensor,  # (N,) distance of each real to its k-th nearest other one
    k: int,
    memory_mb: int = 64,  # bound on the distances held at once, MiB
) -> Tensor:
    """The share of fakes that, were they drawn as the reals, would cover as much as these; float64.

    Covered is the mean over reals of min(1, fakes nearer than R_k / k), inverted by `covering`.
    """
    distances, _ = nearest(real, fake, k, memory_mb)  # (N, k)
    covered = (distances < radii[:, None]).double().mean()
    expected = covering(len(real), len(fake), k).to(covered)
    return torch.searchsorted(expected, covered).double() / len(expected)


def covering(n: int, m: int, k: int) -> Tensor:
    """What 0, 1, .. m fakes drawn as n reals are expected to cover, (m + 1,) float64, ascending.

    The probability of a ball is Beta(k, n - k), so of i fakes J ~ BetaBinomial(i, k, n - k) are in
    it, and E min(J, k) / k = 1 - sum over j < k of (1 - j / k) P(J = j). Fewer than k fakes cover
    nothing, as the authors have it.
    """
    drawn = torch.arange(m + 1, dtype=torch.float64)[:, None]
    j = torch.arange(k, dtype=torch.float64)
    choose = torch.lgamma(drawn + 1) - torch.lgamma(j + 1) - torch.lgamma(drawn - j + 1)
    logs = (
        choose + _log_beta(k + j, n + drawn - k - j) - _log_beta(*torch.tensor([k, n - k]).double())
    )
    expected = 1 - ((1 - j / k) * logs.exp()).sum(1)
    return torch.where(drawn[:, 0] < k, 0.0, expected)


def _log_beta(a: Tensor, b: Tensor) -> Tensor:
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
