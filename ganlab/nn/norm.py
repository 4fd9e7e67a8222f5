"""Normalizations of feature maps that a generator can swap; none has an affine of its own.

Instance (IN), pixel (PN) and pixel-instance (PIN) normalization are eqs. 3 to 7 of Tan, Wen, Yang:
"Systematic Analysis and Removal of Circular Artifacts for StyleGAN". All are built as
`norm(channels)` and look at one sample at a time, so that an image does not depend on its batch.
"""

import torch
from torch import Tensor, nn


def pixel_norm(x: Tensor, eps: float = 1e-8) -> Tensor:
    """Divide by the root mean square over channels, at each position: (N, C, ...) -> same.

    Tan et al., eq. 3; Karras et al. 2018 (arXiv:1710.10196), section 4.2.
    """
    return x * (x.square().mean(dim=1, keepdim=True) + eps).rsqrt()


def instance_norm(x: Tensor, eps: float = 1e-8) -> Tensor:
    """Standardize each channel over space: (N, C, H, W) -> same.

    Tan et al., eqs. 4 to 6: the biased variance, eps inside the root.
    """
    centred = x - x.mean(dim=(2, 3), keepdim=True)
    return centred * (centred.square().mean(dim=(2, 3), keepdim=True) + eps).rsqrt()


class PixelNorm(nn.Module):
    """Unit root mean square over channels at each pixel; of vectors (N, C), too.

    A peak in one channel comes out at most at sqrt(C), however small; one that all channels share
    comes out at about 1.
    """

    def __init__(
        self,
        channels: int | None = None,  # of the input; any
        eps: float = 1e-8,  # added to the mean square
    ) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) -> same."""
        return pixel_norm(x, self.eps)


class InstanceNorm(nn.Module):
    """Zero mean and unit variance of each channel over space.

    A peak on a share alpha of the pixels comes out at about sqrt((1 - alpha) / alpha) (eq. 2).
    """

    def __init__(
        self,
        channels: int | None = None,  # of the input; any
        eps: float = 1e-8,  # added to the variance
    ) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> same."""
        return instance_norm(x, self.eps)


class Projected(nn.Module):
    """A module with parameters that stay in a set: whoever trains it projects after each update."""

    def project_(self) -> None:
        """Move the parameters, in place, to the nearest that are allowed."""
        raise NotImplementedError


class PixelInstanceNorm(Projected):
    """rho PN(x) + (1 - rho) IN(x), with one trainable rho per channel (eq. 7).

    `rho` starts at 0, pure IN, and is projected to [0, 1].
    """

    def __init__(
        self,
        channels: int,  # of the input
        eps: float = 1e-8,  # of both
    ) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> same."""
        rho = self.rho[:, None, None]  # (C, 1, 1)
        return rho * pixel_norm(x, self.eps) + (1 - rho) * instance_norm(x, self.eps)

    @torch.no_grad()
    def project_(self) -> None:
        """Clip rho to [0, 1]."""
        self.rho.clamp_(0, 1)


class SwitchableNorm(nn.Module):
    """Learns whose mean and whose variance to take: instance's, layer's or pixel's.

    Luo et al.: "Switchable Normalization for Learning-to-Normalize Deep Representation"
    (arXiv:1907.10473), eq. 3, with PN in the place of batch normalization, whose statistics would
    make an image depend on its batch. Weights are softmax over the three, separate for means and
    variances, one set a layer. PN subtracts nothing: its mean is 0, its variance the mean square.
    """

    STATISTICS = ("instance", "layer", "pixel")

    def __init__(
        self,
        channels: int | None = None,  # of the input; any
        eps: float = 1e-8,  # added to the variance
    ) -> None:
        super().__init__()
        self.mean_logits = nn.Parameter(torch.zeros(len(self.STATISTICS)))  # equal shares at first
        self.variance_logits = nn.Parameter(torch.zeros(len(self.STATISTICS)))
        self.eps = eps

    def weights(self) -> tuple[Tensor, Tensor]:
        """Shares of the three statistics in the mean and in the variance, (3,) each, sum 1."""
        return self.mean_logits.softmax(dim=0), self.variance_logits.softmax(dim=0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> same."""
        of_mean, of_variance = self.weights()
        mean = x.mean(dim=(2, 3), keepdim=True)  # (N, C, 1, 1)
        square = x.square()
        energy = square.mean(dim=(2, 3), keepdim=True)  # (N, C, 1, 1)
        layer_mean = mean.mean(dim=1, keepdim=True)  # (N, 1, 1, 1)
        instance = (x - mean).square().mean(dim=(2, 3), keepdim=True)
        layer = (energy.mean(dim=1, keepdim=True) - layer_mean.square()).clamp(min=0)
        pixel = square.mean(dim=1, keepdim=True)  # (N, 1, H, W)
        centre = of_mean[0] * mean + of_mean[1] * layer_mean
        variance = of_variance[0] * instance + of_variance[1] * layer + of_variance[2] * pixel
        return (x - centre) * (variance + self.eps).rsqrt()


class NoNorm(nn.Module):
    """The identity, where a normalization could stand."""

    def __init__(
        self,
        channels: int | None = None,  # of the input; any
    ) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x
