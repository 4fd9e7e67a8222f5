"""Rarity of single generated images (Han et al. 2022, arXiv 2206.08549)."""

from torch import Tensor

from ganlab.metrics.manifold import ManifoldScore
from ganlab.metrics.neighbours import neighbour_radii, smallest_ball


class Rarity(ManifoldScore):
    """Mean rarity of the generated images that lie in the manifold of the reals, and their share.

    An image is as rare as the smallest ball that holds it is large: reals far from one another
    have large balls. More is more unusual, which is neither better nor worse; it is in units of
    the features, and compares within one extractor alone.
    """

    title = "rarity"
    higher_is_better = True
    parts = ("rarity", "rarity_share")
    undirected = ("rarity",)

    def compute(self) -> dict[str, Tensor]:
        """`rarity` and `rarity_share`, float64; with nothing in the manifold the first is NaN."""
        real, fake = self.sides()
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
