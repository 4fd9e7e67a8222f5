"""Under bf16 autocast the convolutions are in half precision, and what must not be is not."""

from functools import partial

import pytest
import torch

from ganlab.data import synthetic
from ganlab.losses import Nonsaturating, path_length
from ganlab.networks import dcgan, lapgan, msg_gan, progan, stylegan, stylegan2
from ganlab.nn.mapping import JointMapping
from ganlab.nn.minibatch import MinibatchStd
from ganlab.nn.modulation import StyledConv, demodulation
from ganlab.nn.style import Mapping
from ganlab.systems import GAN, R1
from ganlab.systems.trainer import make_trainer

HALF = torch.bfloat16
SIZES = {"resolution": 16, "channels": 3, "width": 4, "max_width": 8}
STYLED = {**SIZES, "latent_dim": 6, "style_dim": 6, "mapping_layers": 2}
GENERATORS = {
    "stylegan2": partial(stylegan2.Generator, **STYLED),
    "resnet": partial(stylegan2.Generator, **STYLED, architecture="resnet"),
    "stylegan": partial(stylegan.Generator, **STYLED),
    "progan": partial(progan.Generator, **SIZES, latent_dim=6),
    "msg_gan": partial(msg_gan.Generator, **SIZES, latent_dim=6),
    "msg_style": partial(msg_gan.StyleGenerator, **STYLED),
    "dcgan": partial(dcgan.Generator, resolution=32, channels=3, latent_dim=6, width=4),
    "lapgan": partial(lapgan.Generator, 16, channels=3, coarse_latent_dim=6, width=4, hidden=(8,)),
}


def autocast():
    return torch.autocast("cpu", HALF)


def types_of(network, given):
    """Module -> number types of what it gives, in a pass under autocast."""
    found = {}

    def note(module, _, given):
        if isinstance(given, torch.Tensor):
            found[module] = given.dtype

    handles = [module.register_forward_hook(note) for module in network.modules()]
    with autocast():
        output = network(given)
    for handle in handles:
        handle.remove()
    return output, found


@pytest.mark.parametrize("name", GENERATORS)
def test_images_and_styles_are_single_and_maps_are_half(name):
    torch.manual_seed(0)
    generator = GENERATORS[name]()
    images, types = types_of(generator, torch.randn(4, generator.latent_dim))
    for image in images if isinstance(images, list) else [images]:
        assert image.dtype == torch.float32
    assert HALF in types.values()
    for module, kind in types.items():
        if isinstance(module, Mapping | JointMapping):
            assert kind == torch.float32
        if isinstance(module, StyledConv):
            assert kind == HALF


def test_demodulation_and_a_batchs_deviation_are_counted_in_single_precision():
    torch.manual_seed(0)
    weight, styles, maps = torch.randn(5, 7, 3, 3), torch.randn(2, 7), torch.randn(4, 3, 2, 2)
    with autocast():
        found, appended = demodulation(weight, styles.to(HALF)), MinibatchStd(4)(maps.to(HALF))
    torch.testing.assert_close(found, demodulation(weight, styles.to(HALF).float()))
    exact = MinibatchStd(4)(maps.to(HALF).float())[:, -1].to(HALF)
    assert torch.equal(appended[:, -1], exact)


def small(precision):
    torch.manual_seed(0)
    adam = partial(torch.optim.Adam, lr=1e-3)
    networks = stylegan2.Generator(**STYLED), stylegan2.Discriminator(**SIZES)
    penalties = {"r1": R1(1.0)}, {"path_length": path_length}
    system = GAN(*networks, Nonsaturating(), adam, adam, *penalties, kimg=0.016)
    data = synthetic(num=16, resolution=16, channels=3, batch_size=8)
    return system, make_trainer("cpu", precision=precision), data


def test_losses_penalties_averages_and_moments_are_single(monkeypatch):
    system, trainer, data = small("bf16-mixed")
    tallied = {}
    monkeypatch.setattr(
        system.running_means, "add", lambda name, value: tallied.setdefault(name, value.dtype)
    )
    convolutions = []
    system.discriminator.conv.register_forward_hook(
        lambda module, given, found: convolutions.append(found.dtype)
    )
    trainer.fit(system, datamodule=data)
    assert set(tallied.values()) == {torch.float32}
    assert {"loss/discriminator", "loss/generator", "penalty/r1"} <= set(tallied)
    assert {HALF, torch.float32} == set(convolutions)  # the penalties' passes are not cast
    states = [each for o in trainer.optimizers for each in o.state.values()]
    kept = [*system.generator_ema.parameters(), *(s["exp_avg_sq"] for s in states)]
    assert {each.dtype for each in kept} == {torch.float32}
    assert all(bool(torch.isfinite(each).all()) for each in kept)


def test_gradients_in_half_precision_are_those_of_single_up_to_its_rounding():
    system, _, _ = small("bf16-mixed")
    networks, latents = (system.generator, system.discriminator), torch.randn(8, 6)
    parameters = [p for network in networks for p in network.parameters()]

    def gradient():
        system.generator.draw_noise = torch.zeros
        loss = Nonsaturating().generator(networks[1](networks[0](latents)), None)
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
        return torch.cat([each.flatten() for each in found if each is not None])

    exact = gradient()
    with autocast():
        rounded = gradient()
    assert not torch.equal(rounded, exact)
    assert (rounded - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "64-true"])
def test_weights_are_stored_in_single_precision_alone(precision):
    line = rf"trainer\.precision={precision} would store .* 32-true, or bf16-mixed"
    with pytest.raises(ValueError, match=line):
        make_trainer("cpu", precision=precision)
