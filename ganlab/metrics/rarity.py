"""Rarity of single generated images (Han et al. 2022, arXiv 2206.08549)."""

from torch import Tensor

from ganlab.metrics.neighbours import neighbour_radii, smallest_ball
from ganlab.metrics.score import StoredFeatures


class Rarity(StoredFeatures):
    """Mean rarity of the generated images that lie in the manifold of the reals, and their share.

    An image is as rare as the smallest ball that holds it is large: reals far from one another
    have large balls. More is more unusual, which is neither better nor worse; it is in units of
    the features, and compares within one extractor alone.
    """

    higher_is_better = True
    parts = ("rarity", "rarity_share")
    undirected = ("rarity",)

    def __init__(
        self,
        k: int = 3,  # the ball around a real reaches to its k-th neighbour, itself not counted
        memory_mb: int = 64,  # bound on the distances held at once, MiB
    ) -> None:
        super().__init__()
        if k < 1 or memory_mb < 0:
            raise ValueError(f"rarity needs k >= 1 and memory_mb >= 0, not {k} and {memory_mb}")
        self.k, self.memory_mb = k, memory_mb
        self.protocol = f"k{k}"

    def check_sizes(self, num_real: int | None, num_fake: int) -> None:
        """Raise ValueError where a real has fewer than k neighbours."""
        if num_real is not None and num_real <= self.k:
            raise ValueError(f"rarity with k={self.k} needs more than {num_real} real images")

    def compute(self) -> dict[str, Tensor]:
        """`rarity` and `rarity_share`, float64; with nothing in the manifold the first is NaN."""
        real, fake = self.rows("real"), self.rows("fake")
        self.check_sizes(len(real), len(fake))
        scores = rarity_scores(real, fake, self.k, self.memory_mb)
        inside = scores.isfinite()
        return {"rarity": scores[inside].mean(), "rarity_share": inside.double().mean()}


def rarity_scores(
    real: Tensor,  # (N, d)
    fake: Tensor,  # (M, d)
    k: int = 3,  # neighbours of a real, itself not counted
    memory_mb: int = 64,  # bound on the distances held at once, MiB
) -> Tensor:
    """Rarity of each generated image, (M,) float64: the least radius of the balls that hold it.

    Eq. 3; infinite outside of all balls, where the paper gives none.
    """
    return smallest_ball(fake, real, neighbour_radii(real, k, memory_mb), memory_mb)
