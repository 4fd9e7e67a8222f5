"""Changing the resolution of feature maps: FIR filters, nearest neighbour, average.

Everything is made of native operations, so that any number of derivatives exists. Filters are true
convolutions with zero padding. A kernel is two-dimensional with sum 1; what it takes to keep the
mean of a map that zeros were put into is multiplied where the zeros are.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import avg_pool2d, conv2d, conv_transpose2d, interpolate, pad


def fir_kernel(taps: Sequence[float]) -> Tensor:
    """The separable filter of these taps, (T, T), with sum 1; [1, 3, 3, 1] is Karras et al. 2020's.

    Raises:
        ValueError: no taps, or taps that sum to zero.
    """
    if not taps or sum(taps) == 0:
        raise ValueError(f"filter taps must be at least one number and not sum to 0, got {taps}")
    line = torch.tensor([tap / sum(taps) for tap in taps], dtype=torch.float32)
    return torch.outer(line, line)


class Filter(Function):
    """Correlate every channel with one constant kernel and keep every stride-th pixel.

    As `conv2d` does, whose second derivative also computes those of the kernel, a channel at a
    time, which R1 and path length pay for (`benchmarks/kernels.py`).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, stride: int) -> Tensor:
        """(N, C, H, W), (T, T) -> (N, C, (H - T) // stride + 1, ...)."""
        ctx.save_for_backward(kernel)
        ctx.stride, ctx.size = stride, x.shape[2:]
        return conv2d(x, depthwise(kernel, x), stride=stride, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """The adjoint, which can be differentiated again."""
        (kernel,) = ctx.saved_tensors
        return Spread.apply(gradient, kernel, ctx.stride, ctx.size), None, None


class Spread(Function):
    """Adjoint of `Filter`: every pixel paints the kernel, `stride` pixels apart."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, stride: int, size: torch.Size) -> Tensor:
        """(N, C, H, W), (T, T) -> (N, C, *size); what `Filter` cut off at the end is 0."""
        ctx.save_for_backward(kernel)
        ctx.stride, taps = stride, kernel.shape[-1]
        rest = [
            full - (side - 1) * stride - taps for full, side in zip(size, x.shape[2:], strict=True)
        ]
        weight = depthwise(kernel, x)
        return conv_transpose2d(x, weight, None, stride, 0, rest, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """`Filter` again."""
        (kernel,) = ctx.saved_tensors
        return Filter.apply(gradient, kernel, ctx.stride), None, None, None


def depthwise(kernel: Tensor, x: Tensor) -> Tensor:
    """The same kernel for each channel of x, (C, 1, T, T)."""
    return kernel.to(x).expand(x.shape[1], 1, -1, -1)


def upfirdn(
    x: Tensor,  # (N, C, H, W)
    kernel: Tensor,  # (T, T), the same for every channel
    up: int = 1,  # up - 1 zeros follow each pixel
    down: int = 1,  # every down-th pixel is kept, from the first on
    padding: tuple[int, int] = (0, 0),  # pixels before and after, in rows and columns alike
) -> Tensor:
    """Insert zeros, pad, convolve, decimate: (N, C, H', W'), each channel by itself.

    H' = (H * up + before + after - T) // down + 1; negative padding crops.
    """
    taps, (before, after) = kernel.shape[-1], padding
    if up == 1:
        x = pad(x, (before, after, before, after))
        filtered: Tensor = Filter.apply(x, kernel.flip(0, 1), down)
        return filtered
    size = torch.Size((side - 1) * up + taps for side in x.shape[2:])  # no padding would crop more
    x = Spread.apply(x, kernel, up, size)
    before, after = before - (taps - 1), after - (taps - up)
    return pad(x, (before, after, before, after))[:, :, ::down, ::down]


def upsample2x(x: Tensor, kernel: Tensor) -> Tensor:
    """Twice the size through the filter: (N, C, H, W) -> (N, C, 2H, 2W), the mean kept."""
    taps = kernel.shape[-1]
    return upfirdn(x, 4 * kernel, up=2, padding=((taps + 1) // 2, (taps - 2) // 2))


def downsample2x(x: Tensor, kernel: Tensor) -> Tensor:
    """Half the size, rounded down, through the filter: (N, C, H, W) -> (N, C, H // 2, W // 2)."""
    taps = kernel.shape[-1]
    return upfirdn(x, kernel, down=2, padding=((taps - 1) // 2, (taps - 2) // 2))


def upsample_nearest(x: Tensor, factor: int = 2) -> Tensor:
    """Repeat every pixel in rows and columns: (N, C, H, W) -> (N, C, factor * H, factor * W)."""
    return x if factor == 1 else interpolate(x, scale_factor=factor, mode="nearest")


def downsample_average(x: Tensor, factor: int = 2) -> Tensor:
    """Average squares of pixels: (N, C, H, W) -> (N, C, H // factor, W // factor).

    Rows and columns at the end that fill no square are left out.
    """
    return x if factor == 1 else avg_pool2d(x, factor)


class Blur(nn.Module):
    """Low-pass filter that keeps the size: [1, 2, 1] after up- or before down-sampling.

    Karras et al. 2019 (arXiv:1812.04948), section 2. The kernel follows the module's device and
    is rebuilt from the taps, never loaded.
    """

    kernel: Tensor

    def __init__(
        self,
        taps: Sequence[float] = (1, 2, 1),  # normalized to sum 1
    ) -> None:
        super().__init__()
        self.register_buffer("kernel", fir_kernel(taps), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) of the same size; an even number of taps leans to the upper left."""
        taps = self.kernel.shape[-1]
        return upfirdn(x, self.kernel, padding=(taps // 2, (taps - 1) // 2))
