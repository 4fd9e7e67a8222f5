"""Multi-scale gradients: every scale of the generator is an image that the discriminator sees.

Karnewar, Wang: "MSG-GAN: Multi-Scale Gradients for Generative Adversarial Networks"
(arXiv:1903.06048), section 2 and figure 2, with what the authors' code fixes. Two things are as in
the ProGAN that the paper builds on, and not as in that code: latents are normalized, so that their
length says nothing, and so is the first layer's output, as every other layer's (`normalize` and
`first_norm` false are the code's own way, for its networks). Nothing grows: all scales train at
once. `Generator` has the layers of ProGAN (Karras et al., arXiv:1710.10196),
`StyleGenerator` those of StyleGAN (Karras et al., arXiv:1812.04948); one discriminator serves both,
for StyleGAN's with `blur=True`. Images run coarse to fine, 4x4 first.
"""

from collections.abc import Mapping as Table
from typing import cast

import torch
from torch import Tensor, nn

from ganlab.networks import base
from ganlab.networks.base import Condition, Images
from ganlab.nn.blocks import Halving, StyleBlock, StyleLayer
from ganlab.nn.blockwise import Blockwise
from ganlab.nn.equalized import EqualizedConv2d
from ganlab.nn.minibatch import MinibatchStd
from ganlab.nn.modulation import noise_source
from ganlab.nn.norm import InstanceNorm, PixelNorm
from ganlab.nn.precision import in_single
from ganlab.nn.progressive import Convolution, map_widths
from ganlab.nn.resample import Blur, downsample_average, upsample_nearest
from ganlab.nn.style import Mapping

COMBINES = ("simple", "lin_cat", "cat_lin", "half")
DEVIATIONS = ("all", "last")


class Generator(Blockwise, base.Generator):
    """ProGAN's layers with a 1x1 convolution to an image after each block.

    `layers` are the LeakyReLUs, `4x4/0`, `4x4/1`, `8x8/0`, ...: read before the pixelwise
    normalization. Images are not squashed.

    Raises:
        ValueError: a resolution that is no power of two from 8, or a width below 1.
    """

    def __init__(
        self,
        resolution: int = 1024,  # of the finest image, a power of two
        channels: int = 3,  # of the images
        latent_dim: int = 512,  # numbers in a latent
        width: int = 16,  # channels of the finest map, doubled at each coarser one
        max_width: int = 512,  # cap on that doubling
        widths: Table[int, int] | None = None,  # size -> channels; None = by width and max_width
        normalize: bool = True,  # latents, to unit root mean square
        first_norm: bool = True,  # after the layer that makes 4x4 of the latent
        recompute_blocks: bool = False,  # instead of keeping maps within blocks: less memory
    ) -> None:
        super().__init__()
        self.recompute_blocks = recompute_blocks
        table = map_widths("generator", resolution, width, max_width, widths)
        self.resolution, self.channels, self.latent_dim = resolution, channels, latent_dim
        self.normalize = PixelNorm() if normalize else nn.Identity()
        self.blocks, self.to_image = nn.ModuleDict(), nn.ModuleList()
        incoming = latent_dim
        for size, wide in table.items():
            # the latent is a 1x1 map, and a padded 4x4 convolution makes 4x4 of it
            kernel, padding = (4, 3) if size == 4 else (3, 1)
            norm = size > 4 or first_norm
            first = Convolution(incoming, wide, kernel, padding, norm=norm)
            block = nn.Sequential(first, Convolution(wide, wide, norm=True))
            self.blocks[f"{size}x{size}"] = block
            self.to_image.append(EqualizedConv2d(wide, channels, 1, gain=1.0))
            incoming = wide

    @property
    def layers(self) -> dict[str, nn.Module]:
        """`<size>x<size>/<0 or 1>` -> the LeakyReLU of that convolution."""
        return {
            f"{size}/{i}": block.get_submodule(f"{i}.activation")
            for size, block in self.blocks.items()
            for i in (0, 1)
        }

    def forward(self, latents: Tensor, condition: Condition | None = None) -> list[Tensor]:
        """Map latents to images of every scale, (N, Z) -> (N, C, 4, 4), ..., (N, C, R, R)."""
        x = self.normalize(latents[:, :, None, None])  # (N, Z, 1, 1)
        images: list[Tensor] = []
        for block, to_image in zip(self.blocks.values(), self.to_image, strict=True):
            x = self.through(self.maps, block, x)  # (N, width, size, size)
            images.append(in_single(to_image, x))  # o_i = r_i(a_i), section 2
        return images

    def maps(self, block: nn.Module, x: Tensor) -> Tensor:
        """Those of a block, of those of the one before or of latents, (N, Z, 1, 1)."""
        maps: Tensor = block(x if x.shape[-1] == 1 else upsample_nearest(x))
        return maps


