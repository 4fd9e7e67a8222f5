"""Pictures as loggers take them."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ganlab.report.images import Pixels, grid, to_uint8, visible

Picture = NDArray[np.uint8] | Tensor  # (H, W, 3) uint8; or (C, H, W) or (N, C, H, W) in [-1, 1]


def as_pixels(images: Picture) -> Pixels:
    """One (H, W, 3) uint8 picture: an array as it is, a tensor as an image or as a grid of images.

    Raises:
        ValueError: an array that is not (H, W, 3) uint8.
    """
    if isinstance(images, Tensor):
        if images.ndim == 4:
            return grid(images)
        colour = visible(images).expand(3, -1, -1)  # (C, H, W) -> (3, H, W)
        return to_uint8(colour).cpu().permute(1, 2, 0).numpy()
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[2] != 3:
        raise ValueError(f"a picture is (H, W, 3) uint8, this one is {images.shape} {images.dtype}")
    return images
