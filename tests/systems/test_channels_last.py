"""The layout of convolutions: weights change their strides, training only its rounding."""

import copy

import torch

from ganlab.data import synthetic
from ganlab.losses import Nonsaturating
from ganlab.networks import dcgan
from ganlab.systems import GAN
from ganlab.systems.channels_last import ChannelsLast
from ganlab.systems.trainer import make_trainer


def trained(system, *, channels_last):
    data = synthetic(num=16, resolution=32, channels=1, batch_size=8)
    trainer = make_trainer("cpu", channels_last=channels_last)
    trainer.fit(system, datamodule=data)
    return trainer


def small():
    torch.manual_seed(0)
    adam = lambda parameters: torch.optim.Adam(parameters, lr=1e-3, eps=1e-3)  # noqa: E731
    generator = dcgan.Generator(resolution=32, channels=1, latent_dim=4, width=4)
    discriminator = dcgan.Discriminator(resolution=32, channels=1, width=4)
    return GAN(generator, discriminator, Nonsaturating(), adam, adam, kimg=0.024)


def test_every_convolution_is_laid_out_and_trains_alike():
    plain = small()
    other = copy.deepcopy(plain)
    trained(plain, channels_last=False)
    trained(other, channels_last=True)
    for name, network in other.networks().items():
        weights = [p for p in network.parameters() if p.ndim == 4 and min(p.shape[1:3]) > 1]
        assert weights, name
        for weight in weights:
            assert weight.is_contiguous(memory_format=torch.channels_last)
    for (name, ours), theirs in zip(
        plain.state_dict().items(), other.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5, msg=name)


def test_the_layout_is_asked_for():
    def layouts(trainer):
        return [each for each in trainer.callbacks if isinstance(each, ChannelsLast)]

    assert not layouts(make_trainer("cpu"))
    assert len(layouts(make_trainer("cpu", channels_last=True))) == 1
