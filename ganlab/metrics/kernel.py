"""Kernel inception distance (Bińkowski et al. 2018, arXiv 1801.01401)."""

import torch
from torch import Tensor
from torchmetrics.image.kid import poly_mmd

from ganlab.metrics.score import StoredFeatures
from ganlab.nn.randomness import keyed_generator


class KernelDistance(StoredFeatures):
    """KID of (N, d) features: mean and spread over subsets of the unbiased squared MMD.

    The subsets are addressed by key and by image index, so the value depends neither on batches
    and ranks nor on, or for, any other random draw. Unbiased: it may fall below 0.
    """

    higher_is_better = False
    parts = ("kid", "kid_std")
    undirected = ("kid_std",)

    def __init__(
        self,
        subset_size: int = 1000,  # images of each side in one subset, at most what there are
        num_subsets: int = 100,  # subsets to average over
    ) -> None:
        super().__init__()
        if subset_size < 2 or num_subsets < 1:
            raise ValueError("KID needs subset_size >= 2 and num_subsets >= 1")
        self.subset_size, self.num_subsets = subset_size, num_subsets
        # The published protocol is 100 subsets of 1000.
        size = "" if subset_size == 1000 else f"s{subset_size}"
        self.protocol = size + ("" if num_subsets == 100 else f"x{num_subsets}")

    def check_sizes(self, num_real: int | None, num_fake: int) -> None:
        """Raise ValueError where a subset would need more images than there are."""
        smaller = min(num_fake, num_fake if num_real is None else num_real)
        if self.subset_size > smaller:
            raise ValueError(
                f"KID subset_size={self.subset_size} exceeds the {smaller} images of a side: "
                "lower subset_size or compare more (metrics.num_real, num_fake, a study's own)"
            )

    def compute(self) -> dict[str, Tensor]:
        """`kid`, the mean over subsets, and `kid_std`, their standard deviation; float64."""
        real, fake = self.rows("real"), self.rows("fake")
        self.check_sizes(len(real), len(fake))
        values = kernel_distances(real, fake, self.subset_size, self.num_subsets)
        return {"kid": values.mean(), "kid_std": values.std(correction=0)}


def kernel_distances(real: Tensor, fake: Tensor, subset_size: int, num_subsets: int) -> Tensor:
    """One unbiased squared MMD (section 4, k(x, y) = (x.y / d + 1)^3) for each keyed subset,
    (num_subsets,) float64; features are (N, d) and (M, d).
    """

    def drawn(features: Tensor, side: str, subset: int) -> Tensor:
        generator = keyed_generator("kid", side, subset)
        chosen = torch.randperm(len(features), generator=generator)[:subset_size]
        return features[chosen.to(features.device)].double()

    subsets = range(num_subsets)
    values = [poly_mmd(drawn(real, "real", s), drawn(fake, "fake", s)) for s in subsets]
    return torch.stack(values)
