"""How the blocks of a network are run: kept, made again for the gradients, or compiled."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

Maps = TypeVar("Maps")
FORMS = 64  # of one function that may be compiled: a block of each size, both batch sizes


class Blockwise(nn.Module):
    """A network whose blocks are functions of tensors alone, noise included.

    With `recompute_blocks` no more is kept for the backward pass than what goes into a block, which
    is run a second time for its gradients: Chen et al., "Training Deep Nets with Sublinear Memory
    Cost" (arXiv:1604.06174), section 4. They are those of a network that keeps all, of any order.
    After `compile_blocks` a block is compiled where a network in training needs no gradient, as a
    generator that paints for its discriminator. In evaluation every block runs as it stands.
    """

    recompute_blocks: bool = False
    backend: str | None = None  # of torch.compile; None = blocks run as they stand
    compiled: dict[Callable[..., Any], Callable[..., Any]]  # so far

    def compile_blocks(self, backend: str) -> None:
        """Compile each block when it is first run so."""
        self.backend, self.compiled = backend, {}

    @property
    def recomputes(self) -> bool:
        """Whether this pass keeps no more than what goes into blocks."""
        return self.recompute_blocks and self.training and torch.is_grad_enabled()

    def through(self, block: Callable[..., Maps], *given: object) -> Maps:
        """What the block gives."""
        if self.recomputes:
            again: Maps = checkpoint(block, *given, use_reentrant=False, preserve_rng_state=False)
            return again
        if self.backend is None or not self.training or torch.is_grad_enabled():
            return block(*given)
        return self.through_compiled(block, self.backend, *given)

    def through_compiled(self, block: Callable[..., Maps], backend: str, *given: object) -> Maps:
        """The same, compiled; where that cannot be done one line says so, and nothing is."""
        try:
            if block not in self.compiled:
                torch._dynamo.config.recompile_limit = FORMS
                self.compiled[block] = torch.compile(block, backend=backend, dynamic=False)
            maps: Maps = self.compiled[block](*given)
        except (RuntimeError, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            print(f"note: trainer.compile={backend} is left out: {reason}", file=sys.stderr)
            self.backend = None
            return block(*given)
        return maps
