"""Does a generator copy its training images? Distances to the nearest ones, and a verdict.

Small distances alone prove nothing: a generator of plain, typical images is nearer to its training
images than held-out reals are, without copying one. A copy is near *and* much nearer to one
training image than to the next. Reals that were held out say how often that happens by chance.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ganlab.metrics import nearest, wilson_interval


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest training images of each of N points."""

    distances: Tensor  # (N, k) float64, ascending
    indices: Tensor  # (N, k) int64, of training images; i + n is the mirror image of i of n

    @property
    def nearest(self) -> Tensor:
        """Distance to the nearest, (N,)."""
        return self.distances[:, 0]

    @property
    def relative(self) -> Tensor:
        """Distance to the nearest over that to the second nearest, (N,) in [0, 1].

        0 where the nearest is at distance 0, whatever the second.
        """
        first, second = self.distances[:, 0], self.distances[:, 1]
        return torch.where(first == 0, 0.0, first / second)


def neighbours_of(points: Tensor, training: Tensor, k: int = 2) -> Neighbours:
    """The k nearest of (n, d) training points for each of (N, d) others; see `metrics.nearest`.

    Raises:
        ValueError: k below 2, or fewer training points than that.
    """
    if k < 2:
        raise ValueError(f"study.num_neighbours must be at least 2, got {k}")
    return Neighbours(*nearest(points, training, k))


def neighbours_of_held_out(
    positions: Tensor,  # (N,) int64, training points that are held out in turn
    training: Tensor,  # (n, d)
    k: int = 2,
    num_stored: int | None = None,  # rows after so many are their mirror images; None = none are
) -> Neighbours:
    """The k nearest of all *other* training points: each is held out in turn.

    A point's own mirror image is held out with it.
    """
    stored = len(training) if num_stored is None else num_stored
    own = 1 if stored == len(training) else 2
    if len(training) < k + own:
        raise ValueError(
            f"study.num_neighbours={k}: {stored} training images are too few for {k} neighbours of "
            "each"
        )
    distances, indices = nearest(training[positions], training, k + own)
    itself = indices % stored == positions[:, None] % stored
    order = itself.int().argsort(dim=1, stable=True)[:, :k]  # others first, as they were
    return Neighbours(distances.gather(1, order), indices.gather(1, order))


@dataclass(frozen=True)
class Verdict:
    """How many generated images are copies, beside how many held-out reals would be called so."""

    share: float  # of generated images that are copies
    low: float  # of its Wilson interval
    high: float
    held_out_share: float  # of held-out reals that meet the same criterion
    held_out_high: float  # upper end of its Wilson interval
    exact: float  # share of generated images at distance 0
    nearer: float  # probability that a generated image is nearer than a held-out real; 0.5 = alike
    ratio: float  # median distance over that of held-out reals
    threshold: float  # distance below which an image may be a copy
    relative_threshold: float  # relative distance below which it is one

    @property
    def copies(self) -> bool:
        """Whether surely more generated images than held-out reals are copies."""
        return self.low > self.held_out_high

    def sentence(self, space: str) -> str:
        """The verdict in words."""
        word = "COPIES TRAINING IMAGES" if self.copies else "no sign of copying"
        return (
            f"{space}: {word}; {self.share:.1%} of the generated images ({self.low:.1%} to "
            f"{self.high:.1%}) and {self.held_out_share:.1%} of held-out reals (at most "
            f"{self.held_out_high:.1%}) are that near to one training image alone"
        )


def verdict(
    generated: Neighbours,
    held_out: Neighbours,
    quantile: float = 0.01,  # share of held-out reals whose distance is called small
    confidence: float = 0.99,  # of the intervals that must not overlap
) -> Verdict:
    """Compare the generated images' distances with those of reals that were held out.

    An image is a copy if its distance and its relative distance are both at most the `quantile` of
    those of held-out reals.

    Raises:
        ValueError: a quantile or confidence outside (0, 1).
    """
    if not (0 < quantile < 1 and 0 < confidence < 1):
        raise ValueError(
            f"study.quantile={quantile} and study.confidence={confidence} must be in (0, 1)"
        )
    limits = (
        float(torch.quantile(held_out.nearest, quantile)),
        float(torch.quantile(held_out.relative, quantile)),
    )
    share = copies_among(generated, *limits).double().mean()
    chance = copies_among(held_out, *limits).double().mean()
    low, high = wilson_interval(share, len(generated.distances), confidence)
    return Verdict(
        float(share),
        float(low),
        float(high),
        float(chance),
        float(wilson_interval(chance, len(held_out.distances), confidence)[1]),
        float((generated.nearest == 0).double().mean()),
        probability_nearer(generated.nearest, held_out.nearest),
        float(torch.quantile(generated.nearest, 0.5) / torch.quantile(held_out.nearest, 0.5)),
        *limits,
    )


def copies_among(found: Neighbours, threshold: float, relative_threshold: float) -> Tensor:
    """Which of N points are near, and near to one training image alone, (N,) bool."""
    return (found.nearest <= threshold) & (found.relative <= relative_threshold)


def probability_nearer(first: Tensor, second: Tensor) -> float:
    """P(a < b) + P(a = b) / 2 for a of (N,) and b of (M,): Mann and Whitney's U over N M."""
    ordered, first = second.sort().values, first.contiguous()
    above = len(ordered) - torch.searchsorted(ordered, first, right=True)
    equal = torch.searchsorted(ordered, first, right=True) - torch.searchsorted(ordered, first)
    return float((above.double() + equal.double() / 2).mean() / len(ordered))


@dataclass(frozen=True, eq=False)
class Compared:
    """What was found in one space."""

    generated: Neighbours
    held_out: Neighbours
    verdict: Verdict

    @classmethod
    def of(
        cls,
        generated: Neighbours,
        held_out: Neighbours,
        quantile: float = 0.01,  # these as in `verdict`
        confidence: float = 0.99,
    ) -> "Compared":
        """The neighbours of both, and the verdict."""
        return cls(generated, held_out, verdict(generated, held_out, quantile, confidence))
