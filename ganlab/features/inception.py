"""The Inception network of FID: TensorFlow's graph of 2015-12-05, as a PyTorch module.

Szegedy et al., Rethinking the Inception Architecture for Computer Vision, arXiv 1512.00567, with
that graph's own traits, on which every published FID rests: 1008 logits; average pools that leave
padding out of the mean; a maximum pool in the last block where the paper has an average; a TF1
bilinear resize that aliases. Other Inceptions (torchvision's among them) give other numbers.

Tensor names are those of the two ports in use, pytorch-fid's `pt_inception-2015-12-05-6726825d.pth`
and torch-fidelity's `weights-inception-2015-12-05-6726825d.pth`: the names are the same in both,
and both file names carry the start of the one digest `SHA256`.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganlab.features.base import Extractor
from ganlab.features.pixels import resize_antialiased, resize_tf1
from ganlab.features.weights import WeightsFile

URL = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth"
)
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
BYTES = 95_628_359
SIZE = 299

# One convolution of a block: its name, its width, its kernel; more than one in a step run side by
# side on the same input.
Stage = tuple[str, int, int | tuple[int, int]]
Steps = list[Stage | list[Stage]]


class Convolution(nn.Module):
    """Convolution, batch norm, ReLU; "same" padding unless `valid`, which the strided ones are."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        valid: bool = False,  # no padding
    ) -> None:
        super().__init__()
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (0, 0) if valid or stride > 1 else (height // 2, width // 2)
        self.conv = nn.Conv2d(in_channels, channels, (height, width), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, channels, H', W')."""
        return F.relu(self.bn(self.conv(x)))


class AveragePool(nn.AvgPool2d):
    """3x3 mean over the pixels that exist: at a border the padding is not counted."""

    def __init__(self) -> None:
        super().__init__(3, stride=1, padding=1, count_include_pad=False)


class Mixed(nn.Module):
    """Parallel paths of convolutions and one of pooling, concatenated in this order."""

    def __init__(
        self,
        in_channels: int,
        paths: list[Steps],  # each from input to output
        pool: nn.Module,
        projection: int | None = None,  # width of the 1x1 convolution after the pool, if any
        stride: int = 1,  # of the last convolution in each path
    ) -> None:
        super().__init__()
        self.paths = [[_names(step) for step in path] for path in paths]
        for path in paths:
            width = in_channels
            for step in path:
                for name, channels, kernel in _side_by_side(step):
                    last = stride if step is path[-1] else 1
                    self.add_module(name, Convolution(width, channels, kernel, last))
                width = sum(channels for _, channels, _ in _side_by_side(step))
        self.pool = pool
        made = None if projection is None else Convolution(in_channels, projection, 1)
        self.branch_pool = made  # torchvision's name

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to the concatenated paths."""
        outputs = [self._follow(path, x) for path in self.paths]
        pooled = self.pool(x)
        outputs.append(pooled if self.branch_pool is None else self.branch_pool(pooled))
        return torch.cat(outputs, 1)

    def _follow(self, path: list[list[str]], x: Tensor) -> Tensor:
        for names in path:
            x = torch.cat([self.get_submodule(name)(x) for name in names], 1)
        return x


def _side_by_side(step: Stage | list[Stage]) -> list[Stage]:
    return step if isinstance(step, list) else [step]


def _names(step: Stage | list[Stage]) -> list[str]:
    return [name for name, _, _ in _side_by_side(step)]


def mixed_35(in_channels: int, projection: int) -> Mixed:
    """The block of the 35x35 grid (figure 5)."""
    five: Steps = [("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)]
    double: Steps = [("branch3x3dbl_1", 64, 1)]
    double += [("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)]
    return Mixed(in_channels, [[("branch1x1", 64, 1)], five, double], AveragePool(), projection)


def reduction_17(in_channels: int) -> Mixed:
    """From the 35x35 to the 17x17 grid (figure 10)."""
    double: Steps = [("branch3x3dbl_1", 64, 1)]
    double += [("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)]
    return Mixed(in_channels, [[("branch3x3", 384, 3)], double], nn.MaxPool2d(3, 2), stride=2)


def mixed_17(in_channels: int, width: int) -> Mixed:
    """The block of the 17x17 grid, 7x7 convolutions factorized into 1x7 and 7x1 (figure 6)."""
    seven: Steps = [("branch7x7_1", width, 1), ("branch7x7_2", width, (1, 7))]
    seven += [("branch7x7_3", 192, (7, 1))]
    double: Steps = [("branch7x7dbl_1", width, 1), ("branch7x7dbl_2", width, (7, 1))]
    double += [("branch7x7dbl_3", width, (1, 7)), ("branch7x7dbl_4", width, (7, 1))]
    double += [("branch7x7dbl_5", 192, (1, 7))]
    return Mixed(in_channels, [[("branch1x1", 192, 1)], seven, double], AveragePool(), 192)


def reduction_8(in_channels: int) -> Mixed:
    """From the 17x17 to the 8x8 grid."""
    three: Steps = [("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3)]
    seven: Steps = [("branch7x7x3_1", 192, 1), ("branch7x7x3_2", 192, (1, 7))]
    seven += [("branch7x7x3_3", 192, (7, 1)), ("branch7x7x3_4", 192, 3)]
    return Mixed(in_channels, [three, seven], nn.MaxPool2d(3, 2), stride=2)


def mixed_8(in_channels: int, pool: nn.Module) -> Mixed:
    """The block of the 8x8 grid, whose 3x3 convolutions end as 1x3 beside 3x1 (figure 7)."""
    three: Steps = [("branch3x3_1", 384, 1)]
    three += [[("branch3x3_2a", 384, (1, 3)), ("branch3x3_2b", 384, (3, 1))]]
    double: Steps = [("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3)]
    double += [[("branch3x3dbl_3a", 384, (1, 3)), ("branch3x3dbl_3b", 384, (3, 1))]]
    return Mixed(in_channels, [[("branch1x1", 320, 1)], three, double], pool, 192)


class Network(nn.Module):
    """(N, 3, 299, 299) to features (N, 2048) and logits (N, 1008); `fc` is the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, stride=2)  # (N, 32, 149, 149)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3, valid=True)  # (N, 32, 147, 147)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3)
        self.pool_1 = nn.MaxPool2d(3, 2)  # (N, 64, 73, 73)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3, valid=True)  # (N, 192, 71, 71)
        self.pool_2 = nn.MaxPool2d(3, 2)  # (N, 192, 35, 35)
        self.Mixed_5b = mixed_35(192, 32)  # (N, 256, 35, 35)
        self.Mixed_5c = mixed_35(256, 64)  # (N, 288, 35, 35)
        self.Mixed_5d = mixed_35(288, 64)
        self.Mixed_6a = reduction_17(288)  # (N, 768, 17, 17)
        self.Mixed_6b = mixed_17(768, 128)
        self.Mixed_6c = mixed_17(768, 160)
        self.Mixed_6d = mixed_17(768, 160)
        self.Mixed_6e = mixed_17(768, 192)
        self.Mixed_7a = reduction_8(768)  # (N, 1280, 8, 8)
        self.Mixed_7b = mixed_8(1280, AveragePool())  # (N, 2048, 8, 8)
        self.Mixed_7c = mixed_8(2048, nn.MaxPool2d(3, stride=1, padding=1))  # the graph's own
        self.fc = nn.Linear(2048, 1008)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images in [-1, 1) to (features, logits)."""
        for name, module in self.named_children():
            if name != "fc":
                x = module(x)
        features = x.mean((2, 3))  # (N, 2048)
        return features, self.fc(features)


class Inception(Extractor):
    """FID's features (N, 2048) and logits (N, 1008), these also as `logits_unbiased`.

    The published Inception Score leaves out the last layer's bias.
    Resize to 299x299 is `tf1` (bilinear without antialiasing, as published FIDs) or `clean`
    (bicubic with antialiasing; Parmar et al., arXiv 2104.11222). Weights come from a local file or
    from the user's cache, into which `prepare` downloads them once; both are held to `sha256`.
    """

    name = "inception"
    feature_dim = 2048
    channels = 3

    def __init__(
        self,
        weights: str | Path | None = None,  # a local file; None is the cache, filled by a download
        resize: str = "tf1",  # tf1 or clean
        sha256: str | None = SHA256,  # what the file must be; None takes any and records what it is
        url: str = URL,  # where the file is downloaded from
        select: Sequence[int] | None = None,  # as in `Extractor`
    ) -> None:
        if resize not in ("tf1", "clean"):
            raise ValueError(f"features.resize={resize} is neither tf1 nor clean")
        path = None if weights is None else Path(weights).expanduser()
        super().__init__(WeightsFile(path, url, BYTES, sha256), select)
        self.resize = {"tf1": "bilinear-tf1-299", "clean": "bicubic-antialias-299"}[resize]

    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Map (N, C, H, W) to `features`, `logits` and `logits_unbiased`, float32."""
        outputs: dict[str, Tensor] = super().forward(images)
        bias: Tensor = self._loaded().fc.bias  # type: ignore[union-attr, assignment]
        return {**outputs, "logits_unbiased": outputs["logits"] - bias}

    def build(self) -> nn.Module:
        """The network without weights."""
        return Network()

    def fitted(self, grid: Tensor) -> Tensor:
        """8-bit values (N, 3, H, W) as (N, 3, 299, 299), (v - 128) / 128 as in the graph."""
        if self.resize == "bilinear-tf1-299":
            grid = resize_tf1(grid, SIZE)
        else:
            grid = resize_antialiased(grid, SIZE, "bicubic").clamp(0, 255)
        return (grid - 128) / 128
