"""Improved precision and recall (Kynkäänniemi et al. 2019, arXiv 1904.06991)."""

from torch import Tensor

from ganlab.metrics.manifold import ManifoldScore
from ganlab.metrics.neighbours import inside_each_other, neighbour_radii


class PrecisionRecall(ManifoldScore):
    """Precision is the share of fakes inside the manifold of the reals, recall the reverse.

    Both lie in [0, 1]. A generator that repeats one good image has precision near 1 and recall
    near 0. The counts are exact: float64 differences decide what float32 products
    cannot. The features stay in memory; the distances exist one block at a time.
    """

    title = "precision and recall"
    fake_balls = True
    higher_is_better = True
    parts = ("precision", "recall")

    def compute(self) -> dict[str, Tensor]:
        """`precision` and `recall`, float64."""
        real, fake = self.sides()
        precision, recall = precision_recall(real, fake, self.k, self.memory_mb)
        return {"precision": precision, "recall": recall}


def precision_recall(
    real: Tensor,  # (N, d)
    fake: Tensor,  # (M, d)
    k: int = 3,  # neighbours of an image, itself not counted
    memory_mb: int = 64,  # bound on the distances held at once, MiB
) -> tuple[Tensor, Tensor]:
    """Precision and recall of eqs. 1-2, float64; the boundary of a ball belongs to it (`<=`)."""
    real_radii, fake_radii = (neighbour_radii(x, k, memory_mb) for x in (real, fake))
    precise, recalled = inside_each_other(fake, fake_radii, real, real_radii, memory_mb)
    return precise.double().mean(), recalled.double().mean()
