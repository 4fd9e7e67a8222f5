import numpy as np
import pytest
import torch

from ganlab.metrics import NearestReals, nearest_ratio


def normal(num, width, seed):
    return torch.randn(num, width, generator=torch.Generator().manual_seed(seed)).double()


def ratio(real, fake):
    found, copies = nearest_ratio(real, fake)
    return found.item(), copies.item()


def test_agrees_with_loops():
    real, fake = normal(31, 4, 1), normal(20, 4, 2)
    near = [min(np.linalg.norm(g - r) for r in real.numpy()) for g in fake.numpy()]
    left_out = [
        min(np.linalg.norm(r - q) for j, q in enumerate(real.numpy()) if j != i)
        for i, r in enumerate(real.numpy())
    ]
    assert ratio(real, fake)[0] == pytest.approx(np.median(near) / np.median(left_out), rel=1e-9)


def test_a_memorized_generator_is_at_distance_zero():
    real = normal(100, 4, 1)
    assert ratio(real, real[torch.arange(300) % 100]) == (0.0, 1.0)


def test_a_half_memorized_generator():
    real = normal(100, 4, 1)
    assert ratio(real, torch.cat([real[:50], normal(50, 4, 2)]))[1] == 0.5


def test_fresh_draws_of_the_same_distribution_are_as_far_as_reals_left_out():
    assert ratio(normal(3000, 6, 1), normal(3000, 6, 2))[0] == pytest.approx(1, abs=0.03)


def test_unlike_images_are_farther():
    assert ratio(normal(200, 4, 1), 10 * normal(200, 4, 2))[0] > 3


def test_in_pixels_and_shrunk():
    images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    grid = (images * 127.5 + 127.5).round() / 127.5 - 1  # as an image file holds them
    metric = NearestReals(space="pixels")
    metric.update(grid, real=True)
    metric.update(grid[:5] + 0.001, real=False)  # less than half a grey level
    found = metric.compute()
    assert (found["nearest_ratio"], found["nearest_copies"]) == (0, 1)
    small = NearestReals(space="pixels", side=2)
    small.update(grid, real=True)
    means = grid.unflatten(2, (2, 4)).unflatten(4, (2, 4)).mean((3, 5))  # of 4x4 pixels each
    expected = (means * 127.5 + 127.5).round().flatten(1)
    assert torch.equal(small.rows("real"), expected.to(torch.uint8))


def test_images_of_two_sizes():
    metric = NearestReals(space="pixels")
    metric.update(torch.zeros(2, 1, 8, 8), real=True)
    with pytest.raises(ValueError, match=r"\[1, 4, 4\].*came after \[1, 8, 8\]"):
        metric.update(torch.zeros(2, 1, 4, 4), real=True)


def test_one_real_has_no_other():
    with pytest.raises(ValueError, match="at least 2 real images"):
        NearestReals().check_sizes(1, 5)
