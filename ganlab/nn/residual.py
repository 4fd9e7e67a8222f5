"""Residual blocks with spectral norm: up to an image by class, down from it to features.

Zhang et al. (arXiv:1805.08318), section 4, and the spectral norm of Miyato et al.
(arXiv:1802.05957). A place in a network is a vector, of size 0, or a square map, of size H = W.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from ganlab.nn.conditional import ConditionalBatchNorm
from ganlab.nn.spectral import spectral_norm


def layer(incoming: int, outgoing: int, size: int, kernel: int = 3) -> nn.Module:
    """A linear layer of unit spectral norm, without bias, of vectors or of maps of one size."""
    if not size:
        return spectral_norm(nn.Linear(incoming, outgoing, bias=False))
    return spectral_norm(nn.Conv2d(incoming, outgoing, kernel, padding=kernel // 2, bias=False))


def grow(x: Tensor, size: int) -> Tensor:
    """Vectors or maps as maps of this size, values repeated."""
    if not size or (x.ndim == 4 and x.shape[-1] == size):
        return x
    return F.interpolate(x if x.ndim == 4 else x[:, :, None, None], (size, size))


class ResidualUp(nn.Module):
    """Of a generator: twice class-conditional batch norm, ReLU and a layer.

    From vectors to vectors, from vectors to maps, or from maps to maps at least as large. A map
    grows by repeating its pixels before the first convolution.
    """

    def __init__(
        self,
        incoming: int,  # channels
        outgoing: int,
        size: int,  # of the place before, 0 = a vector
        new_size: int,  # of this place
        embedding_dim: int,
        num_groups: int,  # of statistics in the batch norms
    ) -> None:
        super().__init__()
        self.size, self.new_size = size, new_size
        self.norm0 = ConditionalBatchNorm(incoming, embedding_dim, num_groups)
        self.norm1 = ConditionalBatchNorm(outgoing, embedding_dim, num_groups)
        self.activation0, self.activation1 = nn.ReLU(), nn.ReLU()
        unfolded = outgoing * new_size**2 if new_size and not size else outgoing
        self.first, self.second = (
            layer(incoming, unfolded, size),
            layer(outgoing, outgoing, new_size),
        )
        self.skip = layer(incoming, outgoing, size, kernel=1)

    def forward(self, x: Tensor, embedding: Tensor, group: Tensor) -> Tensor:
        """(N, incoming, size, size) -> (N, outgoing, new_size, new_size), or without the sizes."""
        y = self.activation0(self.norm0(x, embedding, group))
        y = self.first(grow(y, self.new_size) if self.size else y)
        if self.new_size and not self.size:
            y = y.unflatten(1, (-1, self.new_size, self.new_size))
        y = self.second(self.activation1(self.norm1(y, embedding, group)))
        maps: Tensor = y + grow(self.skip(x), self.new_size)
        return maps


class ResidualDown(nn.Module):
    """Of a discriminator: ReLU, convolution, ReLU, convolution, averaging."""

    def __init__(
        self,
        incoming: int,
        outgoing: int,
        activated: bool = True,  # False at the image: no ReLU before the first convolution
        halve: bool = True,
    ) -> None:
        super().__init__()
        self.activated, self.halve = activated, halve
        self.first = spectral_norm(nn.Conv2d(incoming, outgoing, 3, padding=1))
        self.second = spectral_norm(nn.Conv2d(outgoing, outgoing, 3, padding=1))
        self.skip = spectral_norm(nn.Conv2d(incoming, outgoing, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, incoming, H, W) -> (N, outgoing, H / 2, W / 2), or the same size."""
        y = self.second(F.relu(self.first(F.relu(x) if self.activated else x)))
        if self.halve:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        maps: Tensor = y + self.skip(x)
        return maps
