import numpy as np
import pytest
import torch

from ganlab.metrics import FrechetDistance, FrechetInfinity
from ganlab.metrics.frechet_infinity import fitted_line, subset_distances, subset_sizes


def normal(num, width, seed):
    return torch.randn(num, width, generator=torch.Generator().manual_seed(seed)).double()


def fid(real, fake):
    metric = FrechetDistance()
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return metric.compute().item()


def test_sizes_are_even_in_one_over_n():
    sizes = subset_sizes(50_000, 15, 0.1)
    assert (sizes[0], sizes[-1], len(sizes)) == (5000, 50_000, 15)
    steps = np.diff(1 / np.array(sizes))
    assert steps == pytest.approx(steps.mean(), rel=2e-3)


def test_the_line_is_that_of_polyfit():
    sizes = [10, 17, 40, 100]
    values = torch.tensor([3.0, 2.0, 1.7, 1.1]).double()
    slope, intercept = np.polyfit(1 / np.array(sizes), values.numpy(), 1)
    found = fitted_line(sizes, values)
    assert [x.item() for x in found] == pytest.approx([intercept, slope], rel=1e-10)


def test_a_line_is_recovered_exactly():
    sizes = [50, 80, 200]
    values = 4 + 30 / torch.tensor(sizes).double()
    assert [x.item() for x in fitted_line(sizes, values)] == pytest.approx([4, 30], rel=1e-12)


def test_the_largest_subset_is_the_plain_fid():
    real, fake = normal(300, 4, 1), 1.3 * normal(200, 4, 2)
    distances = subset_distances(real, fake, [50, 200])
    assert distances[1].item() == pytest.approx(fid(real, fake), rel=1e-9)


def test_a_subset_is_keyed_by_image_and_holds_no_image_twice():
    fake = torch.cat([torch.zeros(99, 1), torch.full((1, 1), 99.0)]).double()
    real = normal(50, 1, 1)
    found = subset_distances(real, fake, [60])
    candidates = [fid(real, fake[:60]), fid(real, fake[40:])]  # without and with the odd one
    assert min(abs(found.item() - each) for each in candidates) < 1e-8
    assert torch.equal(subset_distances(real, fake, [60]), found)


def test_it_is_nearer_the_true_distance_than_the_plain_fid():
    """N(0, I) against N(0, 1.5^2 I) in 10 dimensions: 10 (1.5 - 1)^2 = 2.5."""
    real = normal(100_000, 10, 1)
    plain, infinite = [], []
    for seed in range(2, 8):
        metric = FrechetInfinity(smallest=0.2)
        metric.update(real, real=True)
        fake = 1.5 * normal(400, 10, seed)
        metric.update(fake, real=False)
        infinite.append(metric.compute()["fid_inf"].item())
        plain.append(fid(real, fake))
    assert abs(np.mean(infinite) - 2.5) < 0.25 * (np.mean(plain) - 2.5)


def test_batches_do_not_matter():
    real, fake = normal(80, 3, 1), normal(90, 3, 2)

    def score(chunk, order):
        metric = FrechetInfinity(num_points=4, smallest=0.3)
        metric.update(real, real=True)
        for rows in order.split(chunk):
            metric.update(fake[rows], real=False, index=rows)
        return metric.compute()

    assert score(7, torch.arange(90).flip(0)) == score(90, torch.arange(90))


def test_protocols():
    assert FrechetInfinity().protocol == ""
    assert FrechetInfinity(5, 0.25).protocol == "p5_s0.25"
    with pytest.raises(ValueError, match="smallest subset of 1"):
        FrechetInfinity().check_sizes(100, 10)
    with pytest.raises(ValueError, match="num_points >= 2"):
        FrechetInfinity(num_points=1)
    with pytest.raises(ValueError, match="smallest in"):
        FrechetInfinity(smallest=1.0)
