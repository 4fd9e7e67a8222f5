"""Minibatch standard deviation: what D can know about the variety of a batch."""

import torch
from torch import Tensor, nn

from ganlab.nn.precision import to_single


class MinibatchStd(nn.Module):
    """Appends channels that say how much the samples of a group differ.

    Karras et al. 2018 (arXiv:1710.10196), section 3: the standard deviation of each feature at each
    position over a group, averaged over features and positions to one number and repeated as a
    constant map. With several maps the features are split evenly among them. Sample i belongs to
    group i mod (N / G): the group index is the slow axis of [G, N / G], so ranks with strided
    shares see the groups of one process, if their shares hold whole groups. Where G does not divide
    the batch, or a rank's share of it, the largest smaller divisor is taken.

    Raises:
        ValueError: a count below 1.
    """

    def __init__(
        self,
        group_size: int = 4,  # G, samples compared with each other; at most the batch
        num_features: int = 1,  # maps appended
    ) -> None:
        super().__init__()
        if min(group_size, num_features) < 1:
            raise ValueError("model.discriminator: group_size and num_features must be at least 1")
        self.group_size, self.num_features = group_size, num_features

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C + num_features, H, W)."""
        N, _, H, W = x.shape
        G = next(size for size in range(min(self.group_size, N), 0, -1) if N % size == 0)
        groups = to_single(x).reshape(
            G, N // G, self.num_features, -1, H, W
        )  # (G, N/G, F, C/F, H, W)
        # the eps of the authors' code: the root's slope is finite where a group agrees
        std = (groups.var(dim=0, correction=0) + 1e-8).sqrt()  # (N/G, F, C/F, H, W)
        maps = std.mean(dim=(2, 3, 4))[:, :, None, None].repeat(G, 1, H, W)  # (N, F, H, W)
        return torch.cat([x, maps.to(x.dtype)], dim=1)
