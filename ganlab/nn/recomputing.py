"""Maps made again in the backward pass instead of being kept: less memory for more time.

Chen et al.: "Training Deep Nets with Sublinear Memory Cost" (arXiv:1604.06174), section 4; known as
gradient checkpointing.
"""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

Maps = TypeVar("Maps")


class Recomputing(nn.Module):
    """A network that may keep for the backward pass no more than what goes into its blocks.

    A block is run a second time for its gradients, so it must be a function of what it is given:
    noise is drawn once (`modulation.noise_source`). Gradients of any order are those of a network
    that keeps all. Without gradients, and in evaluation, every block runs once.
    """

    recompute_blocks: bool = False

    @property
    def recomputes(self) -> bool:
        """Whether this pass keeps no more."""
        return self.recompute_blocks and self.training and torch.is_grad_enabled()

    def through(self, block: Callable[..., Maps], *given: object) -> Maps:
        """What the block gives."""
        if not self.recomputes:
            return block(*given)
        again: Maps = checkpoint(block, *given, use_reentrant=False, preserve_rng_state=False)
        return again
