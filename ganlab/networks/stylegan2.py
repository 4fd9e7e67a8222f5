"""StyleGAN2: styles act by scaling the weights of convolutions, not their normalized outputs.

Karras et al.: "Analyzing and Improving the Image Quality of StyleGAN" (arXiv:1912.04958), sections
2 and 4, figure 7 (skip generator, residual discriminator), appendix B. Conditioning by label as in
"Training Generative Adversarial Networks with Limited Data" (arXiv:2006.06676). Width 32 at 1024 px
is config F, 16 is config E.
"""

from collections.abc import Sequence
from math import sqrt
from typing import cast

import torch
from torch import Tensor, nn

from ganlab.networks import base
from ganlab.networks.base import Condition, Images, one_hot_labels
from ganlab.nn.equalized import EqualizedConv2d, EqualizedLinear
from ganlab.nn.mapping import JointMapping
from ganlab.nn.minibatch import MinibatchStd
from ganlab.nn.modulation import (
    Noise,
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


class Block(nn.Module):
    """All layers of a resolution; its image is added to the enlarged one so far (figure 7b)."""

    kernel: Tensor

    def __init__(self, convs: list[StyledConv], to_image: ToImage, taps: Sequence[float]) -> None:
        super().__init__()
        self.convs, self.to_image = nn.ModuleList(convs), to_image
        self.register_buffer("kernel", fir_kernel(taps), persistent=False)

    def forward(
        self, x: Tensor, image: Tensor | None, styles: Sequence[Tensor], noise: Noise
    ) -> tuple[Tensor, Tensor]:
        """Maps and image of half the size, convs + 1 styles, (N, W) each -> maps and image."""
        for conv, style in zip(self.convs, styles[:-1], strict=True):
            x = conv(x, style, noise)
        own = self.to_image(x, styles[-1])
        return x, own if image is None else upsample2x(image, self.kernel) + own


class Generator(base.StyleGenerator):
    """A constant, convolved under styles; images are sums over resolutions, without a tanh.

    `layers` are the activations: `4x4/0`, then `8x8/0` (which doubles the size), `8x8/1` and so on.
    Style n belongs to layer n; the image of a resolution takes the next one, which it shares with
    the first layer of the next resolution.

    Raises:
        ValueError: a resolution that is no power of two from 8 on, a width below 1, or a clamp or a
            mapping network that cannot be; names the key.
    """

    mean_style: Tensor  # (W,), running mean of the styles in training
    mean_path_length: Tensor  # (), kept by the path length penalty

    def __init__(
        self,
        resolution: int = 1024,  # power of two, at least 8
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
    ) -> None:
        super().__init__()
        widths = map_widths("generator", resolution, width, max_width)
        self.resolution, self.channels, self.latent_dim = resolution, channels, latent_dim
        self.style_sizes = [size for size in widths for _ in (0, 1)]  # px of maps a style scales
        sizes = {"latent_dim": latent_dim, "style_dim": style_dim, "mapping_layers": mapping_layers}
        check_mapping("generator", mapping_lr_multiplier, **sizes)
        check_clamp("generator", clamp)
        self.num_labels = num_labels
        self.mapping = JointMapping(
            latent_dim, style_dim, mapping_layers, num_labels, mapping_lr_multiplier
        )
        self.const = nn.Parameter(torch.randn(widths[4], 4, 4))
        self.blocks = nn.ModuleDict()
        incoming = widths[4]
        for size, outgoing in widths.items():
            ends = [(outgoing, False)] if size == 4 else [(incoming, True), (outgoing, False)]
            convs = [StyledConv(i, outgoing, style_dim, size, up, taps, clamp) for i, up in ends]
            to_image = ToImage(outgoing, channels, style_dim, clamp)
            self.blocks[f"{size}x{size}"] = Block(convs, to_image, taps)
            incoming = outgoing
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
        styled: dict[str, StyledConv | ToImage] = {**self.styled_convs(), **images}
        return {name: module.affine for name, module in styled.items()}

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
        return self.mapping(latents, labels)[:, None].expand(-1, self.num_styles, -1)

    def synthesize(self, styles: Tensor, noise: str = "random") -> Tensor:
        """Styles to images, (N, L, W) -> (N, C, H, W); `noise` is random, const or none."""
        source = noise_source(noise, self.draw_noise)
        x, first = self.const.expand(len(styles), -1, -1, -1), 0
        rows = layer_rows(styles)
        image: Tensor | None = None
        for block in self.by_size().values():
            last = first + len(block.convs)
            x, image = block(x, image, rows[first : last + 1], source)
            first = last  # the image's style is the next block's first
        return cast(Tensor, image)

    def forward(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        """Map latents to images, (N, Z) -> (N, C, H, W); evaluation takes the constant noise."""
        noise = "random" if self.training else "const"
        return self.synthesize(self.map(latents, condition), noise)


class ResidualBlock(nn.Module):
    """Two convolutions to half the size beside a linear skip (figure 7c, "residual nets")."""

    kernel: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, taps: Sequence[float], clamp: float | None
    ) -> None:
        super().__init__()
        half = sqrt(0.5)  # the sum of both paths has the variance of one
        self.conv0 = EqualizedConv2d(in_channels, in_channels, 3, padding=1, gain=1.0)
        self.conv1 = EqualizedConv2d(in_channels, out_channels, 3, stride=2, gain=1.0)
        self.skip = EqualizedConv2d(in_channels, out_channels, 1, bias=False, gain=half)
        self.activation0 = ScaledLeakyReLU(clamp=clamp)
        limit = None if clamp is None else clamp * half
        self.activation1 = ScaledLeakyReLU(gain=sqrt(2) * half, clamp=limit)
        self.register_buffer("kernel", fir_kernel(taps), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H / 2, W / 2)."""
        skip = self.skip(downsample2x(x, self.kernel))
        taps = self.kernel.shape[-1]
        x = self.activation0(self.conv0(x))
        x = upfirdn(x, self.kernel, padding=((taps + 1) // 2, taps // 2))  # (N, in, H + 1, W + 1)
        return skip + self.activation1(self.conv1(x))


class Discriminator(base.Discriminator):
    """Residual blocks down to 4x4, the batch's standard deviation, two dense layers.

    With labels the logit is the product of the last features with a mapped label (projection).

    Raises:
        ValueError: a resolution that is no power of two from 8 on, a width below 1, or a clamp or a
            mapping network that cannot be; names the key.
    """

    def __init__(
        self,
        resolution: int = 1024,  # power of two, at least 8
        channels: int = 3,  # of the image
        width: int = 32,  # channels of the finest maps, doubled at each coarser size
        max_width: int = 512,  # cap on that doubling
        group_size: int = 4,  # of the minibatch standard deviation; 0 = without it
        num_labels: int = 0,  # classes of a conditional discriminator; 0 = unconditional
        mapping_layers: int = 8,  # of the labels
        mapping_lr_multiplier: float = 0.01,  # relative speed of learning of the mapping
        taps: Sequence[float] = TAPS,  # of the FIR filter of down-sampling
        clamp: float | None = None,  # limit of activations; 256 for networks trained in float16
    ) -> None:
        super().__init__()
        widths = map_widths("discriminator", resolution, width, max_width)
        if num_labels:
            check_mapping("discriminator", mapping_lr_multiplier, mapping_layers=mapping_layers)
        check_clamp("discriminator", clamp)
        last, self.num_labels = widths[4], num_labels
        self.from_image = EqualizedConv2d(channels, widths[resolution], 1, gain=1.0)
        self.activation = ScaledLeakyReLU(clamp=clamp)
        self.blocks = nn.ModuleDict(
            {
                f"{size}x{size}": ResidualBlock(widths[size], widths[size // 2], taps, clamp)
                for size in sorted(widths, reverse=True)[:-1]
            }
        )
        self.minibatch_std = MinibatchStd(group_size) if group_size else nn.Identity()
        self.conv = EqualizedConv2d(last + bool(group_size), last, 3, padding=1, gain=1.0)
        self.dense = EqualizedLinear(last * 4 * 4, last, gain=1.0)
        self.dense_activation = ScaledLeakyReLU()
        self.to_logit = EqualizedLinear(last, last if num_labels else 1, gain=1.0)
        self.label_mapping = (
            JointMapping(0, last, mapping_layers, num_labels, mapping_lr_multiplier)
            if num_labels
            else None
        )

    def forward(self, images: Images, condition: Condition | None = None) -> Tensor:
        """Score images, (N, C, H, W) -> (N,) logits."""
        x = self.activation(self.from_image(images))
        for block in self.blocks.values():
            x = block(x)
        x = self.activation(self.conv(self.minibatch_std(x)))  # (N, last, 4, 4)
        x = self.to_logit(self.dense_activation(self.dense(x.flatten(1))))
        if self.label_mapping is None:
            return x.squeeze(1)  # (N, 1) -> (N,)
        label = self.label_mapping(None, one_hot_labels(condition, self.num_labels))  # (N, last)
        return (x * label).sum(dim=1) / sqrt(x.shape[1])  # (N, last) -> (N,)
