"""MIND: the formula line by line, what a shift costs, and what a Fréchet distance cannot see."""

import pytest
import torch

from ganlab.metrics import FrechetDistance, MongeDistance
from ganlab.metrics.sliced_wasserstein import _directions


def normal(num, width, seed, shift=0.0):
    return torch.randn(num, width, generator=torch.Generator().manual_seed(seed)) + shift


def score(real, fake, kind=MongeDistance, **options):
    metric = kind(**options)
    metric.allocate(real.shape[1])
    metric.update(real, real=True)
    metric.update(fake, real=False)
    found = metric.compute()
    return float(found["mind"] if isinstance(found, dict) else found)


def test_is_the_formula_by_loops():
    """3 d / (n M) sum over directions, sum over ranks |sort(u . x) - sort(u . y)|^2."""
    real, fake = normal(12, 5, 1), normal(12, 5, 2, shift=0.4)
    directions = _directions(5, 7).double().T
    assert directions.norm(dim=1).tolist() == pytest.approx([1] * 7, rel=1e-6)
    total = 0.0
    for u in directions:
        ours = sorted(float(u @ x.double()) for x in real)
        theirs = sorted(float(u @ y.double()) for y in fake)
        total += sum((a - b) ** 2 for a, b in zip(ours, theirs, strict=True))
    expected = 3 * 5 * total / (12 * 7)
    assert score(real, fake, num_projections=7) == pytest.approx(expected, rel=1e-6)
    assert score(real, fake, num_projections=7, memory_mb=0) == pytest.approx(expected, rel=1e-6)


def test_equal_sets_are_at_0_in_any_order():
    real = normal(50, 6, 1)
    assert score(real, real.flip(0)) == 0


def test_a_shift_costs_three_times_its_square():
    """E (u . v)^2 = |v|^2 / d over directions, hence 3 d."""
    real = normal(200, 8, 1)
    shift = torch.tensor([2.0, -1.0, 0, 0, 0.5, 0, 0, 1.0])
    exact = 24 * (_directions(8, 1000).T @ shift).square().mean().item()
    found = score(real, real + shift)
    assert found == pytest.approx(exact, rel=1e-4)
    assert found == pytest.approx(3 * float(shift.square().sum()), rel=0.1)


def test_sets_of_one_mean_and_covariance_are_told_apart():
    """A coin's two faces and a normal distribution: FID is near 0."""
    real, faces = normal(4000, 2, 1), normal(4000, 2, 2).sign()
    assert score(real, faces, FrechetDistance) < 0.01
    assert score(real, faces) > 10 * score(real, normal(4000, 2, 3))


def test_unequal_sets_are_refused():
    with pytest.raises(ValueError, match=r"MIND compares equally many images, not 5 with 6"):
        score(normal(6, 3, 1), normal(5, 3, 2))
    with pytest.raises(ValueError, match="num_projections >= 1"):
        MongeDistance(num_projections=0)
