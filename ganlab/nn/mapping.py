"""Latents and labels to styles, as the style-based generators since StyleGAN2 map them.

Karras et al. 2020 (arXiv:1912.04958); labels as in Karras et al. 2020 (arXiv:2006.06676).
"""

import torch
from torch import Tensor, nn

from ganlab.nn.equalized import EqualizedLinear
from ganlab.nn.modulation import ScaledLeakyReLU
from ganlab.nn.norm import PixelNorm


class JointMapping(nn.Module):
    """Latents and labels to styles: each normalized, joined, then fully connected layers."""

    def __init__(
        self,
        latent_dim: int,  # 0 = labels alone
        style_dim: int,
        num_layers: int = 8,
        num_labels: int = 0,  # 0 = latents alone
        lr_multiplier: float = 0.01,
    ) -> None:
        super().__init__()
        incoming = latent_dim + (style_dim if num_labels else 0)
        self.embed = EqualizedLinear(num_labels, style_dim, gain=1.0) if num_labels else None
        self.affines = nn.ModuleList(
            EqualizedLinear(width, style_dim, gain=1.0, lr_multiplier=lr_multiplier)
            for width in [incoming] + [style_dim] * (num_layers - 1)
        )
        self.normalize, self.activation = PixelNorm(), ScaledLeakyReLU()

    def forward(self, latents: Tensor | None, labels: Tensor | None) -> Tensor:
        """(N, latent_dim) and (N, num_labels), None where there are none -> (N, style_dim)."""
        parts = [] if latents is None else [self.normalize(latents)]
        if self.embed is not None:
            parts.append(self.normalize(self.embed(labels)))
        x = torch.cat(parts, dim=1)
        for affine in self.affines:
            x = self.activation(affine(x))
        return x
