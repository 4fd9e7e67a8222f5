"""Fréchet inception distance (Heusel et al. 2017, arXiv 1706.08500, section 3)."""

import warnings

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

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
        return frechet_distance(*self._moments("real"), *self._moments("fake"))

    def _moments(self, side: str) -> tuple[Tensor, Tensor]:
        count = getattr(self, f"{side}_features_num_samples")
        total = getattr(self, f"{side}_features_sum")
        mean = total / count
        scatter = getattr(self, f"{side}_features_cov_sum") - total.outer(mean)
        return mean, scatter / (count - 1)


def frechet_distance(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> Tensor:
    """Squared Fréchet distance of two Gaussians: (d,) means, (d, d) covariances, float64.

    Heusel et al., eq. 6: |m_a - m_b|^2 + Tr(C_a + C_b - 2 (C_a C_b)^(1/2)). The last trace is the
    sum of the singular values of C_a^(1/2) C_b^(1/2), which stays real and accurate where a
    covariance is singular and the general matrix root or eigenvalues of C_a C_b do not.
    """
    cross = torch.linalg.svdvals(_square_root(cov_a).T @ _square_root(cov_b)).sum()
    distance = (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross
    return distance.clamp(min=0)  # equal sets end at minus a rounding error


def _square_root(covariance: Tensor) -> Tensor:
    """A matrix R with R R^T = the covariance; eigenvalues below rounding error count as 0."""
    values, vectors = torch.linalg.eigh(covariance)
    noise = values[-1].clamp(min=0) * len(values) * torch.finfo(values.dtype).eps
    return vectors * torch.where(values > noise, values, 0.0).sqrt()
