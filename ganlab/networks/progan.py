"""Progressive growing of GANs.

Karras, Aila, Laine, Lehtinen: "Progressive Growing of GANs for Improved Quality, Stability, and
Variation" (arXiv:1710.10196): growth (section 2), minibatch standard deviation (3), equalized
learning rate (4.1), pixelwise normalization (4.2), the layers of table 2. Both networks are a table
of maps from 4x4 to the image's size, two convolutions each; level l of growth ends at 4 * 2^l px.
"""

from torch import Tensor, nn

from ganlab.networks import base
from ganlab.networks.base import Condition, Images
from ganlab.nn.equalized import EqualizedConv2d
from ganlab.nn.growing import Growing, blend, faded_reals
from ganlab.nn.minibatch import MinibatchStd
from ganlab.nn.norm import PixelNorm
from ganlab.nn.progressive import Convolution, map_widths
from ganlab.nn.resample import downsample_average, upsample_nearest


class Generator(Growing, base.Generator):
    """Latents on a hypersphere, nearest-neighbour enlarging, a 1x1 convolution to an image.

    `layers` are the LeakyReLUs up to the present level, `4x4/0`, `4x4/1`, `8x8/0`, ...: read before
    the pixelwise normalization. Images are not squashed. A fresh network stands at its last level.

    Raises:
        ValueError: a resolution that is no power of two from 8, or a width below 1.
    """

    layer_studied = 1  # of each size: neurons of its second one (Choi et al. 2022, section 4.1)

    def __init__(
        self,
        resolution: int = 1024,  # of the last level, a power of two
        channels: int = 3,  # of the image
        latent_dim: int = 512,  # numbers in a latent
        width: int = 16,  # channels of the finest map, doubled at each coarser one
        max_width: int = 512,  # cap on that doubling
    ) -> None:
        super().__init__()
        widths = map_widths("generator", resolution, width, max_width)
        self.resolution, self.channels, self.latent_dim = resolution, channels, latent_dim
        self.normalize = PixelNorm()
        self.blocks, self.to_image = nn.ModuleList(), nn.ModuleList()
        incoming = latent_dim
        for size, outgoing in widths.items():
            # table 2: the latent is a 1x1 map, and a padded 4x4 convolution makes 4x4 of it
            kernel, padding = (4, 3) if size == 4 else (3, 1)
            first = Convolution(incoming, outgoing, kernel, padding, norm=True)
            self.blocks.append(nn.Sequential(first, Convolution(outgoing, outgoing, norm=True)))
            self.to_image.append(EqualizedConv2d(outgoing, channels, 1, gain=1.0))
            incoming = outgoing
        self.start(len(widths))

    @property
    def layers(self) -> dict[str, nn.Module]:
        """`<size>x<size>/<0 or 1>` -> the LeakyReLU of that convolution, to the present level."""
        return {
            f"{4 * 2**level}x{4 * 2**level}/{i}": block.get_submodule(f"{i}.activation")
            for level, block in enumerate(self.blocks[: self.level + 1])
            for i in (0, 1)
        }

    def forward(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        """Map latents to images of the present level, (N, Z) -> (N, C, H, W)."""
        x = coarser = self.normalize(latents[:, :, None, None])  # (N, Z, 1, 1)
        for level in range(self.level + 1):
            coarser = x
            x = self.blocks[level](x if level == 0 else upsample_nearest(x))  # (N, width, H, W)
        image: Tensor = self.to_image[self.level](x)
        if self.alpha == 1:
            return image
        old = upsample_nearest(self.to_image[self.level - 1](coarser))
        return blend(old, image, self.alpha)  # figure 2


class Discriminator(Growing, base.Discriminator):
    """The generator mirrored: averaging halves the maps, minibatch statistics join at 4x4.

    `views` reduces reals to the present level and fades them as the generator fades its images.

    Raises:
        ValueError: a resolution that is no power of two from 8, or a width below 1.
    """

    def __init__(
        self,
        resolution: int = 1024,  # of the last level, a power of two
        channels: int = 3,  # of the image
        width: int = 16,  # channels of the finest map, doubled at each coarser one
        max_width: int = 512,  # cap on that doubling
        group_size: int = 16,  # samples whose deviation is measured together; at most a batch
    ) -> None:
        super().__init__()
        widths = map_widths("discriminator", resolution, width, max_width)
        self.resolution = resolution
        self.blocks, self.from_image = nn.ModuleList(), nn.ModuleList()
        last = min(2 * widths[4], max_width)  # of the fully connected layer
        for size, wide in widths.items():
            self.from_image.append(Convolution(channels, wide, 1, 0))
            if size == 4:
                head = Convolution(wide + 1, wide), Convolution(wide, last, 4, 0)
                self.blocks.append(nn.Sequential(MinibatchStd(group_size), *head))
            else:
                pair = Convolution(wide, wide), Convolution(wide, widths[size // 2])
                self.blocks.append(nn.Sequential(*pair))
        self.to_logit = EqualizedConv2d(last, 1, 1, gain=1.0)
        self.start(len(widths))

    def views(self, images: Tensor) -> Tensor:
        """Reals as the present stage has them, (N, C, R, R) -> (N, C, 4 * 2^level, ...)."""
        return faded_reals(images, 4 * 2**self.level, self.alpha)

    def forward(self, images: Images, condition: Condition | None = None) -> Tensor:
        """Score images of the present level, (N, C, H, W) -> (N,) logits."""
        assert isinstance(images, Tensor)
        x = self.from_image[self.level](images)  # (N, width, size, size)
        for level in range(self.level, 0, -1):
            x = downsample_average(self.blocks[level](x))  # half the size each time
            if level == self.level and self.alpha < 1:
                old = self.from_image[level - 1](downsample_average(images))
                x = blend(old, x, self.alpha)
        logits: Tensor = self.to_logit(self.blocks[0](x)).flatten()  # (N, 1, 1, 1) -> (N,)
        return logits
