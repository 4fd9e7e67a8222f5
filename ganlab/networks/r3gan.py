"""R3GAN: residual blocks of grouped convolutions; no styles, no noise, no normalization.

Huang, Gokaslan, Kuleshov, Tompkin: "The GAN is dead; long live the GAN! A Modern GAN Baseline"
(arXiv:2501.05441), section 3, figure 2c and appendix D. Both networks have a transition and
`blocks` residual blocks at each size; D is G mirrored. The steps to them from StyleGAN2 (configs B
to E of table 2) are options: `plain` is StyleGAN2 without its styles, noise, equalized learning
rates and statistics of the batch, with `skips`; then the widths of a bottleneck and of its groups.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganlab.networks import base
from ganlab.networks.base import Condition, Images, one_hot_labels
from ganlab.nn.frames import Frame, Resolution
from ganlab.nn.precision import in_single
from ganlab.nn.progressive import map_widths
from ganlab.nn.resample import downsample2x, fir_kernel, upsample2x

TAPS = (1.0, 3.0, 3.0, 1.0)  # bilinear interpolation at twice the size
SLOPE = 0.2
GAIN = sqrt(2 / (1 + SLOPE**2))  # He et al. 2015: keeps the variance before a leaky ReLU


class Activation(nn.Module):
    """A bias for each channel, and leaky ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W), the same size."""
        return F.leaky_relu(x + self.bias[:, None, None], SLOPE)


def convolution(
    incoming: int, outgoing: int, kernel: int = 1, groups: int = 1, gain: float = 1.0
) -> nn.Conv2d:
    """A convolution of the same size without bias, its weights from N(0, gain^2 / fan-in)."""
    made = nn.Conv2d(incoming, outgoing, kernel, 1, kernel // 2, groups=groups, bias=False)
    nn.init.normal_(made.weight, 0.0, gain / sqrt(incoming // groups * kernel**2))
    return made


def linear(incoming: int, outgoing: int, gain: float = 1.0) -> nn.Linear:
    """A linear layer without bias, its weights from N(0, gain^2 / fan-in)."""
    made = nn.Linear(incoming, outgoing, bias=False)
    nn.init.normal_(made.weight, 0.0, gain / sqrt(incoming))
    return made


class ResidualBlock(nn.Module):
    """1x1 to the bottleneck, grouped 3x3, 1x1 back, beside an identity that nothing scales.

    Fix-up initialization (Zhang et al., arXiv:1901.09321): the last convolution starts at 0, the
    two before it are L^-0.25 as large, with L residual blocks in the network.
    """

    def __init__(
        self,
        channels: int,
        bottleneck: int,  # channels of the 3x3 convolution
        group_width: int | None,  # of which so many are convolved together; None = all
        depth: int,  # L
    ) -> None:
        super().__init__()
        groups = 1 if group_width is None else max(1, bottleneck // group_width)
        gain = GAIN * depth**-0.25
        self.conv0 = convolution(channels, bottleneck, gain=gain)
        self.activation0 = Activation(bottleneck)
        self.conv1 = convolution(bottleneck, bottleneck, 3, groups, gain)
        self.activation1 = Activation(bottleneck)
        self.conv2 = convolution(bottleneck, channels, gain=0.0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W), the same size."""
        y = self.activation0(self.conv0(x))
        y = self.activation1(self.conv1(y))
        added: Tensor = x + self.conv2(y)
        return added


class PlainBlock(nn.Module):
    """3x3 convolutions, each with its activation: what StyleGAN2's generator is without styles."""

    def __init__(self, incoming: int, outgoing: int, num: int) -> None:
        super().__init__()
        self.convs, self.activations = nn.ModuleList(), nn.ModuleList()
        for channels in [incoming, *[outgoing] * (num - 1)]:
            self.convs.append(convolution(channels, outgoing, 3, gain=GAIN))
            self.activations.append(Activation(outgoing))

    def forward(self, x: Tensor) -> Tensor:
        """(N, incoming, H, W) -> (N, outgoing, H, W)."""
        for conv, activation in zip(self.convs, self.activations, strict=True):
            x = activation(conv(x))
        return x


