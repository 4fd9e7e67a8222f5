"""Images as functions of the distance from their centre."""

import torch
from torch import Tensor


def distances(resolution: int) -> Tensor:
    """Of each pixel from the image's centre, in half sides: (H, W), 1 in the middle of an edge."""
    axis = (torch.arange(resolution) + 0.5) * 2 / resolution - 1
    return torch.hypot(axis[:, None], axis[None, :])


def hats(resolution: int, num_knots: int) -> Tensor:
    """Linear interpolation from knots at equal distances: (K, H * W), each pixel's weights sum 1.

    Knots run from the centre to the corners, at sqrt(2) half sides.
    """
    position = distances(resolution).flatten() / 2**0.5 * (num_knots - 1)  # (H * W,)
    knots = torch.arange(num_knots)[:, None]
    return (1 - (position - knots).abs()).clamp(min=0)


def profiles(images: Tensor, num_knots: int) -> Tensor:
    """Mean over each ring of pixels: (N, C, H, W) -> (N, C, K)."""
    weights = hats(images.shape[-1], num_knots).to(images)
    return images.flatten(2) @ (weights / weights.sum(dim=1, keepdim=True)).T
