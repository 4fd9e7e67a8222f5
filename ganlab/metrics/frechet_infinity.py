"""FID of infinitely many images by extrapolation (Chong, Forsyth 2020, arXiv 1911.07023)."""

import warnings

import torch
from torch import Tensor

from ganlab.metrics.frechet import frechet_distance
from ganlab.metrics.score import StoredFeatures
from ganlab.nn.randomness import keyed_generator

ROWS = 4096  # of features in float64 at a time


class FrechetInfinity(StoredFeatures):
    """FID_inf: the FID at several numbers of generated images, fitted by a line in 1/n, at 1/n = 0.

    The bias of FID differs from generator to generator and is nearly linear in 1/n; the intercept
    is free of it in the generated images. The reals are all used throughout, so their bias stays.
    Being an extrapolation it may fall slightly below 0.
    """

    higher_is_better = False
    parts = ("fid_inf", "fid_inf_slope")
    undirected = ("fid_inf_slope",)

    def __init__(
        self,
        num_points: int = 15,  # sizes n, at equal steps of 1/n
        smallest: float = 0.1,  # the least n, as a share of the generated images
    ) -> None:
        super().__init__()
        if num_points < 2 or not 0 < smallest < 1:
            raise ValueError(
                f"FID infinity needs num_points >= 2 and smallest in (0, 1), not {num_points} and "
                f"{smallest}"
            )
        self.num_points, self.smallest = num_points, smallest
        published = (num_points, smallest) == (15, 0.1)
        self.protocol = "" if published else f"p{num_points}_s{smallest:g}"

    def check_sizes(self, num_real: int | None, num_fake: int) -> None:
        """Raise ValueError where the least subset has no covariance or the sizes do not differ."""
        sizes = subset_sizes(num_fake, self.num_points, self.smallest)
        if sizes[0] < 2 or len(set(sizes)) < 2 or (num_real is not None and num_real < 2):
            raise ValueError(
                f"FID infinity of {num_fake} generated images has a smallest subset of {sizes[0]}: "
                "raise metrics.num_fake"
            )

    def compute(self) -> dict[str, Tensor]:
        """`fid_inf`, the intercept, and `fid_inf_slope`, per 1/n; float64."""
        real, fake = self.rows("real"), self.rows("fake")
        self.check_sizes(len(real), len(fake))
        sizes = subset_sizes(len(fake), self.num_points, self.smallest)
        if sizes[0] <= fake.shape[1]:
            warnings.warn(
                f"FID infinity from subsets of {sizes[0]} images in {fake.shape[1]} dimensions: "
                "the bias is no line in 1/n there; raise smallest or metrics.num_fake",
                stacklevel=2,
            )
        intercept, slope = fitted_line(sizes, subset_distances(real, fake, sizes))
        return {"fid_inf": intercept, "fid_inf_slope": slope}


def subset_sizes(num: int, num_points: int, smallest: float) -> list[int]:
    """Sizes from `smallest * num` to `num` at equal steps of 1/n, ascending."""
    inverse = torch.linspace(1 / smallest, 1, num_points, dtype=torch.float64) / num
    return [int(n) for n in (1 / inverse).round()]


def subset_distances(real: Tensor, fake: Tensor, sizes: list[int]) -> Tensor:
    """FID of the reals and, for each size, a random subset of the fakes keyed by image order."""
    moments = _moments(real)

    def distance(size: int) -> Tensor:
        order = torch.randperm(len(fake), generator=keyed_generator("fid infinity", size))
        return frechet_distance(*moments, *_moments(fake[order[:size].to(fake.device)]))

    return torch.stack([distance(size) for size in sizes])


def fitted_line(sizes: list[int], distances: Tensor) -> tuple[Tensor, Tensor]:
    """Intercept and slope of the least-squares line of distances over 1/n (section 3)."""
    inverse = 1 / torch.tensor(sizes, dtype=torch.float64, device=distances.device)
    offset = inverse - inverse.mean()
    slope = (offset * distances).sum() / offset.square().sum()
    return distances.mean() - slope * inverse.mean(), slope


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance, float64, with few rows in float64 at a time."""
    chunks = features.split(ROWS)
    mean = torch.stack([chunk.double().sum(0) for chunk in chunks]).sum(0) / len(features)
    scatter = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=mean.device)
    for chunk in chunks:
        offset = chunk.double() - mean
        scatter += offset.T @ offset
    return mean, scatter / (len(features) - 1)
