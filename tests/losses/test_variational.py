"""Closed forms of the variational bound against torch.distributions."""

import torch
from torch.distributions import Independent, Normal
from torch.distributions import kl_divergence as oracle

from ganlab.losses.variational import kl_divergence, reparameterize, squared_error


def gaussians(n=6, z=4):
    rng = torch.Generator().manual_seed(0)
    return torch.randn(n, z, generator=rng).double(), torch.randn(n, z, generator=rng).double()


def test_kl_is_that_of_the_distributions():
    mean, log_variance = gaussians()
    posterior = Independent(Normal(mean, (log_variance / 2).exp()), 1)
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    torch.testing.assert_close(kl_divergence(mean, log_variance), oracle(posterior, prior).mean())


def test_kl_of_the_prior_is_zero():
    assert kl_divergence(torch.zeros(3, 5), torch.zeros(3, 5)) == 0


def test_a_code_has_the_posterior_s_moments():
    mean, log_variance = gaussians(1, 3)
    noise = torch.randn(200_000, 3, generator=torch.Generator().manual_seed(1)).double()
    codes = reparameterize(mean, log_variance, noise)
    spread = (log_variance[0] / 2).exp()
    # five standard errors of a mean and of a standard deviation
    assert ((codes.mean(dim=0) - mean[0]).abs() < 5 * spread / 200_000**0.5).all()
    assert ((codes.std(dim=0) - spread).abs() < 5 * spread / 400_000**0.5).all()


def test_a_code_follows_mean_and_deviation_and_never_the_noise():
    """dz/dmu = 1 and dz/dsigma = epsilon: what makes the estimator's gradient that of eq. 10."""
    mean, log_variance = (each.requires_grad_() for each in gaussians())
    noise = torch.randn(6, 4, generator=torch.Generator().manual_seed(2)).double()
    reparameterize(mean, log_variance, noise).sum().backward()
    torch.testing.assert_close(mean.grad, torch.ones_like(mean))
    # d sigma / d log sigma^2 = sigma / 2
    torch.testing.assert_close(log_variance.grad, noise * (log_variance / 2).exp().detach() / 2)


def test_squared_error_is_the_gaussian_s_log_likelihood_up_to_a_constant():
    rng = torch.Generator().manual_seed(3)
    images = torch.randn(5, 2, 4, 4, generator=rng).double()
    decoded = torch.randn(5, 2, 4, 4, generator=rng).double()
    likelihood = Independent(Normal(decoded, torch.ones_like(decoded)), 3).log_prob(images).mean()
    best = Independent(Normal(images, torch.ones_like(images)), 3).log_prob(images).mean()
    torch.testing.assert_close(squared_error(decoded, images), best - likelihood)
