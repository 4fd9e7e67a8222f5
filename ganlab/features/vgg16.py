"""VGG-16: features for precision and recall, and the stages that the semantic pyramid mirrors.

Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, arXiv
1409.1556, configuration D. Tensor names are torchvision's. A file says nothing of the pixels that
its network was trained on, so the config does: `features.weights.layout`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganlab.features.base import StagedExtractor
from ganlab.features.imagenet_classes import CLASS_NAMES
from ganlab.features.pixels import resize_antialiased
from ganlab.features.weights import WeightsFile

URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
SHA256 = "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"
BYTES = 553_433_881

WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
SMALLEST = 32  # px; five poolings leave one pixel
STAGES = ("pool1", "pool2", "pool3", "pool4", "pool5", "fc7", "fc8")

RGB_MEAN, RGB_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision's, of [0, 1]
BGR_MEAN = (103.939, 116.779, 123.68)  # the original Caffe model's mean pixel, of [0, 255]

CLASSES = {"torchvision": 1000, "caffe": 365}  # what a layout's usual file was trained on
NAMES = {1000: "", 365: "places365"}


@dataclass(frozen=True)
class VGG16Weights:
    """A file of VGG-16 weights and how it wants its pixels.

    | layout | channels | pixels | classes |
    |---|---|---|---|
    | `torchvision` | RGB | (v / 255 - mean) / std | 1000, ImageNet |
    | `caffe` | BGR | v - mean, v in 0..255 | 365, Places365 |

    Only torchvision's ImageNet file can be downloaded. Conversions of the Places365 Caffe model
    differ from each other, so layout, classes and mean can be set one by one.

    Raises:
        ValueError: an unknown layout, a number of classes below 1, or a mean of other than 3.
    """

    file: str | Path | None = None  # a local file; None is the user's cache
    layout: str = "torchvision"  # torchvision or caffe: order and scale of the channels
    classes: int | None = None  # outputs of the last layer; None is the layout's own, see above
    mean: tuple[float, ...] | None = None  # in the layout's order and scale; None is ImageNet's
    sha256: str | None = None  # what the file must be; None takes any but a download
    url: str = URL  # where torchvision's ImageNet file is downloaded from

    def __post_init__(self) -> None:
        key = "features.weights"
        if self.layout not in CLASSES:
            raise ValueError(f"{key}.layout={self.layout} is neither torchvision nor caffe")
        if self.num_classes < 1:
            raise ValueError(f"{key}.classes={self.classes} should be at least 1")
        if self.mean is not None and [isinstance(v, int | float) for v in self.mean] != [True] * 3:
            raise ValueError(f"{key}.mean={list(self.mean)} should be three numbers")

    @property
    def num_classes(self) -> int:
        """Outputs of the last layer."""
        return CLASSES[self.layout] if self.classes is None else self.classes

    @property
    def variant(self) -> str:
        """`vgg16`, `vgg16_places365_caffe`: a layout changes features as much as a file does."""
        classes = NAMES.get(self.num_classes, f"{self.num_classes}classes")
        layout = "" if self.layout == "torchvision" else self.layout
        return "_".join(filter(None, ("vgg16", classes, layout)))

    def located(self) -> WeightsFile:
        """The file and where it may come from."""
        path = None if self.file is None else Path(self.file).expanduser()
        published = self.layout == "torchvision" and self.num_classes == 1000
        return WeightsFile(
            path,
            self.url if published else "",
            BYTES - 4 * 4097 * (1000 - self.num_classes),
            self.sha256 or (SHA256 if published and path is None else None),
            "features.weights.file",
            name="" if published else f"{self.variant}.pth",
            advice="; say what the file is with features.weights.classes and .layout",
        )

    def normalized(self, grid: Tensor) -> Tensor:
        """Values 0..255 in RGB, (N, 3, H, W), as the network takes them."""
        if self.layout == "caffe":
            return grid.flip(1) - _per_channel(self.mean or BGR_MEAN, grid)  # (N, BGR, H, W)
        mean, std = _per_channel(self.mean or RGB_MEAN, grid), _per_channel(RGB_STD, grid)
        return (grid / 255 - mean) / std


def _per_channel(values: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, 3, 1, 1)


class Network(nn.Module):
    """Thirteen convolutions in five stages and three linear layers (table 1, column D).

    Dropout is the identity outside training; it stands there for the layers' numbers.
    """

    def __init__(
        self,
        num_classes: int = 1000,  # outputs of the last layer
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        in_channels = 3
        for widths in WIDTHS:
            for width in widths:
                layers += [nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU()]
                in_channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            *(nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout()),  # fc6
            *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()),  # fc7
            nn.Linear(4096, num_classes),  # fc8
        )

    def stages(self, x: Tensor) -> dict[str, Tensor]:
        """The five stages after their pooling, fc7 after its ReLU, and fc8, the logits."""
        found: dict[str, Tensor] = {}
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                found[f"pool{len(found) + 1}"] = x  # (N, C, H / 2^k, W / 2^k)
        x = F.adaptive_avg_pool2d(x, 7).flatten(1)  # (N, 25088); at 224 px the pool is 7x7 already
        found["fc7"] = self.classifier[:5](x)  # (N, 4096)
        found["fc8"] = self.classifier[5:](found["fc7"])
        return found

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map normalized images to (fc7, logits)."""
        found = self.stages(x)
        return found["fc7"], found["fc8"]


class VGG16(StagedExtractor):
    """Features fc7 after its ReLU (N, 4096), also called fc2, and the logits (N, classes).

    The features of improved precision and recall (Kynkäänniemi et al. 2019, section 2). `stages`
    gives what the semantic pyramid is built on: `pool1` .. `pool5`, `fc7` after its ReLU, and
    `fc8`, the logits.
    """

    name = "vgg16"
    feature_dim = 4096
    stage_names = STAGES
    channels = 3

    def __init__(
        self,
        weights: VGG16Weights | str | Path | None = None,  # None or a file alone: torchvision's
        size: int | None = 224,  # side the images are resized to, px; None = their own
        select: Sequence[int] | None = None,  # as in `Extractor`
    ) -> None:
        chosen = weights if isinstance(weights, VGG16Weights) else VGG16Weights(weights)
        if size is not None and size < SMALLEST:
            raise ValueError(f"features.size={size} should be at least {SMALLEST}, or null")
        super().__init__(chosen.located(), select)
        self.weights, self.size = chosen, size
        self.name, self.num_classes = chosen.variant + self.suffix, chosen.num_classes
        self.class_names = CLASS_NAMES if len(CLASS_NAMES) == chosen.num_classes else ()
        self.resize = "none" if size is None else f"bilinear-antialias-{size}"
        if chosen.mean is not None:  # it shifts features as a resize does: part of the protocol
            self.resize += "-mean-" + "-".join(f"{value:g}" for value in chosen.mean)

    def build(self) -> nn.Module:
        """The network without weights."""
        return Network(self.weights.num_classes)

    def fitted(self, grid: Tensor) -> Tensor:
        """Values 0..255, (N, 3, H, W), in the size, channel order and scale of the weights.

        Raises:
            ValueError: images below 32 px that are not to be resized.
        """
        if self.size is not None:
            grid = resize_antialiased(grid, self.size, "bilinear")
        elif min(grid.shape[2:]) < SMALLEST:
            raise ValueError(
                f"images of {grid.shape[2]}x{grid.shape[3]} px vanish in VGG-16's poolings: "
                f"features.size={SMALLEST} or more resizes them"
            )
        return self.weights.normalized(grid)
