"""StyleGAN2: styles act by scaling the weights of convolutions, not their normalized outputs.

Karras et al.: "Analyzing and Improving the Image Quality of StyleGAN" (arXiv:1912.04958), sections
2 and 4, figure 7 (skip generator, residual discriminator), appendix B. Conditioning by label as in
"Training Generative Adversarial Networks with Limited Data" (arXiv:2006.06676). Width 32 at 1024 px
is config F, 16 is config E.
"""

import sys
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from math import prod, sqrt
from typing import Any, cast

import torch
from torch import Tensor, nn

from ganlab.networks import base
from ganlab.networks.base import Condition, Images, one_hot_labels
from ganlab.nn.blockwise import Blockwise
from ganlab.nn.equalized import EqualizedConv2d, EqualizedLinear
from ganlab.nn.frames import Frame, Resolution
from ganlab.nn.mapping import JointMapping
from ganlab.nn.minibatch import MinibatchStd
from ganlab.nn.modulation import (
    Noises,
    ScaledLeakyReLU,
    StyledConv,
    ToImage,
    check_clamp,
    noise_source,
)
from ganlab.nn.progressive import map_widths
from ganlab.nn.resample import downsample2x, fir_kernel, upfirdn, upsample2x
from ganlab.nn.style import check_mapping, layer_rows

TAPS = (1.0, 3.0, 3.0, 1.0)
ARCHITECTURES = ("orig", "skip", "resnet")
LABEL_NORMS = ("apart", "together")
HALF = sqrt(0.5)  # gain of each of two paths whose sum has the variance of one
ALL = sys.maxsize  # samples of a group that is the whole batch


class Block(nn.Module):
    """All layers of a resolution; its image is added to the enlarged one so far (figure 7b).

    Without an image it hands on its maps (7a), with a skip beside the convolutions as in 7c.
    """

    kernel: Tensor

    def __init__(
        self,
        in_channels: int | None,  # of maps of half the size; None = the constant's own block
        out_channels: int,
        size: tuple[int, int],  # H, W of the maps
        image_channels: int | None,  # None = no image
        residual: bool,  # whether a skip enlarges the maps before and adds them to those after
        style_dim: int,
        taps: Sequence[float],
        clamp: float | None,
        noise: bool,  # whether layers take any
    ) -> None:
        super().__init__()
        given: Any = {"style_dim": style_dim, "size": size, "taps": taps, "noise": noise}
        gain = HALF if residual and in_channels is not None else 1.0
        self.convs = nn.ModuleList()
        self.skip: EqualizedConv2d | None = None
        if in_channels is not None:
            up = StyledConv(in_channels, out_channels, up=True, clamp=clamp, **given)
            self.convs.append(up)
        last = StyledConv(out_channels, out_channels, up=False, clamp=clamp, gain=gain, **given)
        self.convs.append(last)
        self.to_image = (
            ToImage(out_channels, image_channels, style_dim, clamp) if image_channels else None
        )
        if residual and in_channels is not None:
            self.skip = EqualizedConv2d(in_channels, out_channels, 1, bias=False, gain=HALF)
        self.register_buffer("kernel", fir_kernel(taps), persistent=False)

    def forward(
        self, x: Tensor, image: Tensor | None, styles: Sequence[Tensor], noises: Noises
    ) -> tuple[Tensor, Tensor | None]:
        """Maps and image of half the size, convs + 1 styles, convs noises -> maps and image."""
        skip = None if self.skip is None else upsample2x(self.skip(x), self.kernel)
        for conv, style, noise in zip(self.convs, styles[:-1], noises, strict=True):
            x = conv(x, style, noise)
        x = x if skip is None else skip + x
        if self.to_image is None:
            return x, image
        own = self.to_image(x, styles[-1])
        return x, own if image is None else upsample2x(image, self.kernel) + own


