"""Clipped density and coverage: pair by pair, exact fractions, the authors' own numbers."""

from fractions import Fraction
from math import comb, factorial

import numpy as np
import pytest
import torch

from ganlab.metrics import ClippedDensityCoverage
from ganlab.metrics.clipped import covering

# Of the authors' code at commit 9920dae001b04a63485ef1ff3ab002203ce5f939 of
# nicolassalvy/ClippedDensityCoverage, float64, on `normal(N, d, 1)` and `normal(M, d, 2, shift)`.
AUTHORS = [
    ((60, 50, 3, 0.0, 5), (1.0, 1.0)),
    ((60, 50, 3, 0.7, 5), (0.9514792899408286, 0.7058823529411765)),
    ((200, 150, 4, 1.5, 3), (0.27218934911242604, 0.17880794701986755)),
    ((50, 80, 2, 4.0, 2), (0.0, 0.0)),
    ((300, 300, 5, 0.2, 5), (1.0, 0.8970099667774086)),
]


def normal(num, width, seed, shift=0.0):
    return torch.randn(num, width, generator=torch.Generator().manual_seed(seed)).double() + shift


def scores(real, fake, k=5, **options):
    metric = ClippedDensityCoverage(k=k, **options)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    found = metric.compute()
    return found["clipped_density"].item(), found["clipped_coverage"].item()


@pytest.mark.parametrize(("options", "expected"), AUTHORS)
def test_agrees_with_the_authors(options, expected):
    num_real, num_fake, width, shift, k = options
    found = scores(normal(num_real, width, 1), normal(num_fake, width, 2, shift), k)
    assert found == pytest.approx(expected, rel=1e-10, abs=1e-12)


def expected_cover(n, drawn, k):
    """E min(J, k) / k of J ~ BetaBinomial(drawn, k, n - k), in exact fractions."""

    def beta(a, b):
        return Fraction(factorial(a - 1) * factorial(b - 1), factorial(a + b - 1))

    terms = [
        min(j, k) * comb(drawn, j) * beta(k + j, n + drawn - k - j) / beta(k, n - k)
        for j in range(drawn + 1)
    ]
    return float(sum(terms) / k)


@pytest.mark.parametrize(("n", "m", "k"), [(12, 9, 3), (30, 25, 5), (7, 20, 1)])
def test_what_is_expected_is_the_beta_binomial(n, m, k):
    found = covering(n, m, k).tolist()
    assert found[:k] == [0.0] * k
    assert found[k:] == pytest.approx([expected_cover(n, i, k) for i in range(k, m + 1)], rel=1e-10)
    assert sorted(found) == found
    assert covering(50_000, 50_000, 5).diff()[5:].min() > 0, "rounding leaves it ascending"


def by_loops(real, fake, k):
    """Both, pair by pair."""

    def distance(p, q):
        return np.linalg.norm(p - q)

    radii = [
        sorted(distance(p, q) for j, q in enumerate(real) if j != i)[k - 1]
        for i, p in enumerate(real)
    ]
    balls = np.minimum(radii, np.median(radii))
    of_fakes = [sum(distance(p, g) <= r for p, r in zip(real, balls, strict=True)) for g in fake]
    of_reals = [
        sum(distance(p, q) <= r for i, (p, r) in enumerate(zip(real, balls, strict=True)) if i != j)
        for j, q in enumerate(real)
    ]
    density = np.mean(np.minimum(of_fakes, k)) / np.mean(np.minimum(of_reals, k))
    near = [sum(distance(p, g) < r for g in fake) for p, r in zip(real, radii, strict=True)]
    covered = np.mean(np.minimum(near, k)) / k
    table = [expected_cover(len(real), i, k) * (i >= k) for i in range(len(fake) + 1)]
    return min(1.0, density), sum(each < covered - 1e-12 for each in table) / len(table)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("memory_mb", [0, 64])
def test_agrees_with_loops(k, memory_mb):
    real, fake = normal(30, 3, 1), normal(25, 3, 2, shift=0.7)
    found = scores(real, fake, k, memory_mb=memory_mb)
    assert found == pytest.approx(by_loops(real.numpy(), fake.numpy(), k), rel=1e-10)
    assert min(found) > 0


@pytest.mark.parametrize("bad", [0.0, 0.3, 0.6])
def test_both_fall_in_proportion_to_bad_fakes(bad):
    """Section 4: of fakes drawn as the reals, a share that lies far away costs that share."""
    real, fake = normal(1500, 4, 1), normal(1500, 4, 2)
    fake[: int(bad * 1500)] += 100
    assert scores(real, fake) == pytest.approx((1 - bad, 1 - bad), abs=0.05)


def test_an_outlier_among_reals_makes_no_fakes_good():
    """Where density counts each as a fifth, and one outlier is little to cover; nor one image."""
    real = torch.cat([normal(300, 2, 1), torch.tensor([[30.0, 0.0]]).double()])
    fake = torch.tensor([[20.0, 0.0]]).double() + 0.1 * normal(300, 2, 2)
    assert scores(real, fake) == (0.0, pytest.approx(0, abs=0.03))
    assert scores(real, real[:1] + 1e-3 * normal(300, 2, 2))[1] < 0.1


@pytest.mark.parametrize("options", [{"k": 0}, {"memory_mb": -1}])
def test_what_cannot_be_is_refused(options):
    with pytest.raises(ValueError, match="clipped density and coverage: k="):
        ClippedDensityCoverage(**options)
    with pytest.raises(ValueError, match="with k=5 takes more than 5 images"):
        scores(normal(9, 2, 1), normal(5, 2, 2))
