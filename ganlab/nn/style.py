"""The parts of a style-based generator, and what can be done to styles.

Karras, Laine, Aila: "A Style-Based Generator Architecture for Generative Adversarial Networks"
(arXiv:1812.04948). A style is one (W,) vector a layer; a generator's are (N, L, W).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ganlab.nn.equalized import EqualizedLinear
from ganlab.nn.norm import PixelNorm
from ganlab.nn.precision import in_single

# (layer, N) -> its noise, (N, 1, H, W) or (H, W), or none; see `modulation.noise_source`
NoiseSource = Callable[[Any, int], Tensor | None]

BANDS = {"coarse": (0, 8), "middle": (16, 32), "fine": (64, 2**20)}  # px, both included


def check_mapping(network: str, lr_multiplier: float, **sizes: int) -> None:
    """Refuse a mapping network that could not be built.

    Raises:
        ValueError: a size below 1 or a speed that is not above 0; names the key of `network`.
    """
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"model.{network}.{name} must be at least 1, got {size}")
    if not lr_multiplier > 0:
        raise ValueError(
            f"model.{network}.mapping_lr_multiplier must be above 0, got {lr_multiplier}"
        )


class Mapping(nn.Module):
    """Latents to styles: normalized, then fully connected layers with LeakyReLU 0.2.

    Karras et al. 2019, section 2 and appendix C: 8 layers that learn a hundred times slower than
    the rest. Without layers a style is the normalized latent itself. A class is a row of a learned
    matrix, beside the latent and normalized together with it.

    Raises:
        ValueError: a negative number of layers; none, and styles of another width than latents; a
            width below 1 or a speed that is not above 0; names the keys of `model.generator`.
    """

    def __init__(
        self,
        latent_dim: int,
        style_dim: int,
        num_layers: int = 8,  # 0 = without
        lr_multiplier: float = 0.01,  # relative speed of learning
        hidden_dim: int | None = None,  # width between layers; None = style_dim
        num_labels: int = 0,  # 0 = latents alone
    ) -> None:
        super().__init__()
        check_mapping("generator", lr_multiplier, latent_dim=latent_dim, style_dim=style_dim)
        if num_layers < 0:
            raise ValueError(f"model.generator.mapping_layers must be at least 0, got {num_layers}")
        incoming = latent_dim * (2 if num_labels else 1)
        if num_layers == 0 and incoming != style_dim:
            raise ValueError(
                f"model.generator.mapping_layers=0 makes styles of latents: style_dim={style_dim} "
                f"must equal latent_dim={latent_dim}, and num_labels be 0"
            )
        self.embed = nn.Linear(num_labels, latent_dim, bias=False) if num_labels else None
        if self.embed is not None:
            nn.init.normal_(self.embed.weight)
        widths = [incoming, *[hidden_dim or style_dim] * (num_layers - 1), style_dim]
        self.normalize = PixelNorm()
        self.layers = nn.Sequential()
        for i in range(num_layers):
            linear = EqualizedLinear(widths[i], widths[i + 1], lr_multiplier=lr_multiplier)
            self.layers.extend([linear, nn.LeakyReLU(0.2)])

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, latent_dim) and (N, num_labels), if there are any -> (N, style_dim).

        In single precision.
        """
        return in_single(self.styles, latents, labels)

    def styles(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """The same in the precision around it."""
        if self.embed is not None:
            latents = torch.cat([latents, self.embed(labels)], dim=1)
        styles: Tensor = self.layers(self.normalize(latents))
        return styles


class StyleModulation(nn.Module):
    """A style scales and shifts each channel: x (s + 1) + b, with s and b affine in the style.

    Karras et al. 2019, eq. 1 without its normalization. The scale starts around 1.
    """

    def __init__(
        self,
        channels: int,  # of the maps
        style_dim: int,
    ) -> None:
        super().__init__()
        self.affine = EqualizedLinear(style_dim, 2 * channels, gain=1.0)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(N, C, H, W), (N, style_dim) -> (N, C, H, W)."""
        affine: Tensor = self.affine(style)[:, :, None, None]
        scale, shift = affine.chunk(2, dim=1)  # (N, C, 1, 1) each
        return x * (scale + 1) + shift


class NoiseInjection(nn.Module):
    """Adds one plane of noise a sample, with a learned strength per channel that starts at 0.

    Karras et al. 2019, section 2. `noise_const` is the layer's plane where noise is to be constant.
    Turned round, `per="channel"` adds one number a channel, with a learned strength per pixel.

    Raises:
        ValueError: another `per`; names the key of `model.generator`.
    """

    noise_const: Tensor  # (size, size), or (channels, 1, 1)

    def __init__(
        self,
        channels: int,  # of the maps
        size: int,  # H = W of the maps
        per: str = "pixel",  # what noise differs in: pixel or channel
    ) -> None:
        super().__init__()
        if per not in ("pixel", "channel"):
            raise ValueError(f"model.generator.noise_per must be pixel or channel, got {per!r}")
        pixels = per == "pixel"
        self.noise_shape = (1, size, size) if pixels else (channels, 1, 1)
        self.strength = nn.Parameter(torch.zeros(channels if pixels else (size, size)))
        self.strength_shape = (channels, 1, 1) if pixels else (size, size)
        const = torch.randn(size, size) if pixels else torch.randn(channels, 1, 1)
        self.register_buffer("noise_const", const)

    def forward(self, x: Tensor, noise: Tensor | None) -> Tensor:
        """(N, C, H, W) -> same, with noise of `noise_shape`, (N, ...) or one for all, or none."""
        return x if noise is None else x + self.strength.view(self.strength_shape) * noise


def layer_rows(styles: Tensor) -> list[Tensor]:
    """(N, L, W) -> L times (N, W), each in memory of its own.

    However styles came about, one expanded over layers or as many as layers, equal ones then give
    equal images to the bit: on some processors matrix products round by where their rows lie.
    """
    return [row.clone(memory_format=torch.contiguous_format) for row in styles.unbind(1)]


def truncate(
    styles: Tensor,  # (N, L, W)
    mean: Tensor,  # (W,) or (L, W), a generator's mean_style
    psi: float,  # 1.0 = as they are, 0.0 = the mean for all
    cutoff: int | None = None,  # layers truncated, from the coarsest on; None = all
) -> Tensor:
    """Styles drawn towards their mean, (N, L, W): less variety, fewer failures.

    Karras et al. 2019, appendix B: w' = mean + psi (w - mean).
    """
    drawn = torch.lerp(mean.to(styles).expand_as(styles), styles, psi)
    layer = torch.arange(styles.shape[1], device=styles.device)[:, None]  # (L, 1)
    return torch.where(layer < (styles.shape[1] if cutoff is None else cutoff), drawn, styles)


def mix(
    styles_a: Tensor,  # (N, L, W)
    styles_b: Tensor,  # (N, L, W)
    crossover: int | Tensor,  # first layer of b, one for all or (N,): 0 = b alone, L = a alone
) -> Tensor:
    """Styles of `a` up to the crossover, of `b` from there on: (N, L, W).

    Karras et al. 2019, section 3.1, where a random crossover regularizes training.
    """
    layer = torch.arange(styles_a.shape[1], device=styles_a.device)  # (L,)
    first = torch.as_tensor(crossover, device=styles_a.device).reshape(-1, 1)  # (N or 1, 1)
    return torch.where((layer >= first)[:, :, None], styles_b, styles_a)


def copy_styles(
    source: Tensor,  # (N, L, W)
    target: Tensor,  # (N, L, W)
    layers: Iterable[int],  # whose styles are the source's
) -> Tensor:
    """The target's styles, but in some layers the source's: (N, L, W).

    Karras et al. 2019, figure 3: `layers` is one of the `bands`, coarse, middle or fine.
    """
    chosen = torch.zeros(target.shape[1], dtype=torch.bool, device=target.device)
    chosen[list(layers)] = True
    return torch.where(chosen[:, None], source, target)


def bands(
    sizes: Sequence[int],  # px of the map that each style acts on, a generator's style_sizes
) -> dict[str, list[int]]:
    """Layers by what their styles decide: coarse (to 8 px), middle (16 and 32 px), fine (from 64).

    Karras et al. 2019, figure 3. At small resolutions a band can be empty.
    """
    return {
        name: [layer for layer, size in enumerate(sizes) if low <= size <= high]
        for name, (low, high) in BANDS.items()
    }
