"""Blocks that are run again for their gradients: the numbers of those that keep their maps."""

from functools import partial

import pytest
import torch

from ganlab.data import synthetic
from ganlab.losses import Nonsaturating, gradient_penalty, path_length
from ganlab.networks import msg_gan, progan, stylegan, stylegan2
from ganlab.networks.base import StyleGenerator
from ganlab.nn.growing import Growing, Stage
from ganlab.nn.randomness import keyed_generator
from ganlab.systems import GAN, R1, Growth
from ganlab.systems.trainer import make_trainer

N, SIZES = 4, {"resolution": 16, "channels": 3, "width": 4, "max_width": 8}
STYLED = {**SIZES, "latent_dim": 6, "style_dim": 6, "mapping_layers": 2}
PAIRS = {
    "stylegan2": (stylegan2, "Generator", {**STYLED, "architecture": "resnet"}, {}),
    "skip": (stylegan2, "Generator", STYLED, {"architecture": "skip"}),
    "stylegan": (stylegan, "Generator", STYLED, {}),
    "progan": (progan, "Generator", {**SIZES, "latent_dim": 6}, {"average_first": True}),
    "msg_gan": (msg_gan, "Generator", {**SIZES, "latent_dim": 6}, {}),
    "msg_style": (msg_gan, "StyleGenerator", STYLED, {"blur": True}),
}
FADED = ["stylegan", "progan"]


def pair(name, recompute, alpha=1.0):
    """Both networks of a paper, in double precision, their noise switched on."""
    torch.manual_seed(0)
    module, generator, made, judged = PAIRS[name]
    networks = (
        getattr(module, generator)(**made, recompute_blocks=recompute),
        module.Discriminator(**SIZES, **judged, group_size=2, recompute_blocks=recompute),
    )
    for network in networks:
        if isinstance(network, Growing):
            network.grow_to(Stage(network.num_levels - 1, alpha))
        for key, parameter in network.named_parameters():
            if "strength" in key:
                torch.nn.init.normal_(parameter)
    return [network.double().train() for network in networks]


def normal(key):
    return partial(torch.randn, generator=keyed_generator(key), dtype=torch.double)


def images_of(generator):
    latents = normal("latents")((N, generator.latent_dim))
    if isinstance(generator, StyleGenerator):
        generator.draw_noise = normal("noise")
    return generator(latents)


def adversarial(generator, discriminator):
    return discriminator(images_of(generator)).square().sum()


def slope(generator, discriminator):
    """R1's gradient, of reals as D sees them now."""
    real = discriminator.views(normal("reals")((N, 3, 16, 16)))
    return R1(1.0)(discriminator, real, real, None, None)


def slope_between(generator, discriminator):
    real = discriminator.views(normal("reals")((N, 3, 16, 16)))
    with torch.no_grad():
        fake = images_of(generator)
    uniform = lambda n: torch.linspace(0, 1, n, dtype=torch.double)  # noqa: E731
    return gradient_penalty(discriminator, real, fake, None, uniform)


def lengths(generator, discriminator):
    generator.draw_noise = normal("noise")
    if not hasattr(generator, "mean_path_length"):
        generator.mean_path_length = torch.zeros((), dtype=torch.double)
    styles = generator.map(normal("latents")((N, 6)))
    return path_length(generator, styles, None, normal("directions"), batch_shrink=1)


def gradients(loss, networks):
    value = loss(*networks)
    value.backward()
    given = [{k: p.grad for k, p in network.named_parameters()} for network in networks]
    return value.detach(), given


CASES = [
    *[(name, 1.0, loss) for name in PAIRS for loss in (adversarial, slope, slope_between)],
    *[(name, 0.3, loss) for name in FADED for loss in (adversarial, slope, slope_between)],
    *[(name, 1.0, lengths) for name in ("stylegan2", "skip", "stylegan", "msg_style")],
    ("stylegan", 0.3, lengths),
]


@pytest.mark.parametrize(("name", "alpha", "loss"), CASES)
def test_gradients_of_first_and_second_order_are_equal(name, alpha, loss):
    (kept, expected), (again, found) = (
        gradients(loss, pair(name, recompute, alpha)) for recompute in (False, True)
    )
    torch.testing.assert_close(again, kept, rtol=1e-12, atol=0)
    assert any(each is not None for network in expected for each in network.values())
    for ours, theirs in zip(found, expected, strict=True):
        assert {k: v is None for k, v in ours.items()} == {k: v is None for k, v in theirs.items()}
        for key, value in theirs.items():
            if value is not None:
                torch.testing.assert_close(ours[key], value, rtol=1e-9, atol=1e-12, msg=key)


def kept_numbers(networks):
    """How many numbers stay in memory between a forward and its backward pass."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage()._cdata] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = adversarial(*networks)
    parameters = {p.untyped_storage()._cdata for network in networks for p in network.parameters()}
    assert loss.requires_grad
    return sum(numbers for at, numbers in kept.items() if at not in parameters)


@pytest.mark.parametrize("name", PAIRS)
def test_fewer_maps_are_kept(name):
    assert kept_numbers(pair(name, True)) < 0.5 * kept_numbers(pair(name, False))


@pytest.mark.parametrize("name", PAIRS)
def test_a_block_runs_once_where_nothing_is_to_be_learned(name):
    for network in pair(name, True):
        assert network.recomputes
        with torch.no_grad():
            assert not network.recomputes
        assert not network.eval().recomputes


def stylegan2_system(recompute):
    torch.manual_seed(0)
    generator = stylegan2.Generator(**STYLED, recompute_blocks=recompute)
    discriminator = stylegan2.Discriminator(**SIZES, recompute_blocks=recompute)
    return GAN(
        *(generator, discriminator, Nonsaturating(), *OPTIMIZERS),
        penalties={"r1": R1(1.0)},
        generator_penalties={"path_length": path_length},
        intervals={"r1": 2},
        mixing_probability=0.9,
        kimg=0.024,
    )


def growing_system(recompute):
    """A network that fades in its last level from the first image on."""
    torch.manual_seed(0)
    generator = stylegan.Generator(**STYLED, recompute_blocks=recompute)
    discriminator = stylegan.Discriminator(**SIZES, recompute_blocks=recompute)
    growth = Growth(resolution=16, stable_kimg=0.008, fade_kimg=0.1, first_level=1)
    networks = (generator, discriminator, Nonsaturating())
    return GAN(*networks, *OPTIMIZERS, penalties={"r1": R1(1.0)}, growth=growth, kimg=0.024)


OPTIMIZERS = [partial(torch.optim.SGD, lr=0.05)] * 2


@pytest.mark.parametrize("make", [stylegan2_system, growing_system])
def test_training_takes_the_same_steps(make):
    systems = [make(False), make(True)]
    before = systems[0].state_dict()["generator.const"].clone()
    for system in systems:
        data = synthetic(num=24, resolution=16, channels=3, batch_size=8)
        make_trainer("cpu").fit(system, datamodule=data)
    kept, again = (system.state_dict() for system in systems)
    assert not torch.equal(kept["generator.const"], before)
    for key, value in kept.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(again[key], value, rtol=1e-4, atol=1e-6, msg=key)
