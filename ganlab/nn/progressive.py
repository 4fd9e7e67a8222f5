"""What ProGAN's networks, and those that keep its layers, are built from.

Karras et al. 2018 (arXiv:1710.10196), table 2: maps from 4x4 up, two convolutions each.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from ganlab.nn.equalized import EqualizedConv2d
from ganlab.nn.norm import PixelNorm


def map_widths(
    network: str,  # "generator" or "discriminator", for messages
    resolution: int,
    width: int,  # channels of the finest map, doubled at each coarser one up to `max_width`
    max_width: int,
    widths: Mapping[int, int] | None = None,  # size -> channels, instead of those two
    smallest: int = 8,  # resolution
) -> dict[int, int]:
    """Size of each map -> its channels, from 4x4 to the image's size; both networks share it.

    Raises:
        ValueError: a resolution that is no power of two, a width below 1, or a table of other
            sizes; the message names the key of `network`.
    """
    if resolution < smallest or resolution & (resolution - 1):
        raise ValueError(
            f"model.{network}.resolution (data.resolution) must be a power of two from {smallest}, "
            f"got {resolution}"
        )
    if min(width, max_width) < 1:
        raise ValueError(f"model.{network}.width and max_width must be at least 1")
    sizes = [4 * 2**level for level in range(resolution.bit_length() - 2)]
    if widths is not None:
        if sorted(widths) != sizes or min(widths.values()) < 1:
            raise ValueError(
                f"model.{network}.widths must give channels from 1 for sizes {sizes}, got "
                f"{dict(widths)}"
            )
        return {size: widths[size] for size in sizes}
    return {size: min(width * resolution // size, max_width) for size in sizes}


class Convolution(nn.Module):
    """Equalized convolution, LeakyReLU 0.2 and, in a generator, pixelwise normalization."""

    def __init__(
        self,
        incoming: int,
        outgoing: int,
        kernel_size: int | tuple[int, int] = 3,
        padding: int | tuple[int, int] = 1,
        norm: bool = False,
    ) -> None:
        super().__init__()
        self.convolution = EqualizedConv2d(incoming, outgoing, kernel_size, padding=padding)
        self.activation: nn.Module = nn.LeakyReLU(0.2)
        self.norm = PixelNorm() if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, incoming, H, W) -> (N, outgoing, H', W')."""
        maps: Tensor = self.norm(self.activation(self.convolution(x)))
        return maps
