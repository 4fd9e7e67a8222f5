"""The promises that need no network: priors and conditions."""

import pytest
import torch

from ganlab.networks import base


def generator(prior: str) -> base.Generator:
    built = base.Generator()
    built.latent_dim, built.prior = 40, base.known_prior(prior)
    return built


def test_the_normal_prior_is_standard():
    latents = generator("normal").sample_latents(5000, torch.Generator().manual_seed(0))
    moments = [latents.mean().item(), latents.var().item(), latents.pow(4).mean().item()]
    assert moments == pytest.approx([0, 1, 3], abs=0.05)


def test_the_uniform_prior_fills_minus_one_to_one():
    latents = generator("uniform").sample_latents(5000, torch.Generator().manual_seed(0))
    moments = [latents.mean().item(), latents.var().item(), latents.pow(4).mean().item()]
    assert moments == pytest.approx([0, 1 / 3, 1 / 5], abs=0.01)
    assert latents.min() >= -1
    assert latents.max() < 1


def test_an_unknown_prior_names_its_key():
    with pytest.raises(ValueError, match=r"model\.generator\.prior must be normal or uniform"):
        base.known_prior("gauss")


def test_a_condition_moves_all_its_tensors():
    told = base.Condition(label=torch.ones(2), masks={"conv5": torch.ones(2, 1, 4, 4)})
    moved = told.to(torch.float64)
    assert moved.label.dtype == moved.masks["conv5"].dtype == torch.float64
    assert moved.coarse is None
    assert moved.features is None
