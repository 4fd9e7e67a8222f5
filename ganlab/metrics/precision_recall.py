"""Improved precision and recall (Kynkäänniemi et al. 2019, arXiv 1904.06991)."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ganlab.metrics.score import StoredFeatures


class PrecisionRecall(StoredFeatures):
    """Precision is the share of fakes inside the manifold of the reals, recall the reverse.

    Both lie in [0, 1]. A generator that repeats one good image has precision near 1 and recall
    near 0. The features stay in memory; the distances exist one block at a time.
    """

    higher_is_better = True

    def __init__(
        self,
        k: int = 3,  # the ball around an image reaches to its k-th neighbour, itself not counted
        memory_mb: int = 64,  # bound on the distances held at once, MiB
    ) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"precision and recall need k >= 1, not {k}")
        self.k, self.memory_mb = k, memory_mb
        self.protocol = f"k{k}"

    def check_sizes(self, num_real: int | None, num_fake: int) -> None:
        """Raise ValueError where an image has fewer than k neighbours."""
        smaller = min(num_fake, num_fake if num_real is None else num_real)
        if smaller <= self.k:
            raise ValueError(
                f"precision and recall with k={self.k} need more than {smaller} images"
            )

    def compute(self) -> dict[str, Tensor]:
        """`precision` and `recall`, float64."""
        real, fake = self.ordered("real"), self.ordered("fake")
        self.check_sizes(len(real), len(fake))
        precision, recall = precision_recall(real, fake, self.k, self.memory_mb)
        return {"precision": precision, "recall": recall}


def precision_recall(
    real: Tensor,  # (N, d) float64
    fake: Tensor,  # (M, d) float64
    k: int = 3,  # neighbours of an image, itself not counted
    memory_mb: int = 64,  # bound on the distances held at once, MiB
) -> tuple[Tensor, Tensor]:
    """Precision and recall of eqs. 1-2; the boundary of a ball belongs to it (`<=`)."""
    centre = real.mean(0)  # distances do not change, their rounding error shrinks
    real, fake = real - centre, fake - centre
    precision = inside(fake, real, neighbour_radii(real, k, memory_mb), memory_mb)
    recall = inside(real, fake, neighbour_radii(fake, k, memory_mb), memory_mb)
    return precision.double().mean(), recall.double().mean()


def neighbour_radii(points: Tensor, k: int, memory_mb: int = 64) -> Tensor:
    """Distance from each of (N, d) float64 points to its k-th nearest other point, (N,)."""
    blocks = _blocks(len(points), len(points), memory_mb)
    return torch.cat(
        [_distances(points, points, b, True).topk(k, largest=False).values[:, -1] for b in blocks]
    )


def inside(points: Tensor, centres: Tensor, radii: Tensor, memory_mb: int = 64) -> Tensor:
    """Whether each of (M, d) points lies in at least one ball around (N, d) centres, (M,) bool."""
    blocks = _blocks(len(points), len(centres), memory_mb)
    return torch.cat([(_distances(points, centres, b) <= radii).any(1) for b in blocks])


def _blocks(rows: int, columns: int, memory_mb: int) -> Iterator[slice]:
    size = max(1, memory_mb * 2**20 // (3 * 8 * columns))  # three float64 blocks live at a time
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def _distances(points: Tensor, centres: Tensor, block: slice, same: bool = False) -> Tensor:
    """Euclidean distances from a block of rows to all centres; infinite from a point to itself.

    The matrix product cancels for near-duplicates, which would decide `<=` by rounding error, so
    rows that hold one are computed again from differences (equal features are then at exactly 0).
    """
    rows = points[block]
    scale = rows.square().sum(1, keepdim=True) + centres.square().sum(1)  # (rows, N)
    squared = torch.addmm(scale, rows, centres.T, alpha=-2)
    own = torch.arange(len(rows), device=rows.device)
    if same:
        squared[own, own + block.start] = torch.inf
    close = (squared <= 1e-6 * scale).any(1)
    distances = squared.clamp_(min=0).sqrt_()
    exact = "donot_use_mm_for_euclid_dist"
    distances[close] = torch.cdist(rows[close], centres, compute_mode=exact)
    if same:
        distances[own, own + block.start] = torch.inf
    return distances
