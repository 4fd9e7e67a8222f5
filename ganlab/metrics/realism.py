"""Realism of single generated images (Kynkäänniemi et al. 2019, arXiv 1904.06991, section 5)."""

import warnings

from torch import Tensor

from ganlab.metrics.manifold import ManifoldScore
from ganlab.metrics.neighbours import nearest_inside_ratio, neighbour_radii


class Realism(ManifoldScore):
    """Mean and spread over the generated images of how far inside the reals' manifold each lies.

    At least 1 means inside one of the balls that count, infinity that the image equals the centre
    of one.
    """

    title = "realism"
    higher_is_better = True
    parts = ("realism", "realism_std")
    undirected = ("realism_std",)

    def compute(self) -> dict[str, Tensor]:
        """`realism` and `realism_std`, float64; with copies of reals the spread is not a number."""
        scores = realism_scores(*self.sides(), self.k, self.memory_mb)
        if copies := int(scores.isinf().sum()):
            warnings.warn(
                f"{copies} generated images equal a real one, so their realism is infinite",
                stacklevel=2,
            )
        return {"realism": scores.mean(), "realism_std": scores.std(correction=0)}


def realism_scores(
    real: Tensor,  # (N, d)
    fake: Tensor,  # (M, d)
    k: int = 3,  # neighbours of a real, itself not counted
    memory_mb: int = 64,  # bound on the distances held at once, MiB
) -> Tensor:
    """Realism of each generated image, (M,) float64, >= 0; infinite at the centre of a ball.

    Eq. 4: R(g) = max over reals r of (distance of r to its k-th nearest real) / |g - r|. Only reals
    whose radius is at most the median count, as a large ball stands where the reals are sparse and
    would call anything in it realistic.

    Raises:
        ValueError: no more reals than k.
    """
    if len(real) <= k:
        raise ValueError(f"realism with k={k} takes more than {len(real)} real images")
    radii = neighbour_radii(real, k, memory_mb)
    counted = radii <= radii.median()
    return nearest_inside_ratio(fake, real[counted], radii[counted], memory_mb)
