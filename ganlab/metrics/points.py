"""Base of the scores that compare images either by their features or pixel by pixel."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ganlab.features.pixels import quantize
from ganlab.metrics.score import StoredFeatures


class StoredPoints(StoredFeatures):
    """Keeps each image as a point of the chosen space; pixels as bytes, C * H * W an image.

    Raises:
        ValueError: an unknown space, or images of more than one shape.
    """

    real_shape: Tensor  # (3,) int64, C, H, W of the kept images; zeros = none seen yet
    fake_shape: Tensor

    def __init__(
        self,
        space: str = "features",  # features (of the extractor) or pixels
        side: int | None = None,  # larger images are shrunk to this, pixels; None = kept whole
    ) -> None:
        super().__init__()
        if space not in ("features", "pixels") or (side is not None and side < 1):
            raise ValueError(f"space={space} side={side}: space is features or pixels, side >= 1")
        if space == "features" and side is not None:
            raise ValueError(f"side={side} shrinks images: it needs space=pixels")
        self.space, self.side = space, side
        if space == "pixels":
            self.source, self.stored = "images", torch.uint8
        for name in ("real_shape", "fake_shape"):
            self.add_state(name, torch.zeros(3, dtype=torch.int64), "max")

    def update(self, features: Tensor, real: bool, index: Tensor | None = None) -> None:
        """Keep (N, d) features, or images in [-1, 1], (N, C, H, W)."""
        if self.space == "pixels":
            images = shrunk(features, self.side)
            self._note_shape(images, "real" if real else "fake")
            features = quantize(images).to(torch.uint8).flatten(1)  # (N, C H W)
        super().update(features, real, index)

    def points(self, side: str) -> Tensor:
        """The points of `real` or `fake` by ascending index, (N, d) float64; pixels in [0, 1]."""
        rows = self.ordered(side)
        return rows / 255 if self.space == "pixels" else rows

    def _note_shape(self, images: Tensor, side: str) -> None:
        shape = torch.tensor(images.shape[1:], device=self.device)
        known = torch.as_tensor(self.metric_state[f"{side}_shape"])
        if known.any() and not torch.equal(known, shape):
            raise ValueError(f"images of {shape.tolist()} (C, H, W) came after {known.tolist()}")
        setattr(self, f"{side}_shape", shape)


def shrunk(images: Tensor, side: int | None) -> Tensor:
    """Images (N, C, H, W) no higher or wider than `side`, by the mean over areas of pixels."""
    if side is None or max(images.shape[2:]) <= side:
        return images
    return F.adaptive_avg_pool2d(images, side)
