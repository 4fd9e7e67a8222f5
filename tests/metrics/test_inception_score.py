import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import nn
from torchmetrics.image.inception import InceptionScore as Published

from ganlab.metrics import InceptionScore, inception_scores


def logits(num, classes, seed):
    return 2 * torch.randn(num, classes, generator=torch.Generator().manual_seed(seed)).double()


def test_undecided_logits_score_one():
    assert inception_scores(torch.zeros(50, 10), 5).tolist() == pytest.approx([1.0] * 5, rel=1e-12)


def test_sure_and_even_classes_score_their_number():
    """One split of one-hot probabilities, each class equally often: exp(log K)."""
    sure = 1e6 * torch.eye(7).repeat(10, 1)
    assert inception_scores(sure, 1).item() == pytest.approx(7, rel=1e-12)


def test_one_sure_class_scores_one_though_the_others_have_probability_zero():
    sure = torch.zeros(30, 5)
    sure[:, 2] = 1e6
    assert inception_scores(sure, 3).tolist() == [1.0] * 3


def test_a_mixture_in_closed_form():
    """p and its mirror image, in equal parts: exp(log 2 - H(p))."""
    p = 0.9
    row = torch.tensor([p, 1 - p], dtype=torch.float64).log()
    both = torch.stack([row, row.flip(0)]).repeat(20, 1)
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    assert inception_scores(both, 1).item() == pytest.approx(2 * np.exp(-entropy), rel=1e-12)


def test_agrees_with_numpy_as_salimans_et_al_compute_it():
    given = logits(200, 12, 1)
    p = softmax(given.numpy(), axis=1)
    divergence = (p * (np.log(p) - np.log(p.mean(0)))).sum(1)
    assert inception_scores(given, 1).item() == pytest.approx(np.exp(divergence.mean()), rel=1e-10)


def test_agrees_with_torchmetrics_up_to_its_shuffle():
    """Of one split the order does not matter."""
    given = logits(100, 12, 1)
    published = Published(nn.Identity(), splits=1)
    published.update(given)
    ours = inception_scores(given, 1).item()
    with torch.random.fork_rng():
        assert ours == pytest.approx(published.compute()[0].item(), rel=1e-6)


def test_splits_share_all_images_out():
    """Images of one class each and as many splits as images: every split scores 1."""
    assert inception_scores(logits(23, 4, 1), 23).tolist() == pytest.approx([1.0] * 23)
    scores = inception_scores(logits(1000, 4, 1), 10)
    assert len(scores) == 10
    assert scores.std() > 0


def filled(order, chunk):
    given = logits(101, 6, 1)
    metric = InceptionScore(splits=4)
    metric.update(logits(50, 6, 2), real=True)
    for rows in order.split(chunk):
        metric.update(given[rows], real=False, index=rows)
    return {name: value.item() for name, value in metric.compute().items()}


def test_batches_and_the_global_random_state_do_not_matter():
    torch.manual_seed(1)
    expected = filled(torch.arange(101), 101)
    state = torch.get_rng_state()
    assert filled(torch.arange(101).flip(0), 7) == expected
    assert torch.equal(torch.get_rng_state(), state)
    scores = inception_scores(logits(101, 6, 1), 4).numpy()
    assert expected == pytest.approx({"is": scores.mean(), "is_std": scores.std()}, rel=1e-12)


def test_it_takes_logits_without_bias_where_there_are_any():
    plain, unbiased = torch.zeros(2, 3), torch.ones(2, 3)
    metric = InceptionScore()
    assert metric.source_of({"logits": plain, "logits_unbiased": unbiased}) is unbiased
    assert metric.source_of({"features": unbiased, "logits": plain}) is plain
    assert metric.source_of({"features": plain}) is None


def test_protocols():
    assert InceptionScore().protocol == ""
    assert InceptionScore(splits=5).protocol == "s5"
    with pytest.raises(ValueError, match="splits=10 exceeds the 9 generated"):
        InceptionScore().check_sizes(None, 9)
    with pytest.raises(ValueError, match="splits >= 1"):
        InceptionScore(splits=0)
