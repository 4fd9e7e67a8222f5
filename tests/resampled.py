"""Resampling as its definition has it, for tests of faster ways."""

import torch
from torch import Tensor
from torch.nn import functional as F


def plain_resample(x: Tensor, taps: Tensor, up: int, down: int, padding: tuple[int, int]) -> Tensor:
    """Zeros inserted, padded, convolved and decimated, one step after the other."""
    N, C, H, W = x.shape
    spread = torch.zeros(N, C, H * up, W * up)
    spread[:, :, ::up, ::up] = x
    spread = F.pad(spread, (*padding, *padding))
    plane = torch.outer(taps, taps) if taps.ndim == 1 else taps
    maps = spread.reshape(N * C, 1, *spread.shape[2:])
    out = F.conv2d(maps, plane.flip(0, 1)[None, None])[:, :, ::down, ::down]
    return out.view(N, C, *out.shape[2:])
