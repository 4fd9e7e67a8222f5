"""Fréchet inception distance (Heusel et al. 2017, arXiv 1706.08500, section 3)."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from ganlab.metrics.eigen import eigen
from ganlab.metrics.score import Score


class _PassThrough(nn.Identity):
    """Features go in, so the feature network of torchmetrics has nothing left to do."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features


class FrechetDistance(Score, FrechetInceptionDistance):
    """FID of (N, d) features: sums and covariance sums in float64, exact over batches and ranks.

    The value is >= 0 and 0 for equal sets. With fewer images than feature dimensions a covariance
    is singular and the value strongly biased upwards, which `compute` says in a warning.
    """

    higher_is_better = False

    def __init__(
        self,
        feature_dim: int = 0,  # width d; 0 = taken from the extractor or the first batch
    ) -> None:
        super().__init__(feature=_PassThrough(feature_dim))

    def allocate(self, width: int) -> None:
        """Create the sums for features of this width."""
        for side in ("real", "fake"):
            total = torch.zeros(width, dtype=torch.float64, device=self.device)
            self.add_state(f"{side}_features_sum", total, "sum")
            self.add_state(f"{side}_features_cov_sum", total.outer(total), "sum")

    def check_sizes(self, num_real: int | None, num_fake: int) -> None:
        """Raise ValueError where a covariance would have no degree of freedom."""
        if min(num_fake, num_fake if num_real is None else num_real) < 2:
            raise ValueError(
                "FID needs at least 2 real and 2 generated images: raise metrics.num_*"
            )

    def update(self, features: Tensor, real: bool, index: Tensor | None = None) -> None:
        """Add (N, d) features to the sums of one side."""
        if not len(self.real_features_sum):
            self.allocate(features.shape[1])
        FrechetInceptionDistance.update(self, features.double(), real)

    def compute(self) -> Tensor:
        """The distance, a float64 scalar. Raises ValueError with fewer than 2 images of a side."""
        counts = int(self.real_features_num_samples), int(self.fake_features_num_samples)
        self.check_sizes(*counts)
        width = len(self.real_features_sum)
        if min(counts) < width:
            warnings.warn(
                f"FID of {counts[0]} real and {counts[1]} generated images in {width} dimensions: "
                "fewer images than dimensions bias it upwards; compare equal counts only",
                stacklevel=2,
            )
        sums = self.metric_state
        return frechet_distance(*moments(sums, "real"), *moments(sums, "fake"))


def moments(state: Mapping[str, Any], side: str) -> tuple[Tensor, Tensor]:
    """Mean (d,) and covariance (d, d), float64, of the `real` or `fake` side of a state."""
    sums = {name: torch.as_tensor(each) for name, each in state.items()}
    count, total = sums[f"{side}_features_num_samples"], sums[f"{side}_features_sum"]
    mean = total / count
    return mean, (sums[f"{side}_features_cov_sum"] - total.outer(mean)) / (count - 1)


def frechet_distance(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> Tensor:
    """Squared Fréchet distance of two Gaussians: (d,) means, (d, d) covariances, float64.

    Heusel et al., eq. 6: |m_a - m_b|^2 + Tr(C_a + C_b - 2 (C_a C_b)^(1/2)). With C = R R^T the last
    trace is the sum of the singular values of R_a^T R_b, so the roots of the eigenvalues of a
    symmetric matrix. Where those would cost more than 1e-7 of the distance, as for covariances
    that are singular or nearly equal, the singular values themselves are computed.
    """
    apart = (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace()
    product = _root(cov_a).T @ _root(cov_b)  # (rank of C_a, rank of C_b)
    cross, error = _sum_of_roots(product)
    if 2 * error > 1e-7 * (apart - 2 * cross):
        cross = torch.linalg.svdvals(product).sum()
    return (apart - 2 * cross).clamp(min=0)  # equal sets end at minus a rounding error


def _sum_of_roots(product: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the singular values of P as roots of eigenvalues of P P^T, and its rounding error.

    Each eigenvalue is off by about the machine's epsilon times the largest, which a root turns into
    at most its own root: much for an eigenvalue near 0.
    """
    product = product.T if product.shape[0] > product.shape[1] else product
    values = torch.linalg.eigvalsh(product @ product.T).clamp(min=0)
    noise = 4 * torch.finfo(values.dtype).eps * values.amax() if len(values) else values.sum()
    roots = values.sqrt()
    return roots.sum(), torch.minimum(noise.sqrt(), noise / roots.clamp(min=noise.sqrt())).sum()


def _root(covariance: Tensor) -> Tensor:
    """A matrix R with R R^T = the covariance, (d, rank); what is below rounding error counts as 0.

    Cholesky's where the covariance is well inside the positive definite ones, as it is cheap.
    """
    noise = len(covariance) * torch.finfo(covariance.dtype).eps
    triangle: Tensor
    triangle, failed = torch.linalg.cholesky_ex(covariance)
    if not failed and triangle.diag().square().amin() > 100 * noise * covariance.diag().amax():
        return triangle
    values, vectors = eigen(covariance)
    kept = values > noise * values[-1].clamp(min=0)
    root: Tensor = vectors[:, kept] * values[kept].sqrt()
    return root


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and covariance of real features, prepared for many distances to them."""

    mean: Tensor  # (d,) float64
    root: Tensor  # (d, rank), root @ root.T is the covariance
    trace: Tensor  # () of the covariance

    @classmethod
    def of(cls, mean: Tensor, covariance: Tensor) -> "Moments":
        """From (d,) and (d, d)."""
        covariance = covariance.double()
        return cls(mean.double(), _root(covariance), covariance.trace())

    def distance(self, features: Tensor) -> Tensor:
        """FID of (K, d) features to the reals, K >= 2: Heusel et al. 2017, eq. 6, a scalar.

        With X the centred features over sqrt(K - 1), C = X^T X, and the trace of the root of
        C_real C is the sum of the singular values of X root: K x d is small where K < d.
        """
        mean = features.double().mean(0)
        centred = (features.double() - mean) / (len(features) - 1) ** 0.5
        cross = torch.linalg.svdvals(centred @ self.root).sum()
        spread = self.trace + centred.square().sum()
        distance: Tensor = ((mean - self.mean).square().sum() + spread - 2 * cross).clamp(min=0)
        return distance
