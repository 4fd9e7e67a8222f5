"""Guided gradients against a case computed by hand and against an explicit loop."""

import numpy as np
import pytest
import torch
from copy_toys import Honest, Stored
from study_toys import System, trainer
from torch import nn

from ganlab.data import NoImages
from ganlab.networks import base, dcgan, progan
from ganlab.nn.randomness import keyed_generator
from ganlab.nn.tracing import guided
from ganlab.report.images import cells
from ganlab.studies import GuidedBackprop, Study
from ganlab.studies.images.guided_backprop import scale_gradient
from ganlab.studies.images.guided_gradients import guided_gradients, rectifiers, strongest_filters

FIRST = torch.tensor([[1.0, 1.0], [1.0, -1.0], [2.0, 0.0]])
SECOND = torch.tensor([[1.0, 1.0, -1.0], [-1.0, 5.0, 1.0]])


class TwoLayers(base.Discriminator):
    """Two pixels, three units, two units, one logit."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False)
        self.activations = nn.ModuleList([nn.LeakyReLU(0.2), nn.LeakyReLU(0.2)])
        self.first.weight.data, self.second.weight.data = FIRST.clone(), SECOND.clone()

    def forward(self, images, condition=None):
        x = self.activations[0](self.first(images.flatten(1)))
        return self.activations[1](self.second(x)).sum(1)


IMAGE = torch.tensor([[[[1.0, 2.0]]]])


def test_two_layers_by_hand():
    """h = (3, -1, 2), a = (3, -0.2, 2), f = (0.8, -2 -> -0.4).

    From f_0: (1, 1, -1) at a; the second unit is negative, the third's gradient is; so the first
    row of the first layer is left, (1, 1). f_1 is not activated: nothing passes.
    """
    found = guided_gradients(TwoLayers(), IMAGE, "fc/1", [0, 1])
    assert found.tolist() == [[[[[1.0, 1.0]]], [[[0.0, 0.0]]]]]
    x = IMAGE.clone().requires_grad_()
    network = TwoLayers()
    network.activations[1](network.second(network.activations[0](network.first(x.flatten(1)))))[
        0, 0
    ].backward()
    torch.testing.assert_close(x.grad.flatten(), torch.tensor([-0.8, 0.8]))  # the plain gradient


def test_the_network_is_left_as_it_was():
    network = TwoLayers().train()
    before = network(IMAGE)
    layers = rectifiers(network, IMAGE)
    with guided(layers):
        assert torch.equal(network(IMAGE), before)
    guided_gradients(network, IMAGE, "fc/0", [0])
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    x = IMAGE.clone().requires_grad_()
    network(x).backward()
    assert (x.grad < 0).any()  # negative gradients pass again


def discriminator(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = dcgan.Discriminator(resolution=32, channels=1, width=3)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, 0, 0.1)
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0, 0.3)
    return network.eval()


def images(num=3, channels=1, side=32):
    return torch.rand(num, channels, side, side, generator=keyed_generator("images")) * 2 - 1


def by_hand(network, image, layer, channel):
    """Layer by layer with explicit gates, from the neuron back to the image."""
    stages, inputs, outputs = list(network.stages.values())[: layer + 1], [image[None]], []
    for stage in stages:
        outputs.append(stage(inputs[-1]).detach())
        inputs.append(outputs[-1])
    peak = outputs[-1][0, channel].flatten().argmax()
    gradient = torch.zeros_like(outputs[-1])
    gradient[0, channel].view(-1)[peak] = 1.0
    for stage, given, output in zip(stages[::-1], inputs[-2::-1], outputs[::-1], strict=True):
        gradient = torch.where((output > 0) & (gradient > 0), gradient, 0.0)
        linear = nn.Sequential(*(m for m in stage if not isinstance(m, nn.LeakyReLU)))
        x = given.clone().requires_grad_()
        gradient = torch.autograd.grad(linear(x), x, gradient)[0]
    return gradient[0]


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_dcgans_filters_agree_with_an_explicit_loop(layer):
    network, batch = discriminator(), images()
    names = list(rectifiers(network, batch))
    assert names == ["16x16/0", "8x8/0", "4x4/0", "2x2/0"]
    filters = [2, 0]
    found = guided_gradients(network, batch, names[layer], filters)
    for image, maps in zip(batch, found, strict=True):
        for channel, gradient in zip(filters, maps, strict=True):
            expected = by_hand(network, image, layer, channel)
            assert expected.abs().max() > 0
            torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=1e-4)


def test_strongest_filters_have_the_highest_mean_peak():
    network, batch = discriminator(), images()
    output = network.stages["8x8"](network.stages["16x16"](batch))
    peaks = output.amax((2, 3)).mean(0)
    found = strongest_filters(network, batch, "8x8/0", 3)
    assert found == peaks.argsort(descending=True)[:3].tolist()


def test_a_growing_discriminator_names_the_layers_it_uses():
    network = progan.Discriminator(resolution=16, channels=1, width=4, max_width=8)
    batch = images(4, side=16)
    layers = rectifiers(network, batch)
    assert list(layers) == [
        *("16x16/0", "16x16/1", "16x16/2", "8x8/0", "8x8/1", "4x4/0", "1x1/0"),
    ]
    found = guided_gradients(network, batch, "4x4/0", [0])
    assert found.shape == (4, 1, 1, 16, 16)


class Judged(System):
    def __init__(self, judge):
        super().__init__(Honest())
        self.discriminator = judge


class Small(base.Discriminator):
    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Conv2d(1, 5, 3), nn.LeakyReLU(0.2), nn.Conv2d(5, 1, 6))

    def forward(self, images, condition=None):
        return self.layers(images).flatten()


def test_the_figure_shows_reals_and_samples(tmp_path):
    numbers = {"num_real": 2, "num_fake": 3, "num_filters": 2}
    study = Study(GuidedBackprop(directory=tmp_path, seed=4, **numbers))
    judge, data = Small(), Stored(10)
    trainer(study).test(Judged(judge), data, verbose=False)
    with np.load(tmp_path / "figures" / "guided_backprop.npz") as numbers:
        reals = data.dataset[:2].float() / 127.5 - 1
        filters = numbers["filters"].tolist()
        assert str(numbers["layer"]) == "6x6/0"
        assert (numbers["real/images"] == data.dataset[:2].numpy()).all()
        expected = guided_gradients(judge, reals, "6x6/0", filters)
        np.testing.assert_allclose(numbers["real/gradients"], expected, atol=1e-6)
        assert numbers["generated/gradients"].shape == (3, 2, 1, 8, 8)
    assert len(cells(scale_gradient(expected[0])[:1])) == 1
    assert scale_gradient(torch.zeros(1, 2, 2)).abs().max() == 0
    assert scale_gradient(expected[0, 0]).abs().max() == 1


def test_it_goes_without_reals_and_refuses_what_is_not_there(tmp_path):
    study = Study(GuidedBackprop(directory=tmp_path))
    trainer(study).test(Judged(Small()), NoImages(8, 1), verbose=False)
    with np.load(tmp_path / "figures" / "guided_backprop.npz") as numbers:
        assert not [name for name in numbers if name.startswith("real")]
    cases = [
        ({}, System(Honest()), "needs a discriminator"),
        ({"layer": "3x3/0"}, Judged(Small()), "0 = 6x6/0"),
        ({"layer": 4}, Judged(Small()), "0 = 6x6/0"),
        ({"filters": [5]}, Judged(Small()), "filters 0 to 4"),
        ({"num_real": 1, "num_fake": 0}, Judged(Small()), "raise study.num_fake"),
    ]
    for options, system, message in cases:
        study = Study(GuidedBackprop(directory=tmp_path, **options))
        with pytest.raises(ValueError, match=message):
            trainer(study).test(system, NoImages(8, 1), verbose=False)
    with pytest.raises(ValueError, match="at least one image"):
        GuidedBackprop(directory=tmp_path, num_real=0, num_fake=0)