class StyleGenerator(Blockwise, base.StyleGenerator):
    """StyleGAN's layers with a 1x1 convolution to an image after each block.

    `layers` are the LeakyReLUs, `4x4/0` (of the constant), `4x4/1`, `8x8/0`, ...: read before the
    instance norm. Style n belongs to layer n.

    Raises:
        ValueError: a resolution that is no power of two from 8, or a width below 1.
    """

    mean_style: Tensor  # (W,), running mean of the styles in training

    def __init__(
        self,
        resolution: int = 1024,  # of the finest image, a power of two
        channels: int = 3,  # of the images
        latent_dim: int = 512,  # numbers in a latent
        style_dim: int = 512,  # numbers in a style
        width: int = 16,  # channels of the finest map, doubled at each coarser one
        max_width: int = 512,  # cap on that doubling
        mapping_layers: int = 8,
        mapping_lr_multiplier: float = 0.01,  # relative speed of learning of the mapping
        recompute_blocks: bool = False,  # instead of keeping maps within blocks: less memory
    ) -> None:
        super().__init__()
        self.recompute_blocks = recompute_blocks
        widths = map_widths("generator", resolution, width, max_width)
        self.resolution, self.channels, self.latent_dim = resolution, channels, latent_dim
        self.style_sizes = [size for size in widths for _ in (0, 1)]  # px of each style's map
        self.mapping = Mapping(latent_dim, style_dim, mapping_layers, mapping_lr_multiplier)
        self.const = nn.Parameter(torch.ones(widths[4], 4, 4))
        self.blocks, self.to_image = nn.ModuleDict(), nn.ModuleList()
        incoming = 0  # of 4x4, which starts with the constant
        for size, wide in widths.items():
            second = EqualizedConv2d(wide, wide, 3, padding=1, bias=False)
            self.blocks[f"{size}x{size}"] = StyleBlock(
                StyleLayer(convolution, wide, size, InstanceNorm(wide), True, style_dim)
                for convolution in (self.first(incoming, wide), second)
            )
            self.to_image.append(EqualizedConv2d(wide, channels, 1, gain=1.0))
            incoming = wide
        self.register_buffer("mean_style", torch.zeros(style_dim))

    @staticmethod
    def first(incoming: int, wide: int) -> nn.Module:
        """What stands before the noise in the first layer of a block."""
        if not incoming:
            return nn.Identity()
        convolution = EqualizedConv2d(incoming, wide, 3, padding=1, bias=False)
        return nn.Sequential(nn.UpsamplingNearest2d(scale_factor=2), convolution, Blur())

    def styled(self, part: str) -> dict[str, nn.Module]:
        """`<size>x<size>/<0 or 1>` -> a part of that layer."""
        return {
            f"{size}/{i}": block.get_submodule(f"{i}.{part}")
            for size, block in self.blocks.items()
            for i in (0, 1)
        }

    @property
    def layers(self) -> dict[str, nn.Module]:
        """`<size>x<size>/<0 or 1>` -> the LeakyReLU of that layer."""
        return self.styled("activation")

    @property
    def latent_independent(self) -> list[str]:
        """Layers that are the same for every latent: the first, of the constant."""
        return ["4x4/0"]

    @property
    def affines(self) -> dict[str, nn.Module]:
        """Layer -> what turns a style into its scales and shifts."""
        return self.styled("style.affine")

    def map(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        """The style of every layer, all alike: (N, Z) -> (N, L, W)."""
        styles: Tensor = self.mapping(latents)[:, None].expand(-1, self.num_styles, -1)
        return styles

    def synthesize(self, styles: Tensor, noise: str = "random") -> list[Tensor]:
        """(N, L, W) -> images of every scale; `noise` is random, const or none."""
        source = noise_source(noise, self.draw_noise)
        rows, x = styles.unbind(dim=1), self.const.expand(styles.shape[0], -1, -1, -1)
        images: list[Tensor] = []
        for block, to_image in zip(self.blocks.values(), self.to_image, strict=True):
            first, noises = 2 * len(images), cast(StyleBlock, block).drawn(source, styles.shape[0])
            x = self.through(block, x, rows[first : first + 2], noises)
            images.append(in_single(to_image, x))
        return images

    def forward(self, latents: Tensor, condition: Condition | None = None) -> list[Tensor]:
        """Map latents to images of every scale; evaluation takes the constant noise."""
        noise = "random" if self.training else "const"
        return self.synthesize(self.map(latents, condition), noise)


class Combine(nn.Module):
    """How an image joins the discriminator's maps of its size: phi of section 2.

    simple: [maps; image]. lin_cat: [maps; r(image)], r a 1x1 convolution to half as many maps.
    cat_lin: r([maps; image]), r a 1x1 convolution back to as many maps. half: [r(image); maps],
    each half of the block's width, as the authors' code has it.

    Raises:
        ValueError: another name.
    """

    def __init__(
        self,
        method: str,
        maps: int,  # channels of the main path, or with half of the whole
        channels: int,  # of the image
    ) -> None:
        super().__init__()
        if method not in COMBINES:
            raise ValueError(
                f"model.discriminator.combine must be one of {', '.join(COMBINES)}, got {method!r}"
            )
        half = max(1, maps // 2)
        added = {"simple": channels, "lin_cat": half, "cat_lin": 0, "half": 0}
        self.out_channels, self.image_first = maps + added[method], method == "half"
        self.before: nn.Module = nn.Identity()
        self.after: nn.Module = nn.Identity()
        if method in ("lin_cat", "half"):
            self.before = EqualizedConv2d(channels, half, 1, gain=1.0)
        elif method == "cat_lin":
            self.after = EqualizedConv2d(maps + channels, maps, 1, bias=False, gain=1.0)

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        """(N, maps, H, W) and (N, channels, H, W) -> (N, out_channels, H, W)."""
        parts = [x, self.before(image)]
        joined: Tensor = self.after(torch.cat(parts[::-1] if self.image_first else parts, dim=1))
        return joined


class DownBlock(nn.Module):
    """Image joined, minibatch deviation, two convolutions, half the size."""

    def __init__(
        self,
        combine: nn.Module | None,  # None at the finest scale, whose maps are made of the image
        incoming: int,  # channels once the image has joined
        wide: int,
        outgoing: int,
        blur: bool,  # filter before going down, bias and activation after: as StyleGAN
        group_size: int,  # of the minibatch deviation; 0 = without
    ) -> None:
        super().__init__()
        self.combine = combine
        self.deviation = MinibatchStd(group_size) if group_size else nn.Identity()
        self.first = Convolution(incoming + bool(group_size), wide)
        self.second = (
            Halving(wide, outgoing)
            if blur
            else nn.Sequential(Convolution(wide, outgoing), nn.AvgPool2d(2))
        )

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        """(N, maps, H, W) and the image of that size -> (N, outgoing, H / 2, W / 2)."""
        x = x if self.combine is None else self.combine(x, image)
        maps: Tensor = self.second(self.first(self.deviation(x)))
        return maps


class Discriminator(Blockwise, base.Discriminator):
    """Takes the images of every scale: the finest at its input, each other joined at its size.

    The deviation over a minibatch is measured at every scale, as in the paper's tables, or at the
    last alone, as in the authors' code.

    Raises:
        ValueError: a resolution that is no power of two from 8, a width below 1, a table of widths
            for other sizes, or an unknown combine function or deviation.
    """

    def __init__(
        self,
        resolution: int = 1024,  # of the finest image, a power of two
        channels: int = 3,  # of the images
        width: int = 16,  # channels of the finest map, doubled at each coarser one
        max_width: int = 512,  # cap on that doubling
        combine: str = "simple",  # or lin_cat, cat_lin: how an image joins the maps of its size
        blur: bool = False,  # True = filter before going down, as StyleGAN's
        group_size: int = 4,  # samples whose deviation is measured together; 0 = none
        widths: Table[int, int] | None = None,  # size -> channels; None = by width and max_width
        deviation: str = "all",  # scales at which it is measured, or last: at 4x4 alone
        image_activation: bool = True,  # of the maps made of the finest image
        recompute_blocks: bool = False,  # instead of keeping maps within blocks: less memory
    ) -> None:
        super().__init__()
        self.recompute_blocks = recompute_blocks
        if deviation not in DEVIATIONS:
            raise ValueError(
                f"model.discriminator.deviation must be {' or '.join(DEVIATIONS)}, got "
                f"{deviation!r}"
            )
        table = map_widths("discriminator", resolution, width, max_width, widths)
        self.from_image = Convolution(channels, table[resolution], 1, 0)
        if not image_activation:
            self.from_image.activation = nn.Identity()
        self.blocks, group = nn.ModuleList(), group_size if deviation == "all" else 0
        for size in sorted(table, reverse=True)[:-1]:
            wide, next_ = table[size], table[size // 2]
            outgoing = next_ - next_ // 2 if combine == "half" else next_
            join = None if size == resolution else Combine(combine, wide, channels)
            incoming = wide if join is None else join.out_channels
            self.blocks.append(DownBlock(join, incoming, wide, outgoing, blur, group))
        self.combine, last = Combine(combine, table[4], channels), table[4]
        self.head = nn.Sequential(
            MinibatchStd(group_size) if group_size else nn.Identity(),
            Convolution(self.combine.out_channels + bool(group_size), last),
            Convolution(last, last, 4, 0),  # (N, last, 4, 4) -> (N, last, 1, 1)
            EqualizedConv2d(last, 1, 1, gain=1.0),
        )

    @property
    def finest_first(self) -> list[tuple[nn.Module, ...]]:
        """The blocks above 4x4, the first with the layer that reads the image."""
        return [(self.from_image, self.blocks[0]), *((block,) for block in self.blocks[1:])]

    def views(self, images: Tensor) -> list[Tensor]:
        """Reals at every scale, 4x4 first: averaged down again and again."""
        scales = [images]
        while scales[0].shape[-1] > 4:
            scales.insert(0, downsample_average(scales[0]))
        return scales

    def forward(self, images: Images, condition: Condition | None = None) -> Tensor:
        """Score the scales of a sample together: images 4x4 first -> (N,) logits."""
        x: Tensor = self.through(self.from_image, images[-1])
        for block, image in zip(self.blocks, list(images)[:0:-1], strict=True):
            x = self.through(block, x, image)
        logits: Tensor = self.head(self.combine(x, images[0])).flatten()  # (N, 1, 1, 1) -> (N,)
        return logits
