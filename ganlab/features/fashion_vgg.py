"""A VGG-shaped classifier of Fashion-MNIST: what a semantic pyramid mirrors where VGG-16 is large.

Trained on the 60,000 training images by
`python scripts/train_classifier.py --network fashion_vgg --epochs 8 --threads 1`; the embedded
weights (float16) recognise 91.6% of the 10,000 test images.
"""

from collections.abc import Sequence
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from ganlab.features.base import StagedExtractor
from ganlab.features.classifier import fitted
from ganlab.features.weights import WeightsFile

SIZE = 32  # px of the images it was trained on
SMALLEST = 16  # px; four poolings leave one pixel
WIDTHS = ((16,), (32,), (64, 64), (128, 128))
STAGES = ("pool1", "pool2", "pool3", "pool4", "fc7", "fc8")
CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
EMBEDDED = Path(__file__).with_name("fashion_vgg.pt")
SHA256 = "380d1f864085550ffad6cce23d12e9129aa6cca68c39c404c8cd1bfdcce3207b"


class Network(nn.Module):
    """Six convolutions in four stages and two linear layers: (N, 1, 32, 32) to (N, 10) logits.

    The shape of VGG-11 (Simonyan and Zisserman, arXiv 1409.1556, table 1, column A), narrow and one
    stage shorter, with batch norm; without fc6, which a semantic pyramid leaves out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pools = nn.ModuleList()
        in_channels = 1
        for widths in WIDTHS:
            layers: list[nn.Module] = []
            for width in widths:
                convolution = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
                layers += [convolution, nn.BatchNorm2d(width), nn.ReLU()]
                in_channels = width
            self.pools.append(nn.Sequential(*layers, nn.MaxPool2d(2)))
        self.fc7 = nn.Sequential(nn.Linear(in_channels * 4, 128), nn.ReLU())
        self.fc8 = nn.Linear(128, len(CLASSES))

    def stages(self, x: Tensor) -> dict[str, Tensor]:
        """The four stages after their pooling, fc7 after its ReLU, and fc8, the logits."""
        found: dict[str, Tensor] = {}
        for position, pool in enumerate(self.pools, 1):
            found[f"pool{position}"] = x = pool(x)  # (N, C, H / 2^k, W / 2^k)
        x = F.adaptive_avg_pool2d(x, 2).flatten(1)  # (N, 512); of 32 px it is 2x2 already
        found["fc7"] = self.fc7(x)  # (N, 128)
        found["fc8"] = self.fc8(found["fc7"])
        return found

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map images in [-1, 1] to (fc7, logits)."""
        found = self.stages(images)
        return found["fc7"], found["fc8"]


class FashionVGG(StagedExtractor):
    """Stages `pool1` .. `pool4`, `fc7` after its ReLU and `fc8`; features are those of fc7.

    It looks at brightness only: colour becomes luminance, so that it serves any images, and `fc8`
    always speaks of garments. At a `size` above 32 the poolings have more pixels, as for a pyramid
    of larger images, and fc7 sees their averages.

    Raises:
        ValueError: a size that is no power of two from 16.
    """

    name = "fashion_vgg"
    feature_dim = 128
    channels = 1
    stage_names = STAGES
    num_classes = len(CLASSES)
    class_names = CLASSES  # of the logits, in order

    def __init__(
        self,
        weights: str | Path | None = None,  # a file trained by the script; None is the embedded one
        size: int = SIZE,  # side the images are resized to, px
        select: Sequence[int] | None = None,  # as in `Extractor`
    ) -> None:
        if size < SMALLEST or size & (size - 1):
            raise ValueError(f"features.size={size} should be a power of two from {SMALLEST}")
        if weights is None:
            super().__init__(WeightsFile(EMBEDDED, sha256=SHA256), select)
        else:
            super().__init__(WeightsFile(Path(weights).expanduser()), select)
        self.size = size
        self.resize = f"bilinear-antialias-{size}"

    def build(self) -> nn.Module:
        """The untrained network."""
        return Network()

    def fitted(self, grid: Tensor) -> Tensor:
        """8-bit values (N, 1, H, W) as (N, 1, size, size) in [-1, 1]."""
        return fitted(grid, self.size)