class Generator(Blockwise, base.StyleGenerator):
    """A constant, convolved under styles; images are sums over resolutions, without a tanh.

    `layers` are the activations: `4x4/0`, then `8x8/0` (which doubles the size), `8x8/1` and so on.
    Style n belongs to layer n; the image of a resolution takes the next one, which it shares with
    the first layer of the next resolution.

    Raises:
        ValueError: a resolution that is no power of two from 4 on, a width below 1, an unknown
            architecture, or a clamp or a mapping network that cannot be; names the key.
    """

    mean_style: Tensor  # (W,), running mean of the styles in training
    mean_path_length: Tensor  # (), kept by the path length penalty

    def __init__(
        self,
        resolution: Resolution = 1024,  # power of two, at least 4; or height and width
        channels: int = 3,  # of the image
        latent_dim: int = 512,  # numbers in a latent
        style_dim: int = 512,  # numbers in a style
        width: int = 32,  # channels of the finest maps, doubled at each coarser size
        max_width: int = 512,  # cap on that doubling
        mapping_layers: int = 8,
        mapping_lr_multiplier: float = 0.01,  # relative speed of learning of the mapping
        num_labels: int = 0,  # classes of a conditional generator; 0 = unconditional
        taps: Sequence[float] = TAPS,  # of the FIR filter of up-sampling
        clamp: float | None = None,  # limit of activations; 256 for networks trained in float16
        architecture: str = "skip",  # figure 7: orig (a), skip (b) or resnet (c)
        widths: Mapping[int, int] | None = None,  # size -> channels, instead of the two widths
        embed_dim: int | None = None,  # width of a label's embedding; None = style_dim
        hidden_dim: int | None = None,  # width between layers of the mapping; None = style_dim
        label_norm: str = "apart",  # latent and embedding are normalized "apart" or "together"
        noise: bool = True,  # whether layers take any
        recompute_blocks: bool = False,  # instead of keeping maps within blocks: less memory
    ) -> None:
        super().__init__()
        check_choice("generator", architecture=(architecture, ARCHITECTURES))
        check_choice("generator", label_norm=(label_norm, LABEL_NORMS))
        self.frame = frame = Frame.of("generator", resolution)
        widths = map_widths("generator", frame.size, width, max_width, widths, smallest=4)
        self.resolution, self.channels, self.latent_dim = frame.size, channels, latent_dim
        self.num_labels, self.recompute_blocks = num_labels, recompute_blocks
        self.style_sizes = [size for size in widths for _ in (0, 1)]  # px of maps a style scales
        sizes = {"latent_dim": latent_dim, "style_dim": style_dim, "mapping_layers": mapping_layers}
        check_mapping("generator", mapping_lr_multiplier, **sizes)
        check_clamp("generator", clamp)
        self.mapping = JointMapping(
            latent_dim,
            style_dim,
            mapping_layers,
            num_labels,
            mapping_lr_multiplier,
            embed_dim,
            hidden_dim,
            label_norm,
        )
        self.const = nn.Parameter(torch.randn(widths[4], *frame.first))
        self.blocks = nn.ModuleDict()
        common = (architecture == "resnet", style_dim, taps, clamp, noise)
        for size, outgoing in widths.items():
            painted = channels if architecture == "skip" or size == frame.size else None
            block = Block(widths.get(size // 2), outgoing, frame.at(size), painted, *common)
            self.blocks[frame.name(size)] = block
        self.register_buffer("mean_style", torch.zeros(style_dim))
        self.register_buffer("mean_path_length", torch.zeros(()))

    @property
    def layers(self) -> dict[str, nn.Module]:
        """`<size>x<size>/<position>` -> activation, coarse to fine."""
        return {name: conv.activation for name, conv in self.styled_convs().items()}

    @property
    def affines(self) -> dict[str, nn.Module]:
        """What turns a style into scales of inputs: by layer, and `4x4/image` of an image."""
        images = {f"{size}/image": block.to_image for size, block in self.by_size().items()}
        styled: dict[str, StyledConv | ToImage | None] = {**self.styled_convs(), **images}
        return {name: module.affine for name, module in styled.items() if module is not None}

    def by_size(self) -> dict[str, Block]:
        """`<size>x<size>` -> block, coarse to fine."""
        return cast(dict[str, Block], dict(self.blocks.items()))

    def styled_convs(self) -> dict[str, StyledConv]:
        """Every layer by its name, coarse to fine."""
        return {
            f"{size}/{i}": cast(StyledConv, conv)
            for size, block in self.by_size().items()
            for i, conv in enumerate(block.convs)
        }

    def map(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        """The style of every layer, all alike: (N, Z) -> (N, L, W)."""
        labels = one_hot_labels(condition, self.num_labels)
        style: Tensor = self.mapping(latents, labels)
        return style[:, None].expand(-1, self.num_styles, -1)

    def synthesize(self, styles: Tensor, noise: str = "random") -> Tensor:
        """Styles to images, (N, L, W) -> (N, C, H, W); `noise` is random, const or none."""
        source = noise_source(noise, self.draw_noise)
        x, first = self.const.expand(styles.shape[0], -1, -1, -1), 0
        rows = layer_rows(styles)
        image: Tensor | None = None
        for block in self.by_size().values():
            last = first + len(block.convs)
            noises = [cast(StyledConv, conv).drawn(source, styles.shape[0]) for conv in block.convs]
            x, image = self.through(block, x, image, rows[first : last + 1], noises)
            first = last  # the image's style is the next block's first
        return cast(Tensor, image)

    def forward(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        """Map latents to images, (N, Z) -> (N, C, H, W); evaluation takes the constant noise."""
        noise = "random" if self.training else "const"
        return self.synthesize(self.map(latents, condition), noise)


class PlainBlock(nn.Module):
    """Two convolutions to half the size (figure 7, "VGG")."""

    kernel: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        taps: Sequence[float],
        clamp: float | None,
        gain: float = 1.0,  # of the output, and of its limit
    ) -> None:
        super().__init__()
        self.conv0 = EqualizedConv2d(in_channels, in_channels, 3, padding=1, gain=1.0)
        self.conv1 = EqualizedConv2d(in_channels, out_channels, 3, stride=2, gain=1.0)
        self.activation0 = ScaledLeakyReLU(clamp=clamp)
        limit = None if clamp is None else clamp * gain
        self.activation1 = ScaledLeakyReLU(gain=sqrt(2) * gain, clamp=limit)
        self.register_buffer("kernel", fir_kernel(taps), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H / 2, W / 2)."""
        taps = self.kernel.shape[-1]
        x = self.activation0(self.conv0(x))
        x = upfirdn(x, self.kernel, padding=((taps + 1) // 2, taps // 2))  # (N, in, H + 1, W + 1)
        halved: Tensor = self.activation1(self.conv1(x))
        return halved


class ResidualBlock(PlainBlock):
    """The same beside a linear skip (figure 7c, "residual nets")."""

    def __init__(
        self, in_channels: int, out_channels: int, taps: Sequence[float], clamp: float | None
    ) -> None:
        super().__init__(in_channels, out_channels, taps, clamp, HALF)
        self.skip = EqualizedConv2d(in_channels, out_channels, 1, bias=False, gain=HALF)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H / 2, W / 2)."""
        skipped: Tensor = self.skip(downsample2x(x, self.kernel))
        return skipped + super().forward(x)


class Discriminator(Blockwise, base.Discriminator):
    """Blocks down to 4x4, the batch's standard deviation, two dense layers (figure 7).

    With labels the logit is the product of the last features with a mapped label (projection), or
    of one logit a class with the label itself.

    Raises:
        ValueError: a resolution that is no power of two from 4 on, a width below 1, an unknown
            architecture, or a clamp or a mapping network that cannot be; names the key.
    """

    kernel: Tensor

    def __init__(
        self,
        resolution: Resolution = 1024,  # power of two, at least 4; or height and width
        channels: int = 3,  # of the image
        width: int = 32,  # channels of the finest maps, doubled at each coarser size
        max_width: int = 512,  # cap on that doubling
        group_size: int | None = 4,  # of the batch's deviation; 0 = without, None = the whole batch
        num_labels: int = 0,  # classes of a conditional discriminator; 0 = unconditional
        mapping_layers: int = 8,  # of the labels
        mapping_lr_multiplier: float = 0.01,  # relative speed of learning of the mapping
        taps: Sequence[float] = TAPS,  # of the FIR filter of down-sampling
        clamp: float | None = None,  # limit of activations; 256 for networks trained in float16
        architecture: str = "resnet",  # figure 7: orig (a), skip (b) or resnet (c)
        widths: Mapping[int, int] | None = None,  # size -> channels, instead of the two widths
        std_channels: int = 1,  # maps of the batch's deviation
        dense_width: int | None = None,  # of the last features; None = the channels at 4x4
        label_dim: int | None = None,  # width of the projection; None = the channels at 4x4
        embed_dim: int | None = None,  # width of a label's embedding; None = label_dim
        hidden_dim: int | None = None,  # width between layers of the mapping; None = label_dim
        class_logits: bool = False,  # a logit a class instead of the projection
        recompute_blocks: bool = False,  # instead of keeping maps within blocks: less memory
    ) -> None:
        super().__init__()
        check_choice("discriminator", architecture=(architecture, ARCHITECTURES))
        frame = Frame.of("discriminator", resolution)
        widths = map_widths("discriminator", frame.size, width, max_width, widths, smallest=4)
        check_clamp("discriminator", clamp)
        self.smallest, self.recompute_blocks = frame.name(4), recompute_blocks
        last, self.num_labels, descending = widths[4], num_labels, sorted(widths, reverse=True)
        self.from_image = EqualizedConv2d(channels, widths[frame.size], 1, gain=1.0)
        self.activation, self.free_activation = ScaledLeakyReLU(clamp=clamp), ScaledLeakyReLU()
        block = ResidualBlock if architecture == "resnet" else PlainBlock
        self.blocks = nn.ModuleDict(
            {
                frame.name(size): block(widths[size], widths[size // 2], taps, clamp)
                for size in descending[:-1]
            }
        )
        self.from_images = nn.ModuleDict(  # of the image at coarser sizes
            {
                frame.name(size): EqualizedConv2d(channels, widths[size], 1, gain=1.0)
                for size in (descending[1:] if architecture == "skip" else [])
            }
        )
        group_size = ALL if group_size is None else group_size
        extra = std_channels if group_size else 0
        self.minibatch_std = MinibatchStd(group_size, extra) if extra else nn.Identity()
        self.conv = EqualizedConv2d(last + extra, last, 3, padding=1, gain=1.0)
        dense_width = last if dense_width is None else dense_width
        self.dense = EqualizedLinear(last * prod(frame.first), dense_width, gain=1.0)
        self.dense_activation = ScaledLeakyReLU()
        label_dim = last if label_dim is None else label_dim
        outputs = (num_labels if class_logits else label_dim) if num_labels else 1
        self.to_logit = EqualizedLinear(dense_width, outputs, gain=1.0)
        embedded = (embed_dim, hidden_dim)
        learning = (mapping_layers, mapping_lr_multiplier)
        self.label_mapping = (
            label_mapping(num_labels, label_dim, *learning, *embedded)
            if num_labels and not class_logits
            else None
        )
        self.register_buffer("kernel", fir_kernel(taps), persistent=False)

    @property
    def finest_first(self) -> list[tuple[nn.Module, ...]]:
        """The blocks above 4x4, each with the layer that reads the image at its size."""
        readers = [self.from_image, *self.from_images.values()]
        return [(block, *readers[at : at + 1]) for at, block in enumerate(self.blocks.values())]

    def first_maps(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, width, H, W)."""
        maps: Tensor = self.activation(self.from_image(images))
        return maps

    def features(self, images: Tensor) -> Tensor:
        """Maps of 4x4 pixels, before the batch is looked at: (N, C, H, W) -> (N, last, 4, 4)."""
        x = self.through(self.first_maps, images)
        for block, size in zip_longest(self.blocks.values(), self.from_images):
            x = x if block is None else self.through(block, x)
            if size is not None:  # not clamped at 4x4, as the authors' code has it
                images = downsample2x(images, self.kernel)
                activation = self.free_activation if size == self.smallest else self.activation
                x = x + activation(self.from_images[size](images))
        return x

    def forward(self, images: Images, condition: Condition | None = None) -> Tensor:
        """Score images, (N, C, H, W) -> (N,) logits."""
        x = self.features(cast(Tensor, images))
        x = self.activation(self.conv(self.minibatch_std(x)))  # (N, last, 4, 4)
        x = self.dense_activation(self.dense(x.flatten(1)))
        logits: Tensor = self.to_logit(x)
        labels = one_hot_labels(condition, self.num_labels)
        if labels is None:
            return logits.squeeze(1)  # (N, 1) -> (N,)
        if self.label_mapping is None:
            return (logits * labels).sum(dim=1)  # (N, num_labels) -> (N,)
        label: Tensor = self.label_mapping(None, labels)  # (N, label_dim)
        return (logits * label).sum(dim=1) / sqrt(label.shape[1])  # (N, label_dim) -> (N,)


def check_choice(network: str, **options: tuple[str, Sequence[str]]) -> None:
    """A ValueError, which names the key of `network`, of an option that there is not."""
    for name, (value, known) in options.items():
        if value not in known:
            raise ValueError(f"model.{network}.{name} must be one of {', '.join(known)}: {value!r}")


def label_mapping(
    num_labels: int,
    label_dim: int,
    layers: int,
    lr_multiplier: float,
    embed_dim: int | None,
    hidden_dim: int | None,
) -> JointMapping:
    """The mapping of a discriminator's labels.

    Raises:
        ValueError: one that cannot be; names the key of `model.discriminator`.
    """
    check_mapping("discriminator", lr_multiplier, label_dim=label_dim)
    if layers < 0:
        raise ValueError(f"model.discriminator.mapping_layers must be at least 0, got {layers}")
    if layers == 0 and embed_dim not in (None, label_dim):
        raise ValueError(
            f"model.discriminator.mapping_layers=0: embed_dim={embed_dim} must equal "
            f"label_dim={label_dim}"
        )
    return JointMapping(0, label_dim, layers, num_labels, lr_multiplier, embed_dim, hidden_dim)
