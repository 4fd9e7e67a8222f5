"""Batch normalization whose gain and bias come from a class.

Class-conditional batch norm as in Zhang et al. (arXiv:1805.08318), section 4, with the one class
embedding that all layers share of Brock, Donahue, Simonyan (arXiv:1809.11096), section 3.1.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganlab.nn.spectral import spectral_norm


class ConditionalBatchNorm(nn.Module):
    """Standardizes each channel over batch and space, then scales and shifts it by the class.

    Batches of unlike kinds have unlike statistics, and a running average over all of them would
    fit none; so each kind of batch, a group, keeps running statistics of its own. In training a
    batch is of one group; in evaluation each sample is normalized by those of its group.
    """

    running_mean: Tensor  # (groups, C)
    running_var: Tensor  # (groups, C)

    def __init__(
        self,
        channels: int,  # C
        embedding_dim: int,  # E, of the class embedding
        num_groups: int = 1,
        momentum: float = 0.1,  # share of the newest batch in its group's running statistics
        eps: float = 1e-5,  # added to the variance
    ) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.gain = spectral_norm(nn.Linear(embedding_dim, channels, bias=False))
        self.bias = spectral_norm(nn.Linear(embedding_dim, channels, bias=False))
        self.register_buffer("running_mean", torch.zeros(num_groups, channels))
        self.register_buffer("running_var", torch.ones(num_groups, channels))

    def forward(
        self,
        x: Tensor,  # (N, C, H, W) or (N, C)
        embedding: Tensor,  # (N, E)
        group: Tensor,  # (N,) int64; in training the first one's counts
    ) -> Tensor:
        """(N, C, ...) -> same."""
        shape = (*x.shape[:2], *[1] * (x.ndim - 2))  # (N, C, 1, 1)
        gain, bias = 1 + self.gain(embedding), self.bias(embedding)  # (N, C)
        if self.training:
            return torch.addcmul(
                bias.view(shape), self.standardized(x, group[:1]), gain.view(shape)
            )
        scale = gain * (self.running_var[group] + self.eps).rsqrt()
        return torch.addcmul(
            (bias - self.running_mean[group] * scale).view(shape), x, scale.view(shape)
        )

    def standardized(self, x: Tensor, group: Tensor) -> Tensor:
        """`x` by its batch's own statistics, which join the running ones of (1,) `group`."""
        mean, var = self.running_mean[group][0], self.running_var[group][0]  # copies
        x = F.batch_norm(x, mean, var, training=True, momentum=self.momentum, eps=self.eps)
        with torch.no_grad():
            self.running_mean[group], self.running_var[group] = mean[None], var[None]
        return x
