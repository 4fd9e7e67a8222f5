"""Equalized learning rate: every weight learns at the same speed, whatever its fan-in.

Karras et al. 2018 (arXiv:1710.10196), section 4.1: weights are drawn from N(0, 1) and multiplied at
run time by He's constant, gain / sqrt(fan_in). Adam, whose step does not depend on the scale of a
weight, then changes all of them by the same share of their dynamic range.

Karras et al. 2019 (arXiv:1812.04948), appendix C: `lr_multiplier` slows a layer down; weights are
stored 1 / lr_multiplier times as large and weights and biases are multiplied by it at run time, so
that the layer starts the same and a step of Adam moves it lr_multiplier times as far.
"""

from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class _Equalized(nn.Module):
    """Weight and bias with their run-time scales."""

    def __init__(
        self,
        shape: tuple[int, ...],  # of the weight, (out, in, ...)
        bias: bool,
        gain: float,
        lr_multiplier: float,
        bias_init: float,
    ) -> None:
        super().__init__()
        fan_in = torch.Size(shape[1:]).numel()
        self.weight = nn.Parameter(torch.randn(shape) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((shape[0],), bias_init / lr_multiplier))
        if not bias:
            self.register_parameter("bias", None)
        self.scale = gain / sqrt(fan_in) * lr_multiplier  # He et al. 2015, per layer
        self.lr_multiplier = lr_multiplier

    def scaled(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias as they act."""
        bias = None if self.bias is None else self.bias * self.lr_multiplier
        return self.weight * self.scale, bias

    def extra_repr(self) -> str:
        """Shape and scale, for a printed network."""
        return f"{tuple(self.weight.shape)}, scale={self.scale:.4g}"


class EqualizedLinear(_Equalized):
    """An affine map, (..., in_features) -> (..., out_features), with a run-time weight scale."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        gain: float = 2**0.5,  # He's constant is gain / sqrt(in_features); 1 before no rectifier
        lr_multiplier: float = 1.0,  # relative speed of learning
        bias_init: float = 0.0,  # the bias as it acts at the start
    ) -> None:
        super().__init__((out_features, in_features), bias, gain, lr_multiplier, bias_init)

    def forward(self, x: Tensor) -> Tensor:
        """Map the last dimension."""
        return F.linear(x, *self.scaled())


class EqualizedConv2d(_Equalized):
    """A convolution, (N, in_channels, H, W) -> (N, out_channels, H', W'), with a weight scale."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
        bias: bool = True,
        gain: float = 2**0.5,  # He's constant is gain / sqrt(in_channels * its pixels)
        lr_multiplier: float = 1.0,  # relative speed of learning
    ) -> None:
        height, width = (kernel_size,) * 2 if isinstance(kernel_size, int) else kernel_size
        super().__init__((out_channels, in_channels, height, width), bias, gain, lr_multiplier, 0.0)
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        return F.conv2d(x, *self.scaled(), stride=self.stride, padding=self.padding)
