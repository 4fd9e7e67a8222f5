"""The encoder: the decoder's mirror."""

import pytest
import torch
from torch import nn

from ganlab.networks.dcgan import Generator
from ganlab.networks.vae import Encoder


def kernels(network):
    """(in, out, kernel, stride) of each convolution between image and code, code first."""
    found = []
    for module in network.modules():
        if isinstance(module, nn.ConvTranspose2d):
            found.append((module.out_channels, module.in_channels, module.kernel_size[0]))
        elif isinstance(module, nn.Conv2d):
            found.append((module.in_channels, module.out_channels, module.kernel_size[0]))
    return found


@pytest.mark.parametrize("resolution", [32, 64, 256])
def test_halves_mirror_each_other(resolution):
    options = {"channels": 3, "latent_dim": 12, "width": 16, "max_width": 64}
    with torch.device("meta"):
        encoder, decoder = Encoder(resolution, **options), Generator(resolution, **options)
    *trunk, mean, log_variance = kernels(encoder)
    assert mean == log_variance
    assert [*trunk, mean] == kernels(decoder)[::-1]


def test_a_code_is_a_mean_and_a_log_variance_of_each_sample():
    torch.manual_seed(0)
    encoder = Encoder(32, channels=1, latent_dim=5, width=4).eval()
    images = torch.rand(3, 1, 32, 32) * 2 - 1
    mean, log_variance = encoder(images)
    assert mean.shape == log_variance.shape == (3, 5)
    torch.testing.assert_close(encoder(images[1:2])[0], mean[1:2])
    assert not torch.allclose(mean, log_variance)


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    encoder = Encoder(32, channels=1, latent_dim=5, width=4)
    mean, log_variance = encoder(torch.rand(6, 1, 32, 32))
    (mean.square().sum() + log_variance.exp().sum()).backward()
    assert all(p.grad is not None and p.grad.any() for p in encoder.parameters())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"resolution": 48}, r"model\.encoder\.resolution.*48"),
        ({"width": 0}, r"model\.encoder\..*width"),
    ],
)
def test_what_cannot_be_is_refused_by_name(options, named):
    with pytest.raises(ValueError, match=named):
        Encoder(**options)