class PlainDown(nn.Module):
    """Two 3x3 convolutions to half the size beside a linear skip: StyleGAN2's residual block."""

    kernel: Tensor

    def __init__(self, incoming: int, outgoing: int) -> None:
        super().__init__()
        self.first = PlainBlock(incoming, incoming, 1)
        self.conv = convolution(incoming, outgoing, 3, gain=GAIN)
        self.activation = Activation(outgoing)
        self.skip = Resampling(incoming, outgoing, False, always=True)
        self.register_buffer("kernel", fir_kernel(TAPS), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, incoming, H, W) -> (N, outgoing, H / 2, W / 2)."""
        y = self.activation(downsample2x(self.conv(self.first(x)), self.kernel))
        maps: Tensor = (self.skip(x) + y) * sqrt(0.5)
        return maps


class Basis(nn.Module):
    """Learned maps of the first size, each as strong as a linear map of the latent says."""

    def __init__(self, latent_dim: int, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.maps = nn.Parameter(torch.randn(channels, *size))
        self.strength = linear(latent_dim, channels)

    def forward(self, latents: Tensor) -> Tensor:
        """(N, Z) -> (N, channels, H, W)."""
        scaled: Tensor = self.maps * self.strength(latents)[:, :, None, None]
        return scaled


class Classifier(nn.Module):
    """The basis mirrored: one weight for each pixel of a channel, then a linear map of channels."""

    def __init__(self, channels: int, outputs: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.maps = nn.Conv2d(channels, channels, size, groups=channels, bias=False)
        nn.init.normal_(self.maps.weight, 0.0, 1 / sqrt(size[0] * size[1]))
        self.to_logit = linear(channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, outputs)."""
        outputs: Tensor = self.to_logit(self.maps(x).flatten(1))
        return outputs


