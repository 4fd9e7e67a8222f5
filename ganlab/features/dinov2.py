"""DINOv2: a vision transformer trained without labels, whose features recent papers compare in.

Oquab et al., arXiv 2304.07193; the transformer of Dosovitskiy et al., arXiv 2010.11929, with
LayerScale (Touvron et al., arXiv 2103.17239). Tensor names are those of the published files
(`dinov2_vits14_pretrain.pth` and so on, without registers), patches are of 14 px. What Stein et al.
(arXiv 2306.04675) call FD-DINOv2 is `fid` with `features.model=vitl14`.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganlab.features.base import Extractor
from ganlab.features.pixels import resize_antialiased
from ganlab.features.weights import WeightsFile

WIDTHS = {"vits14": (384, 12), "vitb14": (768, 12), "vitl14": (1024, 24)}  # and depth
PATCH, HEAD = 14, 64  # px; numbers of an attention head
SIDE = 37  # patches of the images whose positions were learned, 518 px
OFFSET = 0.1  # added to the new side where positions are resized, as trained and published
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of [0, 1]


class Attention(nn.Module):
    """Softmax attention of all tokens to all, in heads of 64."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, tokens, width), the same shape."""
        n, tokens, width = x.shape
        split = self.qkv(x).view(n, tokens, 3, width // HEAD, HEAD).permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(*split.unbind())  # (N, heads, tokens, 64)
        mixed: Tensor = self.proj(found.transpose(1, 2).reshape(n, tokens, width))
        return mixed


class Scale(nn.Module):
    """A learned factor for each number of a token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(N, tokens, width), the same shape."""
        return x * self.gamma


class Perceptron(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, tokens, width), the same shape."""
        mapped: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return mapped


class Block(nn.Module):
    """Attention and perceptron, each after a layer norm, scaled, beside an identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.attn, self.ls1 = norm(width), Attention(width), Scale(width)
        self.norm2, self.mlp, self.ls2 = norm(width), Perceptron(width), Scale(width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, tokens, width), the same shape."""
        x = x + self.ls1(self.attn(self.norm1(x)))
        added: Tensor = x + self.ls2(self.mlp(self.norm2(x)))
        return added


def norm(width: int) -> nn.LayerNorm:
    """Layer norm with the published epsilon."""
    return nn.LayerNorm(width, eps=1e-6)


class Patches(nn.Module):
    """Each 14x14 patch as a token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, PATCH)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, H / 14 * W / 14, width), row by row."""
        tokens: Tensor = self.proj(x).flatten(2).transpose(1, 2)
        return tokens


class Network(nn.Module):
    """A class token and the patches' through the blocks; the class token's numbers at the end."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + SIDE**2, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))  # of training; no part of features
        self.patch_embed = Patches(width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.norm = norm(width)

    def positions(self, height: int, width: int) -> Tensor:
        """What is added to the tokens of so many patches, (1, 1 + height * width, numbers)."""
        if (height, width) == (SIDE, SIDE):
            return self.pos_embed
        first, grid = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        grid = grid.transpose(1, 2).unflatten(2, (SIDE, SIDE))  # (1, numbers, 37, 37)
        factors = ((height + OFFSET) / SIDE, (width + OFFSET) / SIDE)
        resized = F.interpolate(grid, scale_factor=factors, mode="bicubic")
        return torch.cat([first, resized.flatten(2).transpose(1, 2)], dim=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map normalized images (N, 3, H, W) to features (N, width), and to no logits, (N, 0)."""
        height, width = (side // PATCH for side in x.shape[2:])
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), self.patch_embed(x)], dim=1)
        tokens = tokens + self.positions(height, width)
        for block in self.blocks:
            tokens = block(tokens)
        features: Tensor = self.norm(tokens)[:, 0]
        return features, features[:, :0]


class DINOv2(Extractor):
    """The class token after the last norm: 384, 768 or 1024 features, by the model; no logits.

    Raises:
        ValueError: an unknown model, or a size that is no whole number of patches; names the key.
    """

    name = "dinov2"
    channels = 3
    has_logits = False

    def __init__(
        self,
        weights: str | Path | None = None,  # the published file of the model, or one like it
        model: str = "vitl14",  # vits14, vitb14 or vitl14
        size: int = 224,  # side the images are resized to, px; a multiple of 14
        sha256: str | None = None,  # what the file must be; None takes any
        select: Sequence[int] | None = None,  # as in `Extractor`
    ) -> None:
        if model not in WIDTHS:
            raise ValueError(f"features.model={model} should be one of {', '.join(WIDTHS)}")
        if size < PATCH or size % PATCH:
            raise ValueError(f"features.size={size} should be a multiple of {PATCH}")
        path = None if weights is None else Path(weights).expanduser()
        named = f"dinov2_{model}_pretrain.pth"
        super().__init__(WeightsFile(path, sha256=sha256, name=named), select)
        self.model, self.size, (self.feature_dim, self.depth) = model, size, WIDTHS[model]
        self.name = ("dinov2" if model == "vitl14" else f"dinov2_{model}") + self.suffix
        self.resize = f"bicubic-antialias-{size}"

    def build(self) -> nn.Module:
        """The network without weights."""
        return Network(self.feature_dim, self.depth)

    def fitted(self, grid: Tensor) -> Tensor:
        """Values 0..255 in RGB, (N, 3, H, W), in the size and range the network was trained on."""
        grid = resize_antialiased(grid, self.size, "bicubic").clamp(0, 255) / 255
        mean, std = (grid.new_tensor(each).view(1, 3, 1, 1) for each in (MEAN, STD))
        return (grid - mean) / std
