"""`model/norm=layer`, of `model=stylegan`."""

import torch
from torch import Tensor, nn


class LayerNorm(nn.Module):
    """Zero mean and unit variance of each image over channels and space (Ba et al. 2016, eq. 3)."""

    def __init__(
        self,
        channels: int | None = None,  # of the input; any
        eps: float = 1e-8,  # added to the variance
    ) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> same."""
        variance, mean = torch.var_mean(x, dim=(1, 2, 3), keepdim=True, correction=0)
        return (x - mean) * (variance + self.eps).rsqrt()
