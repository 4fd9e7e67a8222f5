"""Gaussian and Laplacian pyramids of images, coarse to fine.

Burt and Adelson: "The Laplacian Pyramid as a Compact Image Code" (1983), as Denton et al.
(arXiv:1506.05751), section 2.2, build on it: d(I) blurs and decimates, u(I) smooths and expands.
Both are linear interpolation here, with the blur it needs going down: at a factor of two the taps
are (1, 3, 3, 1), and any other factor, as STL's 64 to 96 pixels, is possible too.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor
from torch.nn import functional as F


def reduce(images: Tensor, size: int) -> Tensor:
    """d(I): (N, C, H, W) -> (N, C, size, size), blurred so that nothing aliases."""
    return F.interpolate(
        images, size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )


def expand(images: Tensor, size: int) -> Tensor:
    """u(I): (N, C, H, W) -> (N, C, size, size), smooth."""
    return F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)


def gaussian_pyramid(images: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """[I_K, ..., I_0]: the images at each size, coarse to fine; the last size is their own."""
    levels = [images]
    for size in reversed(sizes[:-1]):
        levels.append(reduce(levels[-1], size))  # I_{k+1} = d(I_k)
    return levels[::-1]


def laplacian_pyramid(images: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """[I_K, h_{K-1}, ..., h_0]: the coarsest image and what each finer size adds to it."""
    levels = gaussian_pyramid(images, sizes)
    bands = [
        fine - expand(coarse, fine.shape[-1])  # h_k = I_k - u(I_{k+1}), Denton et al., eq. 3
        for coarse, fine in pairwise(levels)
    ]
    return [levels[0], *bands]


def reconstruct(pyramid: Sequence[Tensor]) -> Tensor:
    """The images a Laplacian pyramid was made of."""
    images = pyramid[0]
    for band in pyramid[1:]:
        images = expand(images, band.shape[-1]) + band  # I_k = u(I_{k+1}) + h_k, eq. 4
    return images
