"""Layers made of several parts: what stands between two resolutions, and around a norm.

Karras, Laine, Aila: "A Style-Based Generator Architecture for Generative Adversarial Networks"
(arXiv:1812.04948), figure 1b and section 2.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ganlab.nn.equalized import EqualizedConv2d
from ganlab.nn.resample import Blur, downsample_average
from ganlab.nn.style import NoiseInjection, NoiseSource, StyleModulation


class StyleLayer(nn.Module):
    """Convolution, noise, bias, LeakyReLU 0.2, norm, style: one layer of neurons (figure 1b).

    Another norm swaps one object and nothing else.
    """

    def __init__(
        self,
        convolution: nn.Module,  # without bias, and with all else that stands before the noise
        channels: int,  # of the output
        size: int,  # H = W of the output
        norm: nn.Module,
        noise: bool,
        style_dim: int | None,  # None = without style
        noise_per: str = "pixel",  # what noise differs in: pixel or channel
    ) -> None:
        super().__init__()
        self.convolution = convolution
        self.noise = NoiseInjection(channels, size, noise_per) if noise else None
        self.bias = nn.Parameter(torch.zeros(channels))
        self.activation, self.norm = nn.LeakyReLU(0.2), norm
        self.style = StyleModulation(channels, style_dim) if style_dim else None

    def drawn(self, source: NoiseSource, n: int) -> Tensor | None:
        """Noise for n samples, if it takes any."""
        return None if self.noise is None else source(self.noise, n)

    def forward(self, x: Tensor, style: Tensor | None, noise: Tensor | None) -> Tensor:
        """(N, in, H', W'), (N, W) and what NoiseInjection takes -> (N, channels, H, W)."""
        x = self.convolution(x)
        if self.noise is not None:
            x = self.noise(x, noise)
        x = self.norm(self.activation(x + self.bias[:, None, None]))
        return x if self.style is None else self.style(x, style)


class StyleBlock(nn.ModuleList):
    """The layers of a resolution, each a `StyleLayer`."""

    def drawn(self, source: NoiseSource, n: int) -> list[Tensor | None]:
        """Noise of each layer for n samples."""
        return [layer.drawn(source, n) for layer in self if isinstance(layer, StyleLayer)]

    def forward(
        self, x: Tensor, styles: Sequence[Tensor | None], noises: Sequence[Tensor | None]
    ) -> Tensor:
        """(N, in, H', W'), for each layer (N, W) and its noise -> (N, channels, H, W)."""
        for layer, style, noise in zip(self, styles, noises, strict=True):
            x = layer(x, style, noise)
        return x


class Halving(nn.Module):
    """Blur, convolution, averaging, bias, LeakyReLU 0.2: half the size (section 2)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        blur: bool = True,  # filter before going down
    ) -> None:
        super().__init__()
        self.blur = Blur() if blur else nn.Identity()
        self.convolution = EqualizedConv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.activation = nn.LeakyReLU(0.2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H / 2, W / 2)."""
        x = downsample_average(self.convolution(self.blur(x)))
        maps: Tensor = self.activation(x + self.bias[:, None, None])
        return maps
