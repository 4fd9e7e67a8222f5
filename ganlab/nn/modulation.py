"""Modulated convolution: a style scales the weights of a convolution, sample by sample.

Karras et al. 2020 (arXiv:1912.04958), section 2.2 and figure 2.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu

from ganlab.nn.equalized import EqualizedConv2d, EqualizedLinear
from ganlab.nn.precision import in_single
from ganlab.nn.resample import fir_kernel, upfirdn

Noise = Callable[["StyledConv", int], Tensor | None]  # layer, N -> (N, 1, H, W) or (H, W), or none
Noises = Sequence[Tensor | None]  # of each layer of a block
Normal = Callable[[torch.Size], Tensor]  # shape -> N(0, 1)

NOISES = ("random", "const", "none")


def demodulation(weight: Tensor, styles: Tensor, eps: float = 1e-8) -> Tensor:
    """What brings each sample's modulated filters to unit norm: (O, I, k, k), (N, I) -> (N, O).

    Eq. 3: 1 / sqrt(sum over i and k of (s_i w_oik)^2 + eps).
    """
    return in_single(partial(_demodulation, eps=eps), weight, styles)


def _demodulation(weight: Tensor, styles: Tensor, eps: float) -> Tensor:
    energy = styles.square() @ weight.square().sum(dim=(2, 3)).T  # (N, O)
    return (energy + eps).rsqrt()


def modulated_conv2d(
    x: Tensor,  # (N, I, H, W)
    weight: Tensor,  # (O, I, k, k), k odd
    styles: Tensor,  # (N, I), scale of each input map
    demodulate: bool = True,
    up_kernel: Tensor | None = None,  # FIR filter for doubling the size; None = keep it
    padding: int | None = None,  # zeros around x where it is not doubled; None = keep the size
) -> Tensor:
    """Convolve each sample with weights of its own, s_i w_oik: (N, O, H, W) or (N, O, 2H, 2W).

    Eqs. 1 and 3. A convolution is linear: to scale its inputs and, for demodulation, its outputs is
    to scale its weights, without one copy of them a sample.
    """
    y, k = x * styles[:, :, None, None], weight.shape[-1]
    if up_kernel is None:
        y = conv2d(y, weight, padding=k // 2 if padding is None else padding)
    else:
        y = conv_transpose2d(y, weight.transpose(0, 1), stride=2)  # (N, O, 2H + k - 2, 2W + k - 2)
        taps = up_kernel.shape[-1]
        crop = (taps + 1) // 2 - k // 2, taps // 2 - k // 2  # to (N, O, 2H, 2W), centred
        y = upfirdn(y, 4 * up_kernel, padding=crop)
    return y * demodulation(weight, styles)[:, :, None, None].to(y) if demodulate else y


class ScaledLeakyReLU(nn.Module):
    """LeakyReLU 0.2 times a gain; with sqrt(2) it about keeps the mean square of its input.

    The authors' code for Karras et al. 2020 has the gain here, not in the weights' scale.
    """

    def __init__(
        self,
        gain: float = 2**0.5,
        clamp: float | None = None,  # outputs are kept in [-clamp, clamp]; None = as they are
    ) -> None:
        super().__init__()
        self.gain, self.clamp = gain, clamp

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return clamp(leaky_relu(x, 0.2) * self.gain, self.clamp)


def clamp(x: Tensor, limit: float | None) -> Tensor:
    """The values within [-limit, limit]; all of them without a limit."""
    return x if limit is None else x.clamp(-limit, limit)


def check_clamp(network: str, clamp: float | None) -> None:
    """A ValueError, which names the key of `network`, of a limit that lets nothing through."""
    if clamp is not None and not clamp > 0:
        raise ValueError(f"model.{network}.clamp must be above 0, or null, got {clamp}")


def noise_source(
    noise: str,  # "random", "const" (each layer's own map) or "none"
    draw: Normal | None,  # of random noise; None = torch's global generator
) -> Noise:
    """What gives a layer its noise.

    Raises:
        ValueError: a kind of noise that there is not.
    """
    if noise not in NOISES:
        raise ValueError(f"noise must be one of {', '.join(NOISES)}, got {noise!r}")

    def source(layer: StyledConv, n: int) -> Tensor | None:
        if noise != "random":
            return layer.noise_const if noise == "const" else None
        shape = torch.Size((n, *layer.noise_shape))
        return draw(shape) if draw else torch.randn(shape, device=layer.noise_const.device)

    return source


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, activation: one layer of neurons (figure 2c)."""

    noise_const: Tensor  # (H, W)
    kernel: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        style_dim: int,
        size: tuple[int, int],  # H, W of the output
        up: bool,  # whether the input is half as large
        taps: Sequence[float],  # of the filter after going up
        clamp: float | None,
        noise: bool = True,  # whether it takes any
        gain: float = 1.0,  # of the output, and of the limit
    ) -> None:
        super().__init__()
        self.noise_shape, self.up, self.noise = (1, *size), up, noise
        self.affine = EqualizedLinear(style_dim, in_channels, gain=1.0, bias_init=1.0)
        self.conv = EqualizedConv2d(in_channels, out_channels, 3, bias=False, gain=1.0)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        if noise:
            self.noise_strength = nn.Parameter(torch.zeros(()))
        self.activation = ScaledLeakyReLU(sqrt(2) * gain, None if clamp is None else clamp * gain)
        if noise:
            self.register_buffer("noise_const", torch.randn(size))
        self.register_buffer("kernel", fir_kernel(taps), persistent=False)

    def drawn(self, noise: Noise, n: int) -> Tensor | None:
        """Noise for n samples, if it takes any."""
        return noise(self, n) if self.noise else None

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """(N, in, H', W'), (N, W), (N, 1, H, W) or (H, W) -> (N, out, H, W)."""
        (weight, _), up_kernel = self.conv.scaled(), self.kernel if self.up else None
        x = modulated_conv2d(x, weight, self.affine(style), up_kernel=up_kernel)
        if noise is not None:
            x = x + (self.noise_strength * noise).to(x)
        bias = self.bias[:, None, None].to(x)  # a single number of more bits would widen all maps
        maps: Tensor = self.activation(x + bias)  # noise comes before the bias
        return maps


class ToImage(nn.Module):
    """Modulated 1x1 convolution to image channels, without demodulation and noise."""

    def __init__(
        self, in_channels: int, channels: int, style_dim: int, clamp: float | None
    ) -> None:
        super().__init__()
        self.clamp = clamp
        self.affine = EqualizedLinear(style_dim, in_channels, gain=1.0, bias_init=1.0)
        self.conv = EqualizedConv2d(in_channels, channels, 1, bias=False, gain=1.0)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(N, in, H, W), (N, W) -> (N, channels, H, W), in single precision."""
        return in_single(self.image, x, style)

    def image(self, x: Tensor, style: Tensor) -> Tensor:
        """The same in the precision around it."""
        weight, _ = self.conv.scaled()
        x = modulated_conv2d(x, weight, self.affine(style), demodulate=False)
        return clamp(x + self.bias[:, None, None], self.clamp)