class Resampling(nn.Module):
    """Bilinear resampling by two, and a 1x1 convolution of the smaller maps if channels change."""

    kernel: Tensor

    def __init__(self, incoming: int, outgoing: int, up: bool, always: bool = False) -> None:
        super().__init__()
        convolves = always or incoming != outgoing
        self.up, self.conv = up, convolution(incoming, outgoing) if convolves else nn.Identity()
        self.register_buffer("kernel", fir_kernel(TAPS), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, incoming, H, W) -> (N, outgoing, 2 H, 2 W), or half the size."""
        if self.up:
            return upsample2x(self.conv(x), self.kernel)
        maps: Tensor = self.conv(downsample2x(x, self.kernel))
        return maps


@dataclass(frozen=True)
class Residual:
    """The layers of each size of a network, of residual blocks."""

    network: str  # "generator" or "discriminator", for messages
    sizes: int  # how many there are
    blocks: int  # a size
    expansion: float
    group_width: int | None

    def on(self, channels: int) -> list[nn.Module]:
        """The blocks on maps of so many channels.

        Raises:
            ValueError: numbers that cannot be, or a bottleneck that is no whole groups; names the
                keys of `network`.
        """
        key, width = f"model.{self.network}", self.group_width
        if self.blocks < 1 or not self.expansion > 0 or (width is not None and width < 1):
            raise ValueError(f"{key}.blocks, expansion and group_width must be above 0")
        wide = max(1, round(channels * self.expansion))
        if width is not None and wide > width and wide % width:
            raise ValueError(
                f"{key}.group_width={width} does not divide a bottleneck of {wide} channels "
                f"({key}.expansion={self.expansion:g} times {channels})"
            )
        depth = self.blocks * self.sizes
        return [ResidualBlock(channels, wide, width, depth) for _ in range(self.blocks)]

    def first(self, channels: int) -> list[nn.Module]:
        """At the first size of a generator, after the basis."""
        return self.on(channels)

    def up(self, incoming: int, outgoing: int) -> list[nn.Module]:
        """From maps of half the size."""
        return [Resampling(incoming, outgoing, True), *self.on(outgoing)]

    def reader(self, channels: int, outgoing: int) -> list[nn.Module]:
        """Of the image."""
        return [convolution(channels, outgoing)]

    def down(self, incoming: int, outgoing: int) -> list[nn.Module]:
        """To maps of half the size."""
        return [*self.on(incoming), Resampling(incoming, outgoing, False)]

    def last(self, channels: int, outputs: int, size: tuple[int, int]) -> list[nn.Module]:
        """At the last size of a discriminator, (N, channels, H, W) -> (N, outputs)."""
        return [*self.on(channels), Classifier(channels, outputs, size)]


class Plain:
    """The same of 3x3 convolutions, as StyleGAN2 has them."""

    def first(self, channels: int) -> list[nn.Module]:
        """One convolution."""
        return [PlainBlock(channels, channels, 1)]

    def up(self, incoming: int, outgoing: int) -> list[nn.Module]:
        """Two convolutions of the enlarged maps."""
        return [Resampling(incoming, incoming, True), PlainBlock(incoming, outgoing, 2)]

    def reader(self, channels: int, outgoing: int) -> list[nn.Module]:
        """A 1x1 convolution with an activation."""
        return [convolution(channels, outgoing, gain=GAIN), Activation(outgoing)]

    def down(self, incoming: int, outgoing: int) -> list[nn.Module]:
        """A block with a skip."""
        return [PlainDown(incoming, outgoing)]

    def last(self, channels: int, outputs: int, size: tuple[int, int]) -> list[nn.Module]:
        """A convolution and two dense layers."""
        dense = nn.Conv2d(channels, channels, size, bias=False)
        nn.init.normal_(dense.weight, 0.0, GAIN / sqrt(channels * size[0] * size[1]))
        after = [dense, Activation(channels), nn.Flatten(), linear(channels, outputs)]
        return [*self.first(channels), *after]


class Generator(base.Generator):
    """A basis, then resampling and residual blocks up to the image, without a tanh.

    `layers` are the activations: two a block, `4x4/0` to `4x4/3`, `8x8/0` and so on.

    Raises:
        ValueError: a resolution that is no power of two from 4 on, or widths, a bottleneck or
            groups that cannot be; names the key.
    """

    kernel: Tensor

    def __init__(
        self,
        resolution: Resolution = 256,  # power of two, at least 4; or height and width
        channels: int = 3,  # of the image
        latent_dim: int = 64,  # numbers in a latent, and in a label's embedding
        width: int = 96,  # channels of the finest maps, doubled at each coarser size
        max_width: int = 768,  # cap on that doubling
        widths: Mapping[int, int] | None = None,  # size -> channels, instead of the two widths
        blocks: int = 2,  # residual blocks a size
        expansion: float = 2.0,  # channels of a block's bottleneck, as a multiple of the maps'
        group_width: int | None = 16,  # channels of a group of its convolution; None = all
        plain: bool = False,  # two 3x3 convolutions a size instead of residual blocks, one at 4x4
        skips: bool = False,  # an image of each size, the sum of which is the image
        num_labels: int = 0,  # classes of a conditional generator; 0 = unconditional
    ) -> None:
        super().__init__()
        self.frame = frame = Frame.of("generator", resolution)
        widths = map_widths("generator", frame.size, width, max_width, widths, smallest=4)
        options = (len(widths), blocks, expansion, group_width)
        layers = Plain() if plain else Residual("generator", *options)
        self.resolution, self.channels, self.latent_dim = frame.size, channels, latent_dim
        self.num_labels = num_labels
        self.embedding = linear(num_labels, latent_dim) if num_labels else None
        self.stages, self.to_images = nn.ModuleDict(), nn.ModuleDict()
        basis = Basis(latent_dim * (2 if num_labels else 1), widths[4], frame.first)
        for size, outgoing in widths.items():
            stage = (
                [basis, *layers.first(outgoing)]
                if size == 4
                else layers.up(widths[size // 2], outgoing)
            )
            self.stages[frame.name(size)] = nn.Sequential(*stage)
            if skips or size == frame.size:
                self.to_images[frame.name(size)] = convolution(outgoing, channels)
        self.register_buffer("kernel", fir_kernel(TAPS), persistent=False)

    @property
    def layers(self) -> dict[str, nn.Module]:
        """`<size>x<size>/<position>` -> activation, coarse to fine."""
        return {
            f"{size}/{i}": each
            for size, stage in self.stages.items()
            for i, each in enumerate(m for m in stage.modules() if isinstance(m, Activation))
        }

    def forward(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        """Map latents to images, (N, Z) -> (N, C, H, W); of a condition the label is used."""
        labels = one_hot_labels(condition, self.num_labels)
        x = latents
        if labels is not None and self.embedding is not None:
            x = torch.cat([latents, self.embedding(labels)], dim=1)
        image: Tensor | None = None
        for name, stage in self.stages.items():
            x = stage(x)  # (N, width, size, size)
            image = None if image is None else upsample2x(image, self.kernel)
            if name in self.to_images:
                own = in_single(self.to_images[name], x)
                image = own if image is None else image + own
        return cast(Tensor, image)


class Discriminator(base.Discriminator):
    """The generator mirrored: residual blocks and resampling down to 4x4, then a classifier.

    With labels the logit is the product of the last features with a label's embedding.

    Raises:
        ValueError: as the generator.
    """

    def __init__(
        self,
        resolution: Resolution = 256,  # power of two, at least 4; or height and width
        channels: int = 3,  # of the image
        width: int = 96,  # channels of the finest maps, doubled at each coarser size
        max_width: int = 768,  # cap on that doubling
        widths: Mapping[int, int] | None = None,  # size -> channels, instead of the two widths
        blocks: int = 2,  # residual blocks a size
        expansion: float = 2.0,  # channels of a block's bottleneck, as a multiple of the maps'
        group_width: int | None = 16,  # channels of a group of its convolution; None = all
        plain: bool = False,  # one block of two 3x3 convolutions a size, and two dense layers
        num_labels: int = 0,  # classes, one of which it must be told; 0 = unconditional
    ) -> None:
        super().__init__()
        frame = Frame.of("discriminator", resolution)
        widths = map_widths("discriminator", frame.size, width, max_width, widths, smallest=4)
        options = (len(widths), blocks, expansion, group_width)
        layers = Plain() if plain else Residual("discriminator", *options)
        self.num_labels, outputs = num_labels, widths[4] if num_labels else 1
        gain = 1 / sqrt(outputs)
        self.embedding = linear(num_labels, outputs, gain) if num_labels else None
        self.from_image = nn.Sequential(*layers.reader(channels, widths[frame.size]))
        self.stages = nn.ModuleDict()
        for size, incoming in reversed(widths.items()):
            stage = (
                layers.last(incoming, outputs, frame.first)
                if size == 4
                else layers.down(incoming, widths[size // 2])
            )
            self.stages[frame.name(size)] = nn.Sequential(*stage)

    @property
    def finest_first(self) -> list[tuple[nn.Module, ...]]:
        """The stages above 4x4, the first with the layer that reads the image."""
        above = list(self.stages.values())[:-1]
        return [(stage, *([] if at else [self.from_image])) for at, stage in enumerate(above)]

    def forward(self, images: Images, condition: Condition | None = None) -> Tensor:
        """Score images, (N, C, H, W) -> (N,) logits."""
        x: Tensor = self.from_image(images)
        for stage in self.stages.values():
            x = stage(x)  # (N, width, size, size), at last (N, outputs)
        labels = one_hot_labels(condition, self.num_labels)
        if labels is None or self.embedding is None:
            return x[:, 0]
        embedded: Tensor = self.embedding(labels)
        return (x * embedded).sum(dim=1)
