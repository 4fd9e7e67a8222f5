"""Latents and labels to styles, as the style-based generators since StyleGAN2 map them.

Karras et al. 2020 (arXiv:1912.04958); labels as in Karras et al. 2020 (arXiv:2006.06676).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from ganlab.nn.equalized import EqualizedLinear
from ganlab.nn.modulation import ScaledLeakyReLU
from ganlab.nn.norm import PixelNorm
from ganlab.nn.precision import in_single


class JointMapping(nn.Module):
    """Latents and labels to styles: each normalized, joined, then fully connected layers.

    `label_norm="together"` is how the authors' first code for conditional networks has it: a label
    is one row of a matrix, and latent and row are normalized as one vector.
    """

    def __init__(
        self,
        latent_dim: int,  # 0 = labels alone
        style_dim: int,
        num_layers: int = 8,
        num_labels: int = 0,  # 0 = latents alone
        lr_multiplier: float = 0.01,
        embed_dim: int | None = None,  # width of a label's embedding; None = style_dim
        hidden_dim: int | None = None,  # width between layers; None = style_dim
        label_norm: str = "apart",  # latent and embedding are normalized "apart" or "together"
    ) -> None:
        super().__init__()
        embed_dim = style_dim if embed_dim is None else embed_dim
        widths = [latent_dim + (embed_dim if num_labels else 0), style_dim]
        widths[1:1] = [style_dim if hidden_dim is None else hidden_dim] * (num_layers - 1)
        self.label_norm = label_norm
        self.embed: nn.Module | None = None
        if num_labels and label_norm == "together":
            self.embed = nn.Linear(num_labels, embed_dim, bias=False)
            nn.init.normal_(self.embed.weight)
        elif num_labels:
            self.embed = EqualizedLinear(num_labels, embed_dim, gain=1.0)
        self.affines = nn.ModuleList(
            EqualizedLinear(*pair, gain=1.0, lr_multiplier=lr_multiplier)
            for pair in list(pairwise(widths))[:num_layers]
        )
        self.normalize, self.activation = PixelNorm(), ScaledLeakyReLU()

    def forward(self, latents: Tensor | None, labels: Tensor | None) -> Tensor:
        """(N, latent_dim) and (N, num_labels), None where there are none -> (N, style_dim).

        In single precision.
        """
        return in_single(self.styles, latents, labels)

    def styles(self, latents: Tensor | None, labels: Tensor | None) -> Tensor:
        """The same in the precision around it."""
        parts = [] if latents is None else [latents]
        if self.embed is not None:
            parts.append(self.embed(labels))
        if self.label_norm == "together":
            x: Tensor = self.normalize(torch.cat(parts, dim=1))
        else:
            x = torch.cat([self.normalize(part) for part in parts], dim=1)
        for affine in self.affines:
            x = self.activation(affine(x))
        return x
