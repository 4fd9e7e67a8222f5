"""StyleGAN: a learned constant, convolved and normalized; styles of the latent scale and shift.

Karras, Laine, Aila: "A Style-Based Generator Architecture for Generative Adversarial Networks"
(arXiv:1812.04948): figure 1b, sections 2 and 3.1, appendices B and C; the norm is an argument, as
in Tan, Wen, Yang: "Systematic Analysis and Removal of Circular Artifacts for StyleGAN". Without
mapping, style, noise and blur, on a traditional input and with PN, this is ProGAN's generator: the
steps of table 1 are switches. Both networks grow: level l ends at 4 * 2^l px.
"""

from collections.abc import Callable
from collections.abc import Mapping as Table
from typing import cast

import torch
from torch import Tensor, nn

from ganlab.networks import base
from ganlab.networks.base import Condition, Images, one_hot_labels
from ganlab.nn.blocks import Halving, StyleBlock, StyleLayer
from ganlab.nn.blockwise import Blockwise
from ganlab.nn.equalized import EqualizedConv2d
from ganlab.nn.growing import Growing, blend, faded_reals
from ganlab.nn.minibatch import MinibatchStd
from ganlab.nn.modulation import noise_source
from ganlab.nn.norm import InstanceNorm, pixel_norm
from ganlab.nn.precision import in_single
from ganlab.nn.progressive import map_widths
from ganlab.nn.resample import Blur, downsample_average, upsample_nearest
from ganlab.nn.style import Mapping, layer_rows

INPUTS = ("const", "latent", "style")


def check_switches(input: str, style: bool, mapping_layers: int, same_width: bool) -> None:
    """Refuse generators that could not do what they are asked for.

    Raises:
        ValueError: names the keys.
    """
    key = "model.generator."
    if input not in INPUTS:
        raise ValueError(f"{key}input must be one of {', '.join(INPUTS)}, got {input!r}")
    if not style and input == "const":
        raise ValueError(
            f"{key}style=false with {key}input=const makes the same image of every latent; "
            f"set {key}input=latent and {key}mapping_layers=0, or {key}input=style"
        )
    if not style and input == "latent" and mapping_layers:
        raise ValueError(
            f"{key}style=false with {key}input=latent has no use for a mapping network; "
            f"set {key}mapping_layers=0, or {key}input=style"
        )
    if input == "latent" and not same_width:
        raise ValueError(
            f"{key}input=latent keeps the latent among the styles: latent_dim must equal style_dim"
        )


