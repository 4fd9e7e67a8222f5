"""Draws are addressed by key: nothing else may change them, and unlike keys are unrelated."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from ganlab.nn.randomness import derived_seed, keyed_generator, latents_at, truncated_normal


class Normal:
    """Anything that draws latents."""

    latent_dim = 24

    def sample_latents(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, self.latent_dim, generator=generator)


SPACE = Normal()


def test_seeds_are_distinct_positive_and_fit_63_bits():
    purposes = ["latent", "generator", "penalty", "1", ""]
    keys = [*itertools.product(purposes, range(40), range(40)), ("latent",), (1, "latent"), (1, 1)]
    seeds = {derived_seed(*key) for key in keys}
    assert len(seeds) == len(keys)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_number_and_its_spelling_are_unlike_keys():
    assert derived_seed("step", 1) != derived_seed("step", "1")
    assert derived_seed("ab", "c") != derived_seed("a", "bc")


def test_integers_of_any_library_are_the_same_key():
    for one in (np.int64(1), np.uint8(1), torch.tensor(1)):
        assert derived_seed("step", one) == derived_seed("step", 1)
    with pytest.raises(TypeError):
        derived_seed("step", 1.5)


def test_keyed_generators_repeat_and_differ_by_key():
    def draw(*key) -> Tensor:
        return torch.rand(1000, generator=keyed_generator(*key))

    assert torch.equal(draw("a", 1), draw("a", 1))
    assert abs(torch.corrcoef(torch.stack([draw("a", 1), draw("a", 2)]))[0, 1]) < 0.2


def test_latents_do_not_depend_on_batch_or_order():
    together = latents_at(SPACE, range(20), seed=5)
    assert together.shape == (20, 24)
    order = [13, 2, 19, 2, 0]
    assert torch.equal(latents_at(SPACE, order, seed=5), together[order])
    alone = torch.cat([latents_at(SPACE, [i], seed=5) for i in range(20)])
    assert torch.equal(alone, together)


def test_latents_do_not_depend_on_the_global_seed_nor_change_it():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = latents_at(SPACE, [0, 1], seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(latents_at(SPACE, [0, 1], seed=5), first)


def test_indices_may_be_tensors_or_arrays():
    expected = latents_at(SPACE, [3, 4], seed=0)
    assert torch.equal(latents_at(SPACE, torch.tensor([3, 4]), seed=0), expected)
    assert torch.equal(latents_at(SPACE, np.array([3, 4]), seed=np.int64(0)), expected)


@pytest.mark.parametrize("seed", [1, 5])
def test_no_two_latents_of_a_seed_agree(seed):
    """torch's CPU generator keeps 32 bits of a seed: hashing alone repeats latents in 50,000."""

    class Two:
        def sample_latents(self, n: int, generator: torch.Generator) -> Tensor:
            return torch.rand(n, 2, generator=generator, dtype=torch.float64)

    latents = latents_at(Two(), range(50_000), seed)
    assert len(latents.unique(dim=0)) == 50_000


def test_neighbours_are_independent_and_standard_normal():
    latents = latents_at(SPACE, range(5000), seed=3)
    error = 5 / 5000**0.5  # five standard errors of a correlation or a mean
    assert latents.mean(dim=0).abs().max() < error
    assert (latents.var(dim=0) - 1).abs().max() < 2 * error
    covariance = torch.cov(latents.T) - torch.eye(24)
    assert covariance.fill_diagonal_(0).abs().max() < error
    for lag in (1, 2, 3, 5, 8):  # one latent tells nothing of another
        products = (latents[lag:] * latents[:-lag]).mean(dim=0)
        assert products.abs().max() < error
    other = latents_at(SPACE, range(5000), seed=4)
    assert (latents * other).mean(dim=0).abs().max() < error


def test_no_index_at_all_is_refused():
    with pytest.raises(ValueError, match="at least one index"):
        latents_at(SPACE, [], seed=0)


class TestTruncatedNormal:
    def test_is_the_inverse_of_the_truncated_distribution(self):
        z = torch.randn(500, generator=torch.Generator().manual_seed(0))
        oracle = stats.truncnorm(-0.7, 0.7).ppf(stats.norm.cdf(z.double().numpy()))
        torch.testing.assert_close(
            truncated_normal(z, 0.7).double(), torch.from_numpy(oracle), atol=1e-6, rtol=1e-5
        )

    def test_extremes_stay_finite_and_within(self):
        z = torch.tensor([-40.0, -9.0, 0.0, 9.0, 40.0])
        cut = truncated_normal(z, 2.0)
        assert cut.abs().max() <= 2
        assert cut[2] == 0
        assert torch.equal(cut, cut.sort().values)

    @pytest.mark.parametrize("threshold", [0.0, -1.0])
    def test_a_threshold_that_leaves_nothing_is_refused(self, threshold):
        with pytest.raises(ValueError, match="it must be above 0"):
            truncated_normal(torch.zeros(1), threshold)
