"""FreezeD: the finest blocks of a discriminator stay as a file brought them."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch

from ganlab.config import ConfigError
from ganlab.data import synthetic
from ganlab.losses import Nonsaturating
from ganlab.networks import dcgan, msg_gan, progan, r3gan, stylegan, stylegan2, vanilla
from ganlab.runs.fine_tuning import take_networks
from ganlab.systems import GAN, R1
from ganlab.systems.checks import freeze
from ganlab.systems.trainer import make_trainer

ADAM = partial(torch.optim.Adam, lr=1e-2)
NETWORKS = [dcgan, stylegan, stylegan2, progan, msg_gan, r3gan]


def discriminator(network):
    torch.manual_seed(0)
    return network.Discriminator(resolution=32, channels=1, width=2, max_width=4)


def gan(network, frozen):
    torch.manual_seed(0)
    sizes = {"resolution": 32, "channels": 1, "width": 2, "max_width": 4}
    generator = network.Generator(latent_dim=4, **sizes)
    options = {"penalties": {"r1": R1(1.0)}, "intervals": {"r1": 2}, "kimg": 0.016}
    losses = (Nonsaturating(), ADAM, ADAM)
    return GAN(generator, discriminator(network), *losses, freeze_discriminator=frozen, **options)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda each: each.__name__.split(".")[-1])
def test_blocks_are_those_of_each_size_from_the_image_on(network):
    """What a block is made of has no other block in it, and the last layers are in none."""
    found = discriminator(network)
    blocks = [[p for m in block for p in m.parameters()] for block in found.finest_first]
    own = [id(p) for block in blocks for p in block]
    assert len(own) == len(set(own)) < len([*found.parameters()])
    assert len(blocks) == (4 if network is dcgan else 3)  # 16 to 2 px, or 32 to 8 px
    for number in range(len(blocks) + 1):
        found.requires_grad_(True)
        freeze(found, number)
        frozen = {id(p) for p in found.parameters() if not p.requires_grad}
        assert frozen == {id(p) for block in blocks[:number] for p in block}


@pytest.mark.parametrize("network", [dcgan, stylegan2])
def test_frozen_blocks_learn_nothing_and_the_others_do(network):
    made = gan(network, 2)
    before = {name: value.clone() for name, value in made.discriminator.named_parameters()}
    data = synthetic(num=20, resolution=32, channels=1, batch_size=4, seed=0)
    make_trainer("cpu").fit(made, datamodule=data)
    stayed = {n for n, value in made.discriminator.named_parameters() if value.equal(before[n])}
    assert stayed == {
        n for n, value in made.discriminator.named_parameters() if not value.requires_grad
    }
    assert stayed
    assert stayed != before.keys()


def test_what_cannot_be_frozen_is_refused_by_its_key():
    with pytest.raises(ValueError, match=r"freeze_discriminator=9: .*dcgan.* has 4 blocks"):
        gan(dcgan, 9)
    with pytest.raises(ValueError, match=r"freeze_discriminator=1: .*vanilla.* has no blocks"):
        freeze(vanilla.Discriminator(resolution=8, channels=1, hidden=(4,)), 1)
    with pytest.raises(ConfigError, match=r"freezes blocks that nothing has trained: say init="):
        take_networks(gan(dcgan, 1), None)
    take_networks(gan(dcgan, 0), None)
    take_networks(SimpleNamespace(), None)
