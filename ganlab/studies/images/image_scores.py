"""The Inception Score image by image: which images does the extractor find sure and unusual?

The score of a set is exp(E_x KL(p(y|x) || p(y))) (Salimans et al. 2016, section 4); the summand of
one image ranks images, as in Heikka, section 4.2.2.
"""

import torch
from torch import Tensor


def image_scores(logits: Tensor, marginal: Tensor | None = None) -> Tensor:
    """KL(p(y|x) || p(y)) of each of (N, K) logits, (N,) float64, in nats.

    `marginal`, (K,) logarithms of p(y), is by default the mean over these images.
    """
    log_p = logits.double().log_softmax(1)  # (N, K)
    log_q = log_marginal(logits) if marginal is None else marginal.to(log_p)
    return (log_p.exp() * (log_p - log_q)).sum(1)


def log_marginal(logits: Tensor) -> Tensor:
    """log p(y), the mean of p(y|x) over (N, K) logits, (K,) float64."""
    log_p = logits.double().log_softmax(1)
    return log_p.logsumexp(0) - torch.tensor(float(len(logits)), dtype=torch.float64).log()


def best(scores: Tensor, num: int) -> list[int]:
    """Positions of the `num` highest of (N,) scores, the highest first, equals by position.

    Raises:
        ValueError: there are not so many.
    """
    if not 1 <= num <= len(scores):
        raise ValueError(f"{num} of {len(scores)} images cannot be selected")
    found: list[int] = scores.argsort(descending=True, stable=True)[:num].tolist()
    return found
