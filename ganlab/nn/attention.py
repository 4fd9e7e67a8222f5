"""Self-attention over the positions of a feature map.

Zhang, Goodfellow, Metaxas, Odena: "Self-Attention Generative Adversarial Networks"
(arXiv:1805.08318), section 3.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganlab.nn.spectral import spectral_norm


class SelfAttention(nn.Module):
    """Adds to each position what it gathers from all others, weighted by likeness.

    Begins as the identity: gamma is 0. As in the authors' code every second position in each
    direction is looked at, the strongest of its window, where the map is large enough.
    """

    def __init__(
        self,
        channels: int,  # C; queries and keys have C / 8, values C / 2
    ) -> None:
        super().__init__()
        narrow, half = max(1, channels // 8), max(1, channels // 2)
        self.query = spectral_norm(nn.Conv2d(channels, narrow, 1, bias=False))  # g
        self.key = spectral_norm(nn.Conv2d(channels, narrow, 1, bias=False))  # f
        self.value = spectral_norm(nn.Conv2d(channels, half, 1, bias=False))  # h
        self.out = spectral_norm(nn.Conv2d(half, channels, 1, bias=False))  # v
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> same."""
        step = 2 if min(x.shape[2:]) > 1 else 1
        query = self.query(x).flatten(2)  # (N, C / 8, H W)
        key = F.max_pool2d(self.key(x), step).flatten(2)  # (N, C / 8, K)
        value = F.max_pool2d(self.value(x), step).flatten(2)  # (N, C / 2, K)
        weights = (query.transpose(1, 2) @ key).softmax(dim=2)  # (N, H W, K), eq. 1
        gathered = (value @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])
        attended: Tensor = x + self.gamma * self.out(gathered)  # eqs. 2 and 3
        return attended
