"""What edits of an image changed, in numbers; images are (N, C, H, W) in [-1, 1], on the CPU.

Distances of pixels are root mean squares as a share of the range from black to white.
"""

import torch
from torch import Tensor


def change(images: Tensor, reference: Tensor, region: Tensor | None = None) -> Tensor:
    """Distance of each image to the reference (1, C, H, W) in a region (1, 1, H, W), (N,).

    NaN where the region is empty; None is the whole image.
    """
    weight = torch.ones_like(reference[:, :1]) if region is None else region
    squares = (images.double() - reference.double()).square().mean(1, keepdim=True) / 4
    return ((squares * weight).sum((1, 2, 3)) / weight.sum().double()).sqrt()


def signal_to_noise(distances: Tensor) -> Tensor:
    """Distances as peak signal-to-noise ratios in dB; infinite for 0."""
    return -20 * distances.log10()


def spread(images: Tensor, region: Tensor | None = None) -> float:
    """Mean distance between two of the images in a region; NaN for a single one."""
    pairs = [change(images[i + 1 :], images[i : i + 1], region) for i in range(len(images) - 1)]
    return float(torch.cat(pairs).mean()) if pairs else float("nan")


def chroma(images: Tensor) -> Tensor:
    """Mean difference between an image's largest and smallest colour channel, (N,) in [0, 1]."""
    return (images.amax(1) - images.amin(1)).double().mean((1, 2)) / 2
