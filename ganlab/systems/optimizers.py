"""Optimizers that the training step needs and torch does not have ready-made."""

from collections.abc import Iterable, Sequence

from torch import Tensor
from torch.optim import Adam


def lazy_adam(
    parameters: Iterable[Tensor],
    lr: float,  # of a step without lazy regularization
    betas: Sequence[float],  # likewise
    interval: int,  # k: the regularizer has a step of its own after every k; 1 = it is in the loss
    eps: float = 1e-8,
) -> Adam:
    """Adam for k + 1 steps where there were k: lr c and betas ** c with c = k / (k + 1).

    Karras et al. 2020 (arXiv:1912.04958), appendix B: so that k ordinary steps and the one of the
    regularizer, k times as strong, weigh what k steps on both together would.

    Raises:
        ValueError: an interval below 1.
    """
    if interval < 1:
        raise ValueError(
            f"generator_optimizer / discriminator_optimizer: interval must be at least 1, "
            f"got {interval}"
        )
    share = interval / (interval + 1) if interval > 1 else 1.0
    beta1, beta2 = betas
    return Adam(parameters, lr=lr * share, betas=(beta1**share, beta2**share), eps=eps)
