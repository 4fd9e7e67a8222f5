"""Filters that keep a sampled signal free of aliasing, and a nonlinearity between two of them.

Karras et al. 2021 (arXiv:2106.12423), sections 2 and 3.2, appendix C. Frequencies are cycles over a
canvas of side 1, rates are samples along it; around the canvas lies a margin.
"""

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, pad

from ganlab.nn.modulation import ScaledLeakyReLU


@dataclass(frozen=True)
class Signal:
    """What flows between two layers: its spectrum, and the grid that it is sampled on."""

    cutoff: float  # f_c, cycles over the canvas that pass
    stopband: float  # f_t, from where on nothing is to pass
    rate: int  # s, samples along the canvas
    size: int  # samples along a side, margins included

    @property
    def half_width(self) -> float:
        """f_h, half the width of the filter's transition (section 3.2)."""
        return max(self.stopband, self.rate / 2) - self.cutoff


@dataclass(frozen=True)
class Filters:
    """How signals are filtered around a nonlinearity."""

    taps: int = 6  # n, a filter's length in samples of the coarser of its two grids
    upsampling: int = 2  # m, of the nonlinearity's grid over the finer grid around it
    radial: bool = False  # down-sampling filters that are round, as rotations want (config R)


def kaiser_window(taps: int, half_width: float, rate: float) -> Tensor:
    """The window whose filter falls within twice `half_width`, (taps,) in float64.

    Appendix C: attenuation A = 2.285 (taps - 1) pi df + 7.95 for a transition of df times half the
    rate, and the window's beta by A (Kaiser 1974).
    """
    attenuation = 2.285 * (taps - 1) * pi * (2 * half_width / (rate / 2)) + 7.95
    beta = 0.0
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    elif attenuation > 21:
        beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    return torch.kaiser_window(taps, periodic=False, beta=beta, dtype=torch.float64)


def lowpass(taps: int, cutoff: float, half_width: float, rate: float) -> Tensor:
    """The windowed sinc, (taps,) with sum 1: appendix C, for rows and columns apart."""
    x = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / rate
    line = torch.sinc(2 * cutoff * x) * kaiser_window(taps, half_width, rate)
    return (line / line.sum()).float()


def radial_lowpass(taps: int, cutoff: float, half_width: float, rate: float) -> Tensor:
    """The windowed jinc, (taps, taps) with sum 1; an even number of taps has none at the centre.

    Appendix C: the ideal filter that is round, J_1(2 pi f_c r) / r, under the same window.
    """
    x = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / rate
    r = torch.hypot(x[:, None], x[None, :])
    window = kaiser_window(taps, half_width, rate)
    plane: Tensor = torch.special.bessel_j1(2 * pi * cutoff * r) / r * torch.outer(window, window)
    return (plane / plane.sum()).float()


def zoom_in(x: Tensor, taps: Tensor, factor: int, padding: tuple[int, int]) -> Tensor:
    """Zeros between the samples, padding, a symmetric separable filter that keeps the mean.

    (N, C, H, W) -> (N, C, H', W'), H' = factor H + before + after - len(taps) + 1.
    """
    C, T = x.shape[1], len(taps)
    line = (factor * taps).to(x)  # factor - 1 of factor samples are zeros
    x = conv_transpose2d(x, line.view(1, 1, T, 1).expand(C, 1, T, 1), None, (factor, 1), groups=C)
    x = conv_transpose2d(x, line.view(1, 1, 1, T).expand(C, 1, 1, T), None, (1, factor), groups=C)
    before, after = padding[0] - (T - 1), padding[1] - (T - factor)
    return pad(x, (before, after, before, after))


def zoom_out(x: Tensor, taps: Tensor, factor: int) -> Tensor:
    """A symmetric filter, separable or (T, T), of which every factor-th sample is kept.

    (N, C, H, W) -> (N, C, (H - T) // factor + 1, ...).
    """
    C, T = x.shape[1], len(taps)
    kernel = taps.to(x)
    if taps.ndim == 2:
        return conv2d(x, kernel.expand(C, 1, T, T), stride=factor, groups=C)
    x = conv2d(x, kernel.view(1, 1, T, 1).expand(C, 1, T, 1), stride=(factor, 1), groups=C)
    return conv2d(x, kernel.view(1, 1, 1, T).expand(C, 1, 1, T), stride=(1, factor), groups=C)


class FilteredLeakyReLU(nn.Module):
    """The nonlinearity on a finer grid, between two low-pass filters: section 3.2, figure 4a.

    Corners of the LeakyReLU are new frequencies without end; the second filter removes what the
    output's grid cannot hold. Padding or cropping brings the output to its size.
    """

    up_filter: Tensor  # (T,)
    down_filter: Tensor  # (T,) or (T, T)

    def __init__(
        self,
        incoming: Signal,
        outgoing: Signal,
        incoming_size: int,  # samples along a side of what arrives, after the convolution
        filters: Filters,
        critical: bool,  # the output uses its whole spectrum: a round filter would cut the corners
        clamp: float | None,
    ) -> None:
        super().__init__()
        self.size, rate = outgoing.size, max(incoming.rate, outgoing.rate) * filters.upsampling
        self.up, self.down = rate // incoming.rate, rate // outgoing.rate
        up_taps = filters.taps * self.up if self.up > 1 else 1
        down_taps = filters.taps * self.down if self.down > 1 else 1
        design = radial_lowpass if filters.radial and not critical else lowpass
        up = lowpass(up_taps, incoming.cutoff, incoming.half_width, rate)
        down = design(down_taps, outgoing.cutoff, outgoing.half_width, rate)
        self.register_buffer("up_filter", up, persistent=False)
        self.register_buffer("down_filter", down, persistent=False)
        # what both filters consume, around (size - 1) * down + 1 samples; the finer grid is centred
        needed = (outgoing.size - 1) * self.down + 1 + up_taps + down_taps - 2
        total = needed - incoming_size * self.up
        self.padding = (total + self.up) // 2, total - (total + self.up) // 2
        self.nonlinearity = ScaledLeakyReLU(clamp=clamp)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, incoming_size, incoming_size) -> (N, C, outgoing.size, outgoing.size)."""
        x = self.nonlinearity(zoom_in(x, self.up_filter, self.up, self.padding))
        return zoom_out(x, self.down_filter, self.down)
