"""A batch in parts: the same step as the whole batch, where losses are means over samples."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch

from ganlab import losses
from ganlab.data import synthetic
from ganlab.losses import Nonsaturating, Relativistic, RelativisticPairing, path_length
from ganlab.networks import dcgan, lapgan, stylegan2
from ganlab.networks.base import Condition
from ganlab.systems import GAN, R1
from ganlab.systems.accumulation import check_parts, is_mean_over_samples, warn_of_differences
from ganlab.systems.conditioning import Labels
from ganlab.systems.randomness import StepRandomness
from ganlab.systems.trainer import make_trainer

LOSSES = [loss for loss in vars(losses).values() if isinstance(loss, type)]
SGD = partial(torch.optim.SGD, lr=0.05)


def stylegan(accumulate):
    torch.manual_seed(0)
    sizes = {"resolution": 16, "channels": 3, "width": 4, "max_width": 8, "num_labels": 3}
    generator = stylegan2.Generator(latent_dim=8, style_dim=8, mapping_layers=2, **sizes)
    discriminator = stylegan2.Discriminator(group_size=2, mapping_layers=2, **sizes)
    options = {"conditioner": Labels(3), "mixing_probability": 0.9, "intervals": {"r1": 2}}
    return GAN(
        *(generator, discriminator, Nonsaturating(), SGD, SGD),
        penalties={"r1": R1(1.0)},
        accumulate=accumulate,
        kimg=0.024,
        **options,
    )


def pyramid(accumulate):
    """LAPGAN, whose discriminators drop units and see several scales."""
    torch.manual_seed(0)
    sizes = {"channels": 1, "hidden": (8,), "width": 4}
    networks = (
        lapgan.Generator(16, coarse_latent_dim=5, **sizes),
        lapgan.Discriminator(16, **sizes),
    )
    return GAN(*networks, Nonsaturating(), SGD, SGD, accumulate=accumulate, kimg=0.024)


def fit(made, channels):
    data = synthetic(num=40, resolution=16, channels=channels, batch_size=8, seed=3)
    make_trainer("cpu").fit(made, datamodule=data)
    return made


@pytest.mark.parametrize(("make", "channels"), [(stylegan, 3), (pyramid, 1)])
@pytest.mark.parametrize("accumulate", [2, 4])
def test_parts_take_the_step_of_the_batch(make, channels, accumulate):
    whole, parts = fit(make(1), channels), fit(make(accumulate), channels)
    fresh = make(1).state_dict()
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], value, rtol=1e-4, atol=1e-5)
    moved = [
        n for n, v in whole.generator.named_parameters() if not v.equal(fresh[f"generator.{n}"])
    ]
    assert moved
    assert parts.running_means.read() == pytest.approx(
        whole.running_means.read(), rel=1e-3, abs=1e-4
    )


def test_a_part_draws_what_it_would_as_a_rank():
    whole = StepRandomness(5, 64, rank=1, world_size=2)
    latents = whole.latents(dcgan.Generator(32, latent_dim=3, width=2), "z", 6)
    for number in range(3):
        part = whole.part(number, 3)
        own = part.latents(dcgan.Generator(32, latent_dim=3, width=2), "z", 2)
        assert torch.equal(own, latents[number::3])
        assert torch.equal(part.normal("n")((2, 4)), whole.normal("n")((6, 4))[number::3])


def test_a_condition_is_shared_out_with_its_samples():
    told = Condition(torch.arange(6), {"fc": torch.arange(12).view(6, 2)}, coarse=torch.ones(6, 1))
    some = told.rows(slice(1, None, 3))
    assert some.label.tolist() == [1, 4]
    assert some.features["fc"].tolist() == [[2, 3], [8, 9]]
    assert some.masks is None
    assert len(some.coarse) == 2


def test_parts_that_cannot_be_are_refused_by_their_keys():
    networks = {"discriminator": stylegan(1).discriminator}
    with pytest.raises(ValueError, match=r"model\.accumulate=3 does not divide the 8 images"):
        check_parts(networks, [8], 1, 3)
    with pytest.raises(ValueError, match=r"leaves 1 images .*model\.discriminator\.group_size=2"):
        check_parts(networks, [32], 4, 8)
    with pytest.raises(ValueError, match=r"model\.accumulate must be at least 1, got 0"):
        stylegan(0)


def test_what_looks_at_the_batch_is_said(capsys):
    networks = {"generator": dcgan.Generator(32, latent_dim=3, width=2)}
    warn_of_differences(networks, Relativistic(), {"path_length": path_length}, 4)
    said = capsys.readouterr().err
    assert "batch norm, the relativistic loss's means, the running mean of path lengths" in said
    assert "of 4 images at a time" in said
    warn_of_differences({}, SimpleNamespace(relativistic=False), {}, 4)
    warn_of_differences({}, RelativisticPairing(), {}, 4)  # a pair is in one part
    assert not capsys.readouterr().err


def test_of_the_losses_the_average_relativistic_one_alone_looks_beyond_a_pair():
    found = {loss.__name__: is_mean_over_samples(loss()) for loss in LOSSES}
    assert found == {loss.__name__: loss is not Relativistic for loss in LOSSES}
