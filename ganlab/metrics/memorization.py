"""Nearest training neighbours of generated images: the check that a generator does not copy."""

import torch
from torch import Tensor

from ganlab.metrics.neighbours import nearest
from ganlab.metrics.points import StoredPoints


class NearestReals(StoredPoints):
    """How far generated images are from their nearest real, relative to reals left out.

    About 1 where generated images are as far from the reals as a real is from all others, its own
    mirror image apart; 0 where they are copies; above 1 where they are unlike them.
    `metrics.num_real=null` compares with every image of the data.
    """

    parts = ("nearest_ratio", "nearest_copies")
    undirected = parts

    def __init__(
        self,
        space: str = "features",  # features (of the extractor) or pixels
        side: int | None = None,  # larger images are shrunk to this, pixels; None = kept whole
        memory_mb: int = 64,  # bound on the distances held at once, MiB
    ) -> None:
        super().__init__(space, side)
        self.memory_mb = memory_mb
        self.protocol = "" if side is None else f"{side}px"

    def check_sizes(self, num_real: int | None, num_fake: int) -> None:
        """Raise ValueError where a real has no other to be compared with."""
        if num_real is not None and num_real < 2:
            raise ValueError("the nearest reals need at least 2 real images")

    def compute(self) -> dict[str, Tensor]:
        """`nearest_ratio` and `nearest_copies`, float64; see `nearest_ratio`."""
        real, fake = self.rows("real"), self.rows("fake")  # a ratio knows no scale: bytes do
        self.check_sizes(len(real), len(fake))
        pictures = None if self.num_stored is None else self.indices("real") % self.num_stored
        ratio, copies = nearest_ratio(real, fake, self.memory_mb, pictures)
        return {"nearest_ratio": ratio, "nearest_copies": copies}


def nearest_ratio(
    real: Tensor,  # (N, d)
    fake: Tensor,  # (M, d)
    memory_mb: int = 64,  # bound on the distances held at once, MiB
    pictures: Tensor | None = None,  # (N,) int64, equal of a real and its mirror; None = no mirrors
) -> tuple[Tensor, Tensor]:
    """Ratio of median distances to the nearest real, and the share of fakes at distance 0.

    The yardstick is each real's distance to its nearest other: every real is held out in turn, its
    own mirror image with it. The ratio is NaN or infinite where more than half of the reals are
    duplicates.

    Raises:
        ValueError: all reals are one picture.
    """
    yardstick = _to_others(real, memory_mb, pictures)
    distances = nearest(fake, real, 1, memory_mb)[0][:, 0]
    return _median(distances) / _median(yardstick), (distances == 0).double().mean()


def _to_others(real: Tensor, memory_mb: int, pictures: Tensor | None) -> Tensor:
    """Distance of each real to the nearest of another picture, (N,) float64."""
    if pictures is None:
        return nearest(real, real, 1, memory_mb, exclude_self=True)[0][:, 0]
    k = int(pictures.unique(return_counts=True)[1].max())  # so one of k others is of another
    if k == len(real):
        raise ValueError("the nearest reals need at least 2 real images besides mirror images")
    distances, indices = nearest(real, real, k, memory_mb, exclude_self=True)
    return distances.masked_fill(pictures[indices] == pictures[:, None], torch.inf).amin(1)


def _median(values: Tensor) -> Tensor:
    return torch.quantile(values, 0.5) if len(values) < 2**24 else values.median()
