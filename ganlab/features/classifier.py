"""A small classifier of Fashion-MNIST: the house's own feature space for small grey images.

Trained by `python scripts/train_classifier.py` on the 60,000 training images; the embedded weights
(float16) recognise 92.6% of the 10,000 test images. On those the covariance of the 64 features has
full rank at 1,000 images already (condition number about 2,000).
"""

from collections.abc import Sequence
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from ganlab.features.base import Extractor
from ganlab.features.pixels import resize_antialiased
from ganlab.features.weights import WeightsFile

SIZE = 32
EMBEDDED = Path(__file__).with_name("classifier.pt")
SHA256 = "a503d452d591398f77f306bb83b7939a1dae4dbd1592e556469d1d4dd10d17a2"


class Network(nn.Module):
    """Four convolutions and two linear layers: (N, 1, 32, 32) to features (N, 64), logits (N, 10).

    Features are the batch-normalized output of the first linear layer, before its ReLU: no unit is
    ever cut to a constant, and on the training images each has mean 0 and variance about 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *_convolution(1, 32, kernel=5, stride=2),  # (N, 32, 16, 16)
            *_convolution(32, 64),
            nn.MaxPool2d(2),  # (N, 64, 8, 8)
            *_convolution(64, 128),
            nn.MaxPool2d(2),  # (N, 128, 4, 4)
            *_convolution(128, 128),
            nn.Flatten(),  # (N, 2048)
        )
        self.embedding = nn.Linear(2048, 64, bias=False)
        self.norm = nn.BatchNorm1d(64)
        self.head = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map images in [-1, 1] to (features, logits)."""
        features = self.norm(self.embedding(self.trunk(images)))
        return features, self.head(F.relu(features))


def _convolution(
    in_channels: int, channels: int, kernel: int = 3, stride: int = 1
) -> list[nn.Module]:
    convolution = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(channels), nn.ReLU()]


def fitted(grid: Tensor, size: int = SIZE) -> Tensor:
    """8-bit values (N, 1, H, W) as a network's (N, 1, size, size) in [-1, 1].

    At size 32, 28x28 images, as in the data set's files, are padded by 2 black pixels; every other
    size is resized.
    """
    if grid.shape[2:] == (28, 28) and size == SIZE:
        return F.pad(grid, (2, 2, 2, 2)) / 127.5 - 1
    return resize_antialiased(grid, size, "bilinear") / 127.5 - 1


class Classifier(Extractor):
    """Features (N, 64) and the logits (N, 10) of Fashion-MNIST's classes."""

    name = "classifier"
    resize = "bilinear-antialias-32"
    feature_dim = 64
    channels = 1

    def __init__(
        self,
        weights: str | Path | None = None,  # a file trained by the script; None is the embedded one
        select: Sequence[int] | None = None,  # as in `Extractor`
    ) -> None:
        if weights is None:
            super().__init__(WeightsFile(EMBEDDED, sha256=SHA256), select)
        else:
            super().__init__(WeightsFile(Path(weights).expanduser()), select)

    def build(self) -> nn.Module:
        """The untrained network."""
        return Network()

    def fitted(self, grid: Tensor) -> Tensor:
        """8-bit values (N, 1, H, W) as (N, 1, 32, 32) in [-1, 1]."""
        return fitted(grid)
