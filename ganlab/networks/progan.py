"""Progressive growing of GANs.

Karras, Aila, Laine, Lehtinen: "Progressive Growing of GANs for Improved Quality, Stability, and
Variation" (arXiv:1710.10196): growth (section 2), minibatch standard deviation (3), equalized
learning rate (4.1), pixelwise normalization (4.2), the layers of table 2. Both networks are a table
of maps from 4x4 to the image's size, two convolutions each; level l of growth ends at 4 * 2^l px.
"""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from ganlab.networks import base
from ganlab.networks.base import Condition, Images, one_hot_labels
from ganlab.nn.blockwise import Blockwise
from ganlab.nn.equalized import EqualizedConv2d
from ganlab.nn.frames import Frame, Resolution
from ganlab.nn.growing import Growing, blend, faded_reals
from ganlab.nn.minibatch import MinibatchStd
from ganlab.nn.norm import PixelNorm
from ganlab.nn.precision import in_single
from ganlab.nn.progressive import Convolution, map_widths
from ganlab.nn.resample import downsample_average, upsample_nearest


class Generator(Blockwise, Growing, base.Generator):
    """Latents on a hypersphere, nearest-neighbour enlarging, a 1x1 convolution to an image.

    `layers` are the LeakyReLUs up to the present level, `4x4/0`, `4x4/1`, `8x8/0`, ...: read before
    the pixelwise normalization. Images are not squashed. A fresh network stands at its last level.
    A class is one 1 among numbers beside the normalized latent, and both are normalized together.

    Raises:
        ValueError: a resolution that is no power of two from 8, a width below 1, or a table of
            widths for other sizes.
    """

    layer_studied = 1  # of each size: neurons of its second one (Choi et al. 2022, section 4.1)

    def __init__(
        self,
        resolution: Resolution = 1024,  # of the last level, a power of two; or height and width
        channels: int = 3,  # of the image
        latent_dim: int = 512,  # numbers in a latent
        width: int = 16,  # channels of the finest map, doubled at each coarser one
        max_width: int = 512,  # cap on that doubling
        widths: Mapping[int, int] | None = None,  # size -> channels; None = by width and max_width
        num_labels: int = 0,  # classes of a conditional generator; 0 = unconditional
        tanh: bool = False,  # at the end, after a fade
        recompute_blocks: bool = False,  # instead of keeping maps within blocks: less memory
    ) -> None:
        super().__init__()
        self.recompute_blocks = recompute_blocks
        self.frame = frame = Frame.of("generator", resolution)
        table = map_widths("generator", frame.size, width, max_width, widths)
        self.resolution, self.channels, self.latent_dim = frame.size, channels, latent_dim
        self.num_labels, self.squash = num_labels, nn.Tanh() if tanh else nn.Identity()
        self.normalize = PixelNorm()
        self.blocks, self.to_image = nn.ModuleList(), nn.ModuleList()
        incoming = latent_dim + num_labels
        for size, outgoing in table.items():
            # table 2: the latent is a 1x1 map, and a padded 4x4 convolution makes 4x4 of it
            kernel = frame.first if size == 4 else (3, 3)
            padding = (kernel[0] - 1, kernel[1] - 1) if size == 4 else (1, 1)
            first = Convolution(incoming, outgoing, kernel, padding, norm=True)
            self.blocks.append(nn.Sequential(first, Convolution(outgoing, outgoing, norm=True)))
            self.to_image.append(EqualizedConv2d(outgoing, channels, 1, gain=1.0))
            incoming = outgoing
        self.start(len(table))

    @property
    def layers(self) -> dict[str, nn.Module]:
        """`<size>x<size>/<0 or 1>` -> the LeakyReLU of that convolution, to the present level."""
        return {
            f"{self.named(level)}/{i}": block.get_submodule(f"{i}.activation")
            for level, block in enumerate(self.blocks[: self.level + 1])
            for i in (0, 1)
        }

    def named(self, level: int) -> str:
        """`4x4`: how the maps of a level are called."""
        assert self.frame is not None
        return self.frame.name(4 * 2**level)

    def first_maps(self, latents: Tensor, condition: Condition | None) -> Tensor:
        """The latent as a map of one pixel, with its class if there are any."""
        x: Tensor = self.normalize(latents[:, :, None, None])
        labels = one_hot_labels(condition, self.num_labels)
        if labels is not None:
            x = self.normalize(torch.cat([x, labels[:, :, None, None]], dim=1))
        return x

    def maps(self, level: int, x: Tensor) -> Tensor:
        """Those of a level, of those of the one before."""
        maps: Tensor = self.blocks[level](x if level == 0 else upsample_nearest(x))
        return maps

    def forward(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        """Map latents to images of the present level, (N, Z) -> (N, C, H, W)."""
        x = coarser = self.first_maps(latents, condition)  # (N, Z + num_labels, 1, 1)
        for level in range(self.level + 1):
            coarser = x
            x = self.through(self.maps, level, x)  # (N, width, H, W)
        image: Tensor = in_single(self.to_image[self.level], x)
        if self.alpha < 1:
            old = upsample_nearest(in_single(self.to_image[self.level - 1], coarser))
            image = blend(old, image, self.alpha)  # figure 2
        squashed: Tensor = self.squash(image)
        return squashed


class Discriminator(Blockwise, Growing, base.Discriminator):
    """The generator mirrored: averaging halves the maps, minibatch statistics join at 4x4.

    `views` reduces reals to the present level and fades them as the generator fades its images.
    With classes it answers one logit for each besides, which `answers` gives and a score leaves.

    Raises:
        ValueError: a resolution that is no power of two from 8, a width below 1, or a table of
            widths for other sizes.
    """

    frame: Frame  # of the full-size images

    def __init__(
        self,
        resolution: Resolution = 1024,  # of the last level, a power of two; or height and width
        channels: int = 3,  # of the image
        width: int = 16,  # channels of the finest map, doubled at each coarser one
        max_width: int = 512,  # cap on that doubling
        group_size: int = 16,  # samples whose deviation is measured together, at most a batch;
        # 0 = without
        widths: Mapping[int, int] | None = None,  # size -> channels; None = by width and max_width
        dense_width: int | None = None,  # of the fully connected layer; None = twice that of 4x4
        num_labels: int = 0,  # classes that it answers a logit for, beside real or fake
        average_first: bool = False,  # True = a halving layer's activation comes after averaging
        recompute_blocks: bool = False,  # instead of keeping maps within blocks: less memory
    ) -> None:
        super().__init__()
        self.recompute_blocks = recompute_blocks
        self.frame = frame = Frame.of("discriminator", resolution)
        table = map_widths("discriminator", frame.size, width, max_width, widths)
        self.resolution, self.average_first = frame.size, average_first
        self.blocks, self.from_image = nn.ModuleList(), nn.ModuleList()
        last = dense_width or min(2 * table[4], max_width)
        for size, wide in table.items():
            self.from_image.append(Convolution(channels, wide, 1, 0))
            if size == 4:
                deviation = MinibatchStd(group_size) if group_size else nn.Identity()
                joined = Convolution(wide + bool(group_size), wide)
                dense = Convolution(wide, last, frame.first, 0)
                self.blocks.append(nn.Sequential(deviation, joined, dense))
            else:
                pair = Convolution(wide, wide), Convolution(wide, table[size // 2])
                self.blocks.append(nn.Sequential(*pair))
        self.to_logit = EqualizedConv2d(last, 1 + num_labels, 1, gain=1.0)
        self.start(len(table))

    @property
    def finest_first(self) -> list[tuple[nn.Module, ...]]:
        """The blocks above 4x4, each with the layer that reads the image at its size."""
        return [*zip(self.blocks[:0:-1], self.from_image[:0:-1], strict=True)]

    def views(self, images: Tensor) -> Tensor:
        """Reals as the present stage has them, (N, C, R, R) -> (N, C, 4 * 2^level, ...)."""
        return faded_reals(images, self.frame.at(4 * 2**self.level)[1], self.alpha)

    def halved(self, level: int, x: Tensor) -> Tensor:
        """The two convolutions of a level above 4x4: (N, C, H, W) -> (N, C', H / 2, W / 2)."""
        if not self.average_first:
            return downsample_average(self.blocks[level](x))
        first, second = cast(nn.Sequential, self.blocks[level])
        assert isinstance(second, Convolution)
        halved: Tensor = second.activation(downsample_average(second.convolution(first(x))))
        return halved

    def forward(self, images: Images, condition: Condition | None = None) -> Tensor:
        """Score images of the present level, (N, C, H, W) -> (N,) logits."""
        return self.answers(images)[:, 0]

    def answers(self, images: Images) -> Tensor:
        """The logit of being real, then those of the classes: (N, 1 + num_labels)."""
        assert isinstance(images, Tensor)
        x: Tensor = self.through(self.from_image[self.level], images)  # (N, width, size, size)
        for level in range(self.level, 0, -1):
            x = self.through(self.halved, level, x)  # half the size each time
            if level == self.level and self.alpha < 1:
                old = self.from_image[level - 1](downsample_average(images))
                x = blend(old, x, self.alpha)
        logits: Tensor = self.to_logit(self.through(self.blocks[0], x))
        return logits.flatten(1)  # (N, 1 + num_labels)
