"""Rarity: the smallest ball that holds an image, pair by pair and by hand."""

import math

import numpy as np
import pytest
import torch

from ganlab.metrics import Rarity, precision_recall, rarity_scores


def normal(num, width, seed, shift=0.0):
    return torch.randn(num, width, generator=torch.Generator().manual_seed(seed)).double() + shift


def by_loops(real, fake, k):
    radii = [
        sorted(np.linalg.norm(p - q) for j, q in enumerate(real) if j != i)[k - 1]
        for i, p in enumerate(real)
    ]
    return [
        min(
            (r for p, r in zip(real, radii, strict=True) if np.linalg.norm(p - g) <= r),
            default=math.inf,
        )
        for g in fake
    ]


@pytest.mark.parametrize("memory_mb", [0, 64])
@pytest.mark.parametrize("k", [1, 3])
def test_agrees_with_loops(k, memory_mb):
    real, fake = normal(40, 3, 1), normal(35, 3, 2, shift=0.7)
    expected = by_loops(real.numpy(), fake.numpy(), k)
    assert rarity_scores(real, fake, k, memory_mb).tolist() == pytest.approx(expected, rel=1e-12)
    assert 0 < sum(map(math.isinf, expected)) < 35


def test_of_two_balls_the_smaller_counts():
    """Figure 2 of the paper, on a line: in one ball, in two, in none."""
    real = torch.tensor([[0.0], [1.0], [4.0]]).double()  # k = 1: radii 1, 1, 3
    fake = torch.tensor([[4.5], [1.5], [9.0], [0.5]]).double()
    assert rarity_scores(real, fake, 1).tolist() == [3.0, 1.0, math.inf, 1.0]


def test_images_among_sparse_reals_are_rarer():
    real = torch.cat([0.1 * normal(200, 2, 1), 10 + 3 * normal(200, 2, 2)])
    common, rare = rarity_scores(real, real[:50]), rarity_scores(real, real[200:250])
    assert common.max() < rare.min()


def test_the_score_is_of_those_in_the_manifold_whose_share_is_precision():
    real, fake = normal(60, 3, 1), normal(50, 3, 2, shift=1.0)
    metric = Rarity(k=3)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    found = metric.compute()
    inside = [each for each in by_loops(real.numpy(), fake.numpy(), 3) if each < math.inf]
    assert found["rarity"].item() == pytest.approx(np.mean(inside), rel=1e-10)
    assert found["rarity_share"] == precision_recall(real, fake, 3)[0]
    assert Rarity.way_of("rarity") == "neither"


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="rarity: k="):
        Rarity(k=0)
    metric = Rarity(k=3)
    metric.update(normal(3, 2, 1), real=True)
    metric.update(normal(3, 2, 2), real=False)
    with pytest.raises(ValueError, match="rarity with k=3 takes more than 3 real images"):
        metric.compute()
