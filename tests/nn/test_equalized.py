"""Equalized layers act as ordinary layers of He's scale, and learn at one speed."""

import math

import pytest
import torch
from torch.nn import functional as F

from ganlab.nn.equalized import EqualizedConv2d, EqualizedLinear


def test_linear_is_an_affine_map_of_the_scaled_weight():
    layer = EqualizedLinear(7, 5, gain=3.0, lr_multiplier=0.5, bias_init=2.0)
    x = torch.randn(4, 7)
    expected = x @ (layer.weight * 3.0 / math.sqrt(7) * 0.5).T + 2.0
    torch.testing.assert_close(layer(x), expected)


def test_convolution_is_that_of_the_scaled_weight():
    layer = EqualizedConv2d(3, 5, 3, stride=2, padding=1, gain=1.5)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 3, 8, 8)
    plain = torch.nn.Conv2d(3, 5, 3, stride=2, padding=1)
    with torch.no_grad():
        plain.weight.copy_(layer.weight * 1.5 / math.sqrt(3 * 9))
        plain.bias.copy_(layer.bias)
    torch.testing.assert_close(layer(x), plain(x))


@pytest.mark.parametrize("multiplier", [1.0, 0.01])
def test_weights_are_standard_normal_over_the_multiplier(multiplier):
    torch.manual_seed(0)
    weight = EqualizedLinear(200, 300, lr_multiplier=multiplier).weight * multiplier
    assert abs(weight.mean()) < 6 / math.sqrt(60_000)
    assert abs(weight.var() - 1) < 6 * math.sqrt(2 / 60_000)


@pytest.mark.parametrize(("gain", "slope"), [(math.sqrt(2), 0.0), (1.0, 1.0)])
def test_gain_keeps_the_second_moment(gain, slope):
    """He et al.: sqrt(2) makes up for what a ReLU takes away, 1 for nothing."""
    torch.manual_seed(0)
    x = torch.randn(500, 1000)
    y = EqualizedLinear(1000, 1000, bias=False, gain=gain)(x)
    assert abs(F.leaky_relu(y, slope).square().mean() - 1) < 0.02


@pytest.mark.parametrize("multiplier", [1.0, 0.01])
def test_multiplier_changes_the_speed_and_not_the_start(multiplier):
    """A step of SGD-free size s (as Adam's first, lr * sign) moves the map by s * multiplier."""
    layers = [EqualizedLinear(4, 3, gain=1.0, lr_multiplier=m) for m in (1.0, multiplier)]
    with torch.no_grad():
        layers[1].weight.copy_(layers[0].weight / multiplier)
    x = torch.ones(1, 4)
    torch.testing.assert_close(layers[0](x), layers[1](x))
    before = layers[1](x)
    with torch.no_grad():
        layers[1].weight += 0.1
        layers[1].bias += 0.1
    moved = 0.1 * multiplier * (4 / math.sqrt(4)) + 0.1 * multiplier
    torch.testing.assert_close(
        layers[1](x) - before, torch.full((1, 3), moved), rtol=1e-3, atol=1e-5
    )


def test_first_step_of_adam_is_the_same_share_of_any_layer():
    """What the method is for: at equal learning rate the relative change does not know fan-in."""
    changes = []
    for fan_in in (4, 4096):
        torch.manual_seed(0)
        layer = EqualizedLinear(fan_in, 64, bias=False)
        before = (layer.weight * layer.scale).detach().clone()
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
        layer(torch.randn(8, fan_in)).square().sum().backward()
        optimizer.step()
        change = (layer.weight * layer.scale).detach() - before
        changes.append(float(change.norm() / before.norm()))
    assert changes[0] == pytest.approx(changes[1], rel=0.15)


def test_no_bias_means_no_parameter():
    assert [name for name, _ in EqualizedConv2d(2, 2, 1, bias=False).named_parameters()] == [
        "weight"
    ]
