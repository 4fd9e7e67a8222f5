"""The two halves of a variational autoencoder's objective, and its sample of a code.

Kingma and Welling: "Auto-Encoding Variational Bayes" (arXiv:1312.6114), with a diagonal Gaussian
posterior N(mean, exp(log_variance)), a standard normal prior and a Gaussian decoder of variance 1.
Every term is a mean over the batch of a sum over a sample.
"""

from torch import Tensor


def reparameterize(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """A code from the posterior, (N, Z), given standard normal `noise`: section 2.4.

    The noise carries no gradient, so the code is differentiable by mean and variance.
    """
    return mean + (log_variance / 2).exp() * noise  # z = mu + sigma * epsilon, eq. 10


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """E KL(N(mean, exp(log_variance)) || N(0, 1)) in nats, from two (N, Z): appendix B."""
    terms = 1 + log_variance - mean.square() - log_variance.exp()
    return -terms.sum(dim=1).mean() / 2


def squared_error(reconstruction: Tensor, images: Tensor) -> Tensor:
    """E 1/2 ||x - x'||^2 over pixels: -log N(x; x', 1) without its constant."""
    return (reconstruction - images).square().flatten(1).sum(dim=1).mean() / 2
