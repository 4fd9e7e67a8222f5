"""What happens to pixels before a frozen network sees them: 8-bit grid, channels, size.

Images come in as float in [-1, 1], (N, C, H, W); the grid is float holding whole numbers 0..255.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ganlab.nn.transfer import to_device

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601 weights of R, G, B, as in image libraries' "L"


def quantize(images: Tensor) -> Tensor:
    """Images in [-1, 1] as the 8-bit values an image file would hold, 0..255 in float32.

    Generated and real images are thereby treated alike; what lies outside [-1, 1] is clamped.
    Raises `ValueError` for anything but float (N, C, H, W).
    """
    return continuous(images.clamp(-1, 1) if images.is_floating_point() else images).round()


def continuous(images: Tensor) -> Tensor:
    """Images in [-1, 1] as values 0..255 in float32, neither clamped nor rounded: differentiable.

    Raises `ValueError` for anything but float (N, C, H, W).
    """
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(
            "an extractor takes float images in [-1, 1] of shape (N, C, H, W), "
            f"not {str(images.dtype).removeprefix('torch.')} of shape {tuple(images.shape)}"
        )
    return (images.float() + 1) * 127.5


def with_channels(grid: Tensor, channels: int, rounded: bool = True) -> Tensor:
    """The grid in 1 or 3 channels: grey repeats, colour becomes luminance, on the 8-bit grid.

    Not `rounded` it keeps its gradient.
    """
    if grid.shape[1] == channels:
        return grid
    if channels == 3:
        return grid.expand(-1, 3, -1, -1)
    weights = to_device(torch.tensor(LUMINANCE), grid.device).view(1, 3, 1, 1)
    luminance = (grid * weights).sum(1, keepdim=True)
    return luminance.round() if rounded else luminance


def resize_antialiased(images: Tensor, size: int, mode: str) -> Tensor:
    """Square (N, C, size, size) by a filter widened when it shrinks; `mode` bilinear or bicubic."""
    if images.shape[2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode=mode, align_corners=False, antialias=True)


def resize_tf1(images: Tensor, size: int) -> Tensor:
    """Square (N, C, size, size) by the bilinear filter of TensorFlow 1's `resize_bilinear`.

    Corners are not aligned and pixel centres are whole numbers: output pixel i reads input position
    i * (input / size), between its floor and the next pixel (the last one repeats). Nothing is
    widened when it shrinks, so it aliases. Published FIDs are made with it.
    """
    rows, next_rows, down = (t.to(images.device) for t in _taps_tf1(images.shape[2], size))
    columns, next_columns, across = (t.to(images.device) for t in _taps_tf1(images.shape[3], size))
    left, right = images[..., columns], images[..., next_columns]
    images = left + (right - left) * across  # (N, C, H, size)
    top, bottom = images[:, :, rows], images[:, :, next_rows]
    return top + (bottom - top) * down[:, None]  # (N, C, size, size)


def _taps_tf1(length: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Per output position: lower source index, upper source index, weight of the upper one."""
    scale = torch.tensor(length, dtype=torch.float32) / size  # float32, as in the original kernel
    position = torch.arange(size, dtype=torch.float32) * scale
    lower = position.long()
    return lower, (lower + 1).clamp(max=length - 1), position - lower