class Generator(Blockwise, Growing, base.StyleGenerator):
    """Two layers a resolution, from 4x4 on; images are not squashed.

    `layers` are the LeakyReLUs up to the present level, `4x4/0`, `4x4/1`, `8x8/0`, ...: read before
    the norm. `points` are what follows them, `4x4/0/norm` and `4x4/0/style`. Style n belongs to
    layer n; with `input=latent` the latent stands before them, in a row of its own, and without
    style the input's row is the only one. A fresh network stands at its last level.

    Raises:
        ValueError: a resolution that is no power of two from 8, a width below 1, or switches that
            make no sense together; the message names the keys.
    """

    mean_style: Tensor  # (L, W), running mean of the styles in training; 0 in a latent's own row

    def __init__(
        self,
        resolution: int = 1024,  # of the last level, a power of two
        channels: int = 3,  # of the image
        latent_dim: int = 512,  # numbers in a latent
        style_dim: int = 512,  # numbers in a style
        width: int = 16,  # channels of the finest map, doubled at each coarser one
        max_width: int = 512,  # cap on that doubling
        mapping_layers: int = 8,  # 0 = the normalized latent is the style
        mapping_lr_multiplier: float = 0.01,  # relative speed of learning of the mapping
        input: str = "const",  # of the 4x4 maps: const, or traditional, of the latent or the style
        style: bool = True,  # scale and shift after each norm
        noise: bool = True,  # added in each layer
        blur: bool = True,  # after each enlarging convolution
        norm: Callable[[int], nn.Module] = InstanceNorm,  # channels -> normalization
        widths: Table[int, int] | None = None,  # size -> channels; None = by width and max_width
        num_labels: int = 0,  # classes of a conditional generator; 0 = unconditional
        hidden_dim: int | None = None,  # width within the mapping; None = style_dim
        repeat_w: bool = True,  # False = the mapping makes a style of its own for each layer
        noise_per: str = "pixel",  # what noise differs in: pixel, or channel
        recompute_blocks: bool = False,  # instead of keeping maps within blocks: less memory
    ) -> None:
        super().__init__()
        self.recompute_blocks = recompute_blocks
        check_switches(input, style, mapping_layers, latent_dim == style_dim)
        widths = map_widths("generator", resolution, width, max_width, widths)
        self.resolution, self.channels, self.latent_dim = resolution, channels, latent_dim
        self.num_labels, self.repeat_w = num_labels, repeat_w
        self.input, self.styled, self.widths = input, style, widths
        self.own_row = int(input == "latent" or not style)  # rows of styles before the layers'
        styled = [size for size in widths for _ in (0, 1)] if style else []
        self.style_sizes = [4] * self.own_row + styled
        self.mapping = Mapping(
            latent_dim,
            style_dim if repeat_w else style_dim * self.num_styles,
            mapping_layers,
            mapping_lr_multiplier,
            hidden_dim or style_dim,
            num_labels,
        )
        if input == "const":
            self.const = nn.Parameter(torch.ones(widths[4], 4, 4))  # appendix C
        else:  # ProGAN's first layer: a padded 4x4 convolution of a 1x1 map
            self.dense = EqualizedConv2d(style_dim, widths[4], 4, padding=3, bias=False)
        self.blocks, self.to_image = nn.ModuleDict(), nn.ModuleList()
        incoming, styling = widths[4], style_dim if style else None
        for size, wide in widths.items():
            convolutions = self.convolutions(size, incoming, wide, blur)
            self.blocks[f"{size}x{size}"] = StyleBlock(
                StyleLayer(each, wide, size, norm(wide), noise, styling, noise_per)
                for each in convolutions
            )
            self.to_image.append(EqualizedConv2d(wide, channels, 1, gain=1.0))
            incoming = wide
        self.register_buffer("mean_style", torch.zeros(self.num_styles, style_dim))
        self.start(len(widths))

    @staticmethod
    def convolutions(size: int, incoming: int, wide: int, blur: bool) -> tuple[nn.Module, ...]:
        """What stands before the noise in the two layers of a resolution."""
        second = EqualizedConv2d(wide, wide, 3, padding=1, bias=False)
        if size == 4:
            return nn.Identity(), second
        first = [
            nn.Upsample(scale_factor=2),
            EqualizedConv2d(incoming, wide, 3, padding=1, bias=False),
        ]
        return nn.Sequential(*first, *([Blur()] if blur else [])), second

    def active_layers(self) -> dict[str, StyleLayer]:
        """Every layer up to the present level by its name, input to output."""
        blocks = list(self.blocks.items())[: self.level + 1]
        return {
            f"{size}/{i}": cast(StyleLayer, layer)
            for size, block in blocks
            for i, layer in enumerate(cast(nn.ModuleList, block))
        }

    @property
    def layers(self) -> dict[str, nn.Module]:
        """`<size>x<size>/<0 or 1>` -> the LeakyReLU of that layer, to the present level."""
        return {name: layer.activation for name, layer in self.active_layers().items()}

    @property
    def points(self) -> dict[str, nn.Module]:
        """`<layer>/norm`, before the style's affine, and `<layer>/style`, after it."""
        found: dict[str, nn.Module] = {}
        for name, layer in self.active_layers().items():
            found[f"{name}/norm"] = layer.norm
            if layer.style is not None:
                found[f"{name}/style"] = layer.style
        return found

    @property
    def latent_independent(self) -> list[str]:
        """Layers that are the same for every latent: the first, of a constant."""
        return list(self.layers)[:1] if self.input == "const" else []

    @property
    def affines(self) -> dict[str, nn.Module]:
        """Layer -> what turns its style into scales and shifts, to the present level."""
        layers = self.active_layers().items()
        return {name: layer.style.affine for name, layer in layers if layer.style is not None}

    @property
    def active_styles(self) -> int:
        """How many of the L styles the present level uses."""
        return self.own_row + (2 * (self.level + 1) if self.styled else 0)

    @property
    def truncates(self) -> bool:
        """Not where the latent's direction is all that the first layer and no other sees of it."""
        return self.input != "latent" or self.styled

    def map(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        """The style of every layer, with `repeat_w` all alike: (N, Z) -> (N, L, W)."""
        mapped: Tensor = self.mapping(latents, one_hot_labels(condition, self.num_labels))
        if self.repeat_w:
            styles = mapped[:, None].expand(-1, self.num_styles, -1)
        else:
            styles = mapped.view(mapped.shape[0], self.num_styles, -1)
        if self.input == "latent":
            styles = torch.cat([latents[:, None], styles[:, 1:]], dim=1)
        return styles

    @torch.no_grad()
    def update_mean_style(self, styles: Tensor) -> None:
        """Let `mean_style` follow a batch of unmixed styles, (N, L, W)."""
        first = int(self.input == "latent")
        mean = styles.mean(dim=0).to(self.mean_style)  # (L, W)
        self.mean_style[first:].lerp_(mean[first:], 1 - self.mean_style_decay)

    def first_maps(self, own: Tensor) -> Tensor:
        """What the first layer takes, by the first of the styles, (N, W) -> (N, C, 4, 4)."""
        if self.input == "const":
            return self.const.expand(own.shape[0], -1, -1, -1)
        # truncation shortens a latent, which has no meaning here: normalized after it
        row = pixel_norm(own) if self.input == "latent" else own
        maps: Tensor = self.dense(row[:, :, None, None])
        return maps

    def synthesize(self, styles: Tensor, noise: str = "random") -> Tensor:
        """Styles to images of the present level, (N, L, W) -> (N, C, H, W).

        `noise` is random, const (each layer's own plane) or none; a ValueError if it is not.
        """
        source = noise_source(noise, self.draw_noise)
        given = layer_rows(styles)
        rows = given[self.own_row :] if self.styled else [None] * 2 * self.num_levels
        x = coarser = self.first_maps(given[0])
        for level, block in enumerate([*self.blocks.values()][: self.level + 1]):
            coarser, noises = x, cast(StyleBlock, block).drawn(source, styles.shape[0])
            x = self.through(block, x, rows[2 * level : 2 * level + 2], noises)
        image: Tensor = in_single(self.to_image[self.level], x)
        if self.alpha == 1:
            return image
        old = upsample_nearest(in_single(self.to_image[self.level - 1], coarser))
        return blend(old, image, self.alpha)

    def forward(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        """Map latents to images, (N, Z) -> (N, C, H, W); evaluation takes the constant noise."""
        return self.synthesize(self.map(latents, condition), "random" if self.training else "const")


class Discriminator(Blockwise, Growing, base.Discriminator):
    """ProGAN's, with a blur before each halving; minibatch statistics join at 4x4.

    `views` reduces reals to the present level and fades them as the generator fades its images.
    With classes there is a logit for each, and the one of the class told is the score.

    Raises:
        ValueError: a resolution that is no power of two from 8, a width below 1, or a table of
            widths for other sizes.
    """

    def __init__(
        self,
        resolution: int = 1024,  # of the last level, a power of two
        channels: int = 3,  # of the image
        width: int = 16,  # channels of the finest map, doubled at each coarser one
        max_width: int = 512,  # cap on that doubling
        group_size: int = 4,  # samples whose deviation is measured together, at most a batch;
        # 0 = without
        blur: bool = True,  # before each halving
        widths: Table[int, int] | None = None,  # size -> channels; None = by width and max_width
        dense_width: int | None = None,  # of the fully connected layer; None = twice that of 4x4
        num_labels: int = 0,  # classes, one of which it must be told; 0 = unconditional
        recompute_blocks: bool = False,  # instead of keeping maps within blocks: less memory
    ) -> None:
        super().__init__()
        self.recompute_blocks = recompute_blocks
        widths = map_widths("discriminator", resolution, width, max_width, widths)
        self.resolution, self.num_labels = resolution, num_labels
        last = dense_width or min(2 * widths[4], max_width)
        self.blocks, self.from_image = nn.ModuleList(), nn.ModuleList()
        for size, wide in widths.items():
            first = EqualizedConv2d(channels, wide, 1)
            self.from_image.append(nn.Sequential(first, nn.LeakyReLU(0.2)))
            self.blocks.append(
                self.head(wide, last, group_size, max(num_labels, 1))
                if size == 4
                else self.halving(wide, widths[size // 2], blur)
            )
        self.start(len(widths))

    @staticmethod
    def halving(wide: int, outgoing: int, blur: bool) -> nn.Sequential:
        """The two convolutions of a resolution above 4x4."""
        first = EqualizedConv2d(wide, wide, 3, padding=1)
        return nn.Sequential(first, nn.LeakyReLU(0.2), Halving(wide, outgoing, blur))

    @staticmethod
    def head(wide: int, last: int, group_size: int, logits: int) -> nn.Sequential:
        """4x4 maps to logits."""
        return nn.Sequential(
            MinibatchStd(group_size) if group_size else nn.Identity(),
            EqualizedConv2d(wide + bool(group_size), wide, 3, padding=1),
            nn.LeakyReLU(0.2),
            EqualizedConv2d(wide, last, 4),
            nn.LeakyReLU(0.2),
            EqualizedConv2d(last, logits, 1, gain=1.0),
            nn.Flatten(),  # (N, logits, 1, 1) -> (N, logits)
        )

    @property
    def finest_first(self) -> list[tuple[nn.Module, ...]]:
        """The blocks above 4x4, each with the layer that reads the image at its size."""
        return [*zip(self.blocks[:0:-1], self.from_image[:0:-1], strict=True)]

    def views(self, images: Tensor) -> Tensor:
        """Reals as the present stage has them, (N, C, R, R) -> (N, C, 4 * 2^level, ...)."""
        return faded_reals(images, 4 * 2**self.level, self.alpha)

    def forward(self, images: Images, condition: Condition | None = None) -> Tensor:
        """Score images of the present level, (N, C, H, W) -> (N,) logits."""
        assert isinstance(images, Tensor)
        x: Tensor = self.through(self.from_image[self.level], images)  # (N, width, size, size)
        for level in range(self.level, -1, -1):
            x = self.through(self.blocks[level], x)
            if level == self.level and self.alpha < 1:
                old = self.from_image[level - 1](downsample_average(images))
                x = blend(old, x, self.alpha)
        labels = one_hot_labels(condition, self.num_labels)
        return x[:, 0] if labels is None else (x * labels).sum(dim=1)
