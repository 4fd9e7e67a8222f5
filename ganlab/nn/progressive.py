"""What ProGAN's networks, and those that keep its layers, are built from.

Karras et al. 2018 (arXiv:1710.10196), table 2: maps from 4x4 up, two convolutions each.
"""

from torch import Tensor, nn

from ganlab.nn.equalized import EqualizedConv2d
from ganlab.nn.norm import PixelNorm


def map_widths(network: str, resolution: int, width: int, max_width: int) -> dict[int, int]:
    """Size of each map -> its channels, from 4x4 to the image's size; both networks share it.

    `width` is that of the finest map, doubled at each coarser one up to `max_width`.

    Raises:
        ValueError: a resolution that is no power of two from 8, or a width below 1; the message
            names the key of `network`, "generator" or "discriminator".
    """
    if resolution < 8 or resolution & (resolution - 1):
        raise ValueError(
            f"model.{network}.resolution (data.resolution) must be a power of two from 8, got "
            f"{resolution}"
        )
    if min(width, max_width) < 1:
        raise ValueError(f"model.{network}.width and max_width must be at least 1")
    sizes = [4 * 2**level for level in range(resolution.bit_length() - 2)]
    return {size: min(width * resolution // size, max_width) for size in sizes}


class Convolution(nn.Module):
    """Equalized convolution, LeakyReLU 0.2 and, in a generator, pixelwise normalization."""

    def __init__(
        self,
        incoming: int,
        outgoing: int,
        kernel_size: int = 3,
        padding: int = 1,
        norm: bool = False,
    ) -> None:
        super().__init__()
        self.convolution = EqualizedConv2d(incoming, outgoing, kernel_size, padding=padding)
        self.activation = nn.LeakyReLU(0.2)
        self.norm = PixelNorm() if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, incoming, H, W) -> (N, outgoing, H', W')."""
        return self.norm(self.activation(self.convolution(x)))
