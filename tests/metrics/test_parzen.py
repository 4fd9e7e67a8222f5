import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.neighbors import KernelDensity

from ganlab.metrics import ParzenWindow
from ganlab.metrics.parzen import best_sigma, halves, log_likelihoods, sigma_grid


def normal(num, width, seed, shift=0.0):
    return torch.randn(num, width, generator=torch.Generator().manual_seed(seed)).double() + shift


@pytest.mark.parametrize("sigma", [0.05, 0.3, 2.0])
@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_agrees_with_scikit_learn(sigma, shift):
    points, samples = normal(30, 5, 1, shift), normal(50, 5, 2, shift)
    found = log_likelihoods(points, samples, torch.tensor([sigma]))[:, 0]
    oracle = KernelDensity(bandwidth=sigma, rtol=1e-12).fit(samples.numpy())
    assert found.tolist() == pytest.approx(oracle.score_samples(points.numpy()).tolist(), rel=1e-6)


def test_one_window_is_a_gaussian():
    points, sample = normal(10, 4, 1), normal(1, 4, 2)
    found = log_likelihoods(points, sample, torch.tensor([0.7], dtype=torch.float64))[:, 0]
    oracle = multivariate_normal(sample[0].numpy(), 0.7**2).logpdf(points.numpy())
    assert found.tolist() == pytest.approx(oracle.tolist(), rel=1e-10)


def test_far_points_do_not_underflow():
    point, samples, sigma = torch.full((1, 100), 100.0), torch.zeros(3, 100), 0.125
    found = log_likelihoods(point, samples, torch.tensor([sigma]))
    expected = -(100 * 100**2) / (2 * sigma**2) - 50 * math.log(2 * math.pi * sigma**2)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_blocks_do_not_matter():
    points, samples, sigmas = normal(40, 3, 1), normal(30, 3, 2), torch.tensor([0.1, 1.0])
    expected = log_likelihoods(points, samples, sigmas)
    torch.testing.assert_close(
        log_likelihoods(points, samples, sigmas, 0), expected, rtol=1e-12, atol=0
    )


def test_the_grid_spans_the_deviation_of_a_coordinate():
    points = normal(5000, 3, 1) * torch.tensor([1.0, 2.0, 2.0])
    sigmas = sigma_grid(points, 30)
    assert sigmas[0].item() == pytest.approx(0.01 * math.sqrt(3), rel=0.02)
    assert sigmas[-1].item() == pytest.approx(3 * math.sqrt(3), rel=0.02)
    ratios = sigmas[1:] / sigmas[:-1]
    assert torch.allclose(ratios, ratios[0])
    with pytest.raises(ValueError, match="reals that differ"):
        sigma_grid(torch.ones(5, 2), 10)


def test_sigma_is_the_most_likely_of_the_grid():
    points, samples = normal(80, 2, 1), normal(80, 2, 2)
    sigmas = sigma_grid(points, 25)
    totals = [
        KernelDensity(bandwidth=float(s), rtol=1e-12).fit(samples.numpy()).score(points.numpy())
        for s in sigmas
    ]
    assert best_sigma(points, samples, sigmas) == sigmas[int(np.argmax(totals))]


def test_one_sample_at_the_centre_finds_the_deviation_of_the_reals():
    """Of N(0, s^2) the best single window at 0 has sigma = s."""
    points = 2.5 * normal(20_000, 2, 1)
    found = best_sigma(points, torch.zeros(1, 2), sigma_grid(points, 200))
    assert found.item() == pytest.approx(2.5, rel=0.03)


def test_an_end_of_the_range_is_told():
    points = normal(50, 2, 1)
    with pytest.warns(UserWarning, match="an end of the range"):
        best_sigma(points, points.clone(), sigma_grid(points, 10))


def test_the_score_is_that_of_the_other_half_of_the_reals():
    real, fake = normal(61, 3, 1), normal(50, 3, 2)
    metric = ParzenWindow(space="features")
    metric.update(real, real=True)
    metric.update(fake, real=False)
    found = {name: value.item() for name, value in metric.compute().items()}
    density = KernelDensity(bandwidth=found["parzen_sigma"], rtol=1e-12).fit(fake.numpy())
    each = density.score_samples(real.numpy())
    scored = each[halves(torch.arange(61))[1].numpy()]
    assert found["parzen"] == pytest.approx(scored.mean(), rel=1e-6)
    assert found["parzen_se"] == pytest.approx(scored.std(ddof=1) / math.sqrt(30), rel=1e-6)


def test_halves_are_disjoint_random_and_the_same_in_every_run():
    state = torch.get_rng_state()
    first, second = halves(torch.arange(101))
    assert (len(first), len(second)) == (51, 50)
    assert torch.cat([first, second]).sort().values.tolist() == list(range(101))
    assert first.max() > 90 > 10 > second.min()
    assert torch.equal(first, halves(torch.arange(101))[0])
    assert torch.equal(torch.get_rng_state(), state)


def test_better_generators_are_more_likely():
    """Reals in two far modes; one mode missed costs more than both a little displaced."""
    modes = 10 * torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).double().repeat(200, 1)

    def score(fake):
        metric = ParzenWindow(space="features")
        metric.update(modes + normal(400, 2, 1), real=True)
        metric.update(fake, real=False)
        return metric.compute()["parzen"].item()

    good, displaced = score(modes + normal(400, 2, 2)), score(modes + normal(400, 2, 2, 1.0))
    collapsed = score(modes[:1] + normal(400, 2, 2))
    truth = -math.log(2 * 2 * math.pi) - 1  # minus the entropy of the reals: no density does better
    assert collapsed < displaced < good < truth + 0.15


def test_pixels_run_from_zero_to_one():
    images = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1
    metric = ParzenWindow()
    metric.update(images, real=True)
    metric.update(images.flip(0), real=False)
    grid = ((images + 1) * 127.5).round().flatten(1).double() / 255
    assert torch.equal(metric.points("real"), grid)
    assert metric.source == "images"
    assert ParzenWindow(side=8).protocol == "8px"


def test_wrong_options():
    with pytest.raises(ValueError, match="space is features or pixels"):
        ParzenWindow(space="images")
    with pytest.raises(ValueError, match="num_sigmas >= 2"):
        ParzenWindow(num_sigmas=1)
    with pytest.raises(ValueError, match="at least 4 real images, not 3"):
        ParzenWindow().check_sizes(3, 10)
