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


def with_mirrors(features):
    """The features, then those of mirror images: near their own, of the same distribution."""
    features[:, 0] *= 0.05
    return torch.cat([features, features * torch.tensor([-1.0, 1, 1, 1, 1, 1]).double()])


def test_a_reals_own_mirror_image_is_not_another_real():
    real, fake = with_mirrors(normal(31, 6, 1)), normal(20, 6, 2)
    points = real.numpy()
    near = [min(np.linalg.norm(g - r) for r in points) for g in fake.numpy()]
    left_out = [
        min(np.linalg.norm(r - q) for j, q in enumerate(points) if j % 31 != i % 31)
        for i, r in enumerate(points)
    ]
    found, _ = nearest_ratio(real, fake, pictures=torch.arange(62) % 31)
    assert found.item() == pytest.approx(np.median(near) / np.median(left_out), rel=1e-9)


@pytest.mark.parametrize("kept", [slice(None), slice(500, None)])  # all, or some without a mirror
def test_mirror_images_change_nothing_about_fresh_draws(kept):
    metric, plain = NearestReals(), NearestReals()
    real, fake = with_mirrors(normal(2000, 6, 1)), with_mirrors(normal(1000, 6, 2))
    metric.num_stored = 2000
    order = torch.randperm(4000, generator=torch.Generator().manual_seed(3))  # batches come so
    order = order[torch.isin(order, torch.arange(4000)[kept])]
    metric.update(real[order], real=True, index=order)
    plain.update(real[:2000], real=True)
    for each in (metric, plain):
        each.update(fake[:1000], real=False)
    assert metric.compute()["nearest_ratio"] == pytest.approx(1, abs=0.05)
    assert plain.compute()["nearest_ratio"] == pytest.approx(1, abs=0.05)


def test_an_image_and_its_mirror_image_alone_have_no_other():
    with pytest.raises(ValueError, match="at least 2 real images besides mirror images"):
        nearest_ratio(normal(2, 4, 1), normal(3, 4, 2), pictures=torch.zeros(2).long())


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
