"""Semantic pyramid: a class-conditional GAN whose generator mirrors a frozen classifier.

Shocher et al.: "Semantic Pyramid for Image Generation" (CVPR 2020), section 3.1 and figure 3, on
the networks of Zhang et al.: "Self-Attention Generative Adversarial Networks" (arXiv:1805.08318):
residual blocks, spectral norm in both networks, self-attention, a discriminator with projection
(Miyato and Koyama, arXiv:1802.05637). One class embedding is shared by all layers (Brock et al.,
arXiv:1809.11096).
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from ganlab.networks import base
from ganlab.networks.base import Condition, Images
from ganlab.nn.attention import SelfAttention
from ganlab.nn.conditional import ConditionalBatchNorm
from ganlab.nn.precision import in_single
from ganlab.nn.randomness import truncated_normal
from ganlab.nn.residual import ResidualDown, ResidualUp, layer
from ganlab.nn.transfer import to_device

ATTENTION = 32  # px of the largest map that attends to itself, unless one is named
COARSEST = 4  # px of the coarsest map, where no stage says otherwise


def stage_shapes(
    stages: Mapping[str, Sequence[int]] | None, resolution: int
) -> dict[str, tuple[int, ...]]:
    """Stage -> (C, H, W) or (C,), in the order given.

    Raises:
        ValueError: a stage that is not [channels] or [channels, reduction], a reduction that does
            not divide the resolution, or stages that do not run from fine to coarse.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (channels, *reduction) in (stages or {}).items():
        if (
            len(reduction) > 1
            or min([channels, *reduction]) < 1
            or any(resolution % r for r in reduction)
        ):
            raise ValueError(
                f"model.generator.stages.{name} must be [channels] or [channels, reduction], and "
                f"the reduction must divide the resolution {resolution}"
            )
        shapes[name] = (channels, *(resolution // r for r in reduction * 2))
    sizes = [shape[-1] if len(shape) > 1 else 1 for shape in shapes.values()]
    if any(fine % coarse for fine, coarse in pairwise(sizes)):
        raise ValueError(f"model.generator.stages must run from fine to coarse, got sizes {sizes}")
    return shapes


def halvings(size: int, smallest: int = COARSEST) -> list[int]:
    """The size and its halves down to `smallest` or to an odd one."""
    sizes = [size]
    while sizes[-1] > smallest and sizes[-1] % 2 == 0:
        sizes.append(sizes[-1] // 2)
    return sizes


def mirror_sizes(
    shapes: Mapping[str, tuple[int, ...]], resolution: int
) -> list[tuple[str | None, int]]:
    """(stage, size) of each block, coarse to fine; a block between two stages has no name.

    Maps double from block to block, so that a stage at a quarter of the next size is followed by
    two; after the finest stage they double up to the resolution.
    """
    path: list[tuple[str | None, int]] = []
    for name, shape in reversed(list(shapes.items())):
        size = shape[1] if len(shape) > 1 else 0
        if path and path[-1][1]:
            path += [(None, each) for each in reversed(halvings(size, 2 * path[-1][1])[1:])]
        path.append((name, size))
    between = halvings(resolution, 2 * path[-1][1] if path and path[-1][1] else COARSEST)
    return path + [(None, size) for size in reversed(between) if not path or size > path[-1][1]]


def attending(sizes: Sequence[int], size: int | None, network: str) -> int:
    """Position of the last block of this size; None = the largest up to 32 px, the image's apart.

    Raises:
        ValueError: no map has this size; names the key.
    """
    maps = sorted({each for each in sizes if each})
    if size is None:
        size = max((each for each in maps[:-1] if each <= ATTENTION), default=maps[0])
    if size not in maps:
        raise ValueError(f"model.{network}.attention_size={size} must be one of {maps}")
    return max(position for position, each in enumerate(sizes) if each == size)


class Generator(base.Generator):
    """One residual block a stage of the classifier, from the latent up; tanh at the end.

    A stage's features are multiplied by their mask, joined by it as one more channel, convolved
    without bias and added to the result of its block. A stage without a mask is skipped: nothing
    is added, and its convolution gets no gradient. `condition.label` is the class; without one the
    mean of the class embeddings stands for it. `layers` are the ReLUs, of vectors first.

    Raises:
        ValueError: stages or an attention that this resolution cannot have.
    """

    def __init__(
        self,
        resolution: int = 256,
        channels: int = 3,  # of the image
        stages: Mapping[str, Sequence[int]]
        | None = None,  # fine to coarse: [channels, reduction] of maps, [channels] of vectors
        latent_dim: int = 128,
        num_classes: int = 10,
        embedding_dim: int = 128,  # of a class
        width: int = 64,  # channels of the finest map, doubled at each coarser one
        max_width: int = 1024,  # cap on that doubling, and width of vectors
        attention_size: int | None = None,  # None = the largest map up to 32 px
    ) -> None:
        super().__init__()
        self.resolution, self.channels, self.latent_dim = resolution, channels, latent_dim
        self.num_classes, self.stages = num_classes, stage_shapes(stages, resolution)
        self.embedding = nn.Embedding(num_classes, embedding_dim)
        nn.init.normal_(self.embedding.weight, 0.0, embedding_dim**-0.5)
        self.path = mirror_sizes(self.stages, resolution)
        sizes = [size for _, size in self.path]
        widths = [
            min(width * resolution // size, max_width) if size else max_width for size in sizes
        ]
        groups = max(1, 2 * len(self.stages))
        self.start = layer(latent_dim, widths[0] * max(1, sizes[0]) ** 2, 0)
        self.blocks, self.fuse = nn.ModuleList(), nn.ModuleDict()
        before = widths[0], sizes[0]
        for (name, size), outgoing in zip(self.path, widths, strict=True):
            block = ResidualUp(before[0], outgoing, before[1], size, embedding_dim, groups)
            self.blocks.append(block)
            if name is not None:
                self.fuse[name] = layer(self.stages[name][0] + 1, outgoing, size)  # with the mask
            before = outgoing, size
        self.attention_after = attending(sizes, attention_size, "generator")
        self.attention = SelfAttention(widths[self.attention_after])
        self.norm = ConditionalBatchNorm(widths[-1], embedding_dim, groups)
        self.activation = nn.ReLU()
        self.to_image = spectral_norm(nn.Conv2d(widths[-1], channels, 3, padding=1))

    @property
    def layers(self) -> dict[str, nn.Module]:
        """`fc/0`, ..., `4x4/0`, ... -> ReLU, two a block and one before the image."""
        found: dict[str, nn.Module] = {}
        for block in self.blocks:
            assert isinstance(block, ResidualUp)
            add(found, block.size, block.activation0)
            add(found, block.new_size, block.activation1)
        add(found, self.resolution, self.activation)
        return found

    @property
    def truncates(self) -> bool:
        """Its latents can be cut."""
        return True

    def truncated(self, latents: Tensor, threshold: float) -> Tensor:
        """Latents of a normal distribution cut at +-threshold: the truncation trick (Brock et al.,
        section 3.1).
        """
        return truncated_normal(latents, threshold)

    def statistics_of(self, condition: Condition | None, like: Tensor) -> Tensor:
        """(N,) int64: which running statistics fit what each sample is told.

        A level by itself has statistics of its own, as has a level with finer ones around a crop.
        """
        deepest = torch.full((len(like),), len(self.stages) - 1, device=like.device)
        cropped = torch.zeros_like(deepest)
        told = [(i, n) for i, n in enumerate(self.stages) if n in masks_of(condition)]
        if told:
            on = torch.stack([masks_of(condition)[n].flatten(1).amax(1) > 0 for _, n in told], 1)
            position = to_device(torch.tensor([i + 1 for i, _ in told]), like.device)
            found = (on * position).amax(1)  # (N,); 0 = nothing is on
            deepest = torch.where(found > 0, found - 1, deepest)
            cropped = (on.sum(1) > 1).long()
        return (2 * deepest + cropped).clamp(min=0)

    def forward(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        """Map latents to images, (N, Z) -> (N, C, H, W).

        Raises:
            ValueError: the condition has masks of unknown stages, or features of another shape.
        """
        told = self.told(condition)
        embedding = class_embedding(self.embedding, condition, len(latents))
        group = self.statistics_of(condition, latents)
        x = self.start(latents)
        if size := self.path[0][1]:
            x = x.unflatten(1, (-1, size, size))
        for position, ((name, _), block) in enumerate(zip(self.path, self.blocks, strict=True)):
            x = block(x, embedding, group)
            if name is not None and name in told:
                x = x + self.fuse[name](told[name])  # figure 3b
            if position == self.attention_after:
                x = self.attention(x)
        x = self.activation(self.norm(x, embedding, group))
        images: Tensor = in_single(self.to_image, x).tanh()
        return images

    def told(self, condition: Condition | None) -> dict[str, Tensor]:
        """Stage -> (N, C + 1, H, W), features times mask and the mask; only of stages with one."""
        features = (condition.features if condition else None) or {}
        joined: dict[str, Tensor] = {}
        for name, mask in masks_of(condition).items():
            shape = tuple(features[name].shape[1:]) if name in features else None
            if name not in self.stages or shape != self.stages[name]:
                raise ValueError(
                    f"the generator mirrors {self.stages} and is told {name} of shape {shape}: "
                    "set model.generator.stages to those of model.conditioner.extractor"
                )
            joined[name] = torch.cat([features[name] * mask, mask], dim=1)
        return joined


def add(layers: dict[str, nn.Module], size: int, activation: nn.Module) -> None:
    """Name an activation after its size and its place among those of that size."""
    prefix = f"{size}x{size}/" if size else "fc/"
    layers[prefix + str(sum(name.startswith(prefix) for name in layers))] = activation


def masks_of(condition: Condition | None) -> Mapping[str, Tensor]:
    """Stage -> mask; none at all where nothing is told."""
    return {} if condition is None or condition.masks is None else condition.masks


def class_embedding(embedding: nn.Module, condition: Condition | None, n: int) -> Tensor:
    """(n, E): that of each sample's class, or the mean over classes where none is told."""
    if condition is None or condition.label is None:
        weight: Tensor = embedding.weight  # type: ignore[assignment]
        return weight.mean(dim=0).expand(n, -1)
    found: Tensor = embedding(condition.label)
    return found


class Discriminator(base.Discriminator):
    """Residual blocks down to 4 px or an odd size, the sum over space, and a projected label.

    The logit is w h + e(y) h (Miyato and Koyama, eq. 3), e without a label the mean over classes.

    Raises:
        ValueError: an attention that this resolution cannot have.
    """

    augments = False  # its fakes repaint reals as they are

    def __init__(
        self,
        resolution: int = 256,
        channels: int = 3,  # of the image
        num_classes: int = 10,
        width: int = 64,  # channels of the finest map, doubled at each coarser one
        max_width: int = 1024,  # cap on that doubling
        attention_size: int | None = None,  # None = the largest map up to 32 px
    ) -> None:
        super().__init__()
        sizes = halvings(resolution)[1:] or [resolution]
        widths = [min(width * 2**i, max_width) for i in range(len(sizes))]
        blocks = [ResidualDown(channels, widths[0], activated=False, halve=sizes[0] < resolution)]
        blocks += [ResidualDown(fine, coarse) for fine, coarse in pairwise(widths)]
        self.blocks = nn.ModuleList([*blocks, ResidualDown(widths[-1], widths[-1], halve=False)])
        self.attention_after = attending(sizes, attention_size, "discriminator")
        self.attention = SelfAttention(widths[self.attention_after])
        self.to_logit = spectral_norm(nn.Linear(widths[-1], 1))
        self.embedding = spectral_norm(nn.Embedding(num_classes, widths[-1]))

    def forward(self, images: Images, condition: Condition | None = None) -> Tensor:
        """Score images, (N, C, H, W) -> (N,)."""
        x: Any = images
        for position, block in enumerate(self.blocks):
            x = block(x)
            if position == self.attention_after:
                x = self.attention(x)
        features = F.relu(x).sum(dim=(2, 3))  # (N, width)
        projected = class_embedding(self.embedding, condition, len(features)) * features
        logits: Tensor = self.to_logit(features)[:, 0] + projected.sum(dim=1)
        return logits
