"""Inception Score (Salimans et al. 2016, arXiv 1606.03498, section 4)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ganlab.metrics.score import StoredFeatures
from ganlab.nn.randomness import keyed_generator


class InceptionScore(StoredFeatures):
    """IS of (N, K) logits: mean and spread over splits; between 1 and the number of classes K.

    The class of torchmetrics shuffles by the global random state, works in float32 and gives NaN
    where a class has probability 0; here the splits are addressed by key and image index. Only
    generated images count, and only logits of an ImageNet network give the published score.
    """

    higher_is_better = True
    parts = ("is", "is_std")
    undirected = ("is_std",)
    source = "logits"

    def __init__(
        self,
        splits: int = 10,  # parts, each with its own marginal, whose scores are averaged
    ) -> None:
        super().__init__()
        if splits < 1:
            raise ValueError(f"the Inception Score needs splits >= 1, not {splits}")
        self.splits = splits
        self.protocol = "" if splits == 10 else f"s{splits}"  # 10 is the published one

    def check_sizes(self, num_real: int | None, num_fake: int) -> None:
        """Raise ValueError where a split would be empty."""
        if num_fake < self.splits:
            raise ValueError(
                f"Inception Score splits={self.splits} exceeds the {num_fake} generated images: "
                "lower splits or raise metrics.num_fake"
            )

    def source_of(self, outputs: Mapping[str, Tensor]) -> Tensor | None:
        """The logits; of TensorFlow's Inception without their bias, as in the published score."""
        return outputs.get("logits_unbiased", outputs.get("logits"))

    def update(self, features: Tensor, real: bool, index: Tensor | None = None) -> None:
        """Keep (N, K) logits of generated images."""
        if not real:
            super().update(features, real, index)

    def compute(self) -> dict[str, Tensor]:
        """`is`, the mean over splits, and `is_std`, their standard deviation; float64."""
        logits = self.ordered("fake")
        self.check_sizes(None, len(logits))
        scores = inception_scores(logits, self.splits)
        return {"is": scores.mean(), "is_std": scores.std(correction=0)}


def inception_scores(logits: Tensor, splits: int = 10) -> Tensor:
    """The score of each part of a keyed shuffle of (N, K) logits, (splits,) float64.

    exp(E_x KL(p(y|x) || p(y))), and the mean divergence is H(p(y)) - E_x H(p(y|x)), which stays
    finite where probabilities vanish.
    """
    order = torch.randperm(len(logits), generator=keyed_generator("inception score"))
    parts = logits.double()[order.to(logits.device)].softmax(1).tensor_split(splits)
    return torch.stack([_score(probabilities) for probabilities in parts])


def _score(probabilities: Tensor) -> Tensor:
    """The score of (N, K) probabilities with their own marginal."""
    entropy = torch.special.entr
    marginal = entropy(probabilities.mean(0)).sum()
    score: Tensor = (marginal - entropy(probabilities).sum(1).mean()).exp()
    return score


def image_scores(logits: Tensor, marginal: Tensor | None = None) -> Tensor:
    """KL(p(y|x) || p(y)) of each of (N, K) logits, (N,) float64, in nats.

    The summand of one image ranks images, as in Heikka, section 4.2.2: which does the extractor
    find sure and unusual?

    `marginal`, (K,) logarithms of p(y), is by default the mean over these images.
    """
    log_p = logits.double().log_softmax(1)  # (N, K)
    log_q = log_marginal(logits) if marginal is None else marginal.to(log_p)
    return (log_p.exp() * (log_p - log_q)).sum(1)


def log_marginal(logits: Tensor) -> Tensor:
    """log p(y), the mean of p(y|x) over (N, K) logits, (K,) float64."""
    log_p = logits.double().log_softmax(1)
    return log_p.logsumexp(0) - torch.tensor(float(len(logits)), dtype=torch.float64).log()


def highest(scores: Tensor, num: int) -> list[int]:
    """Positions of the `num` highest of (N,) scores, the highest first, equals by position.

    Raises:
        ValueError: there are not so many.
    """
    if not 1 <= num <= len(scores):
        raise ValueError(f"{num} of {len(scores)} images cannot be selected")
    found: list[int] = scores.argsort(descending=True, stable=True)[:num].tolist()
    return found
