"""Modulated convolution against a loop over the batch; demodulation by its statistics."""

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import conv2d, conv_transpose2d

from ganlab.nn.modulation import (
    ScaledLeakyReLU,
    StyledConv,
    ToImage,
    demodulation,
    modulated_conv2d,
    noise_source,
)
from ganlab.nn.resample import fir_kernel

N, INCOMING, OUTGOING = 3, 4, 5
KERNEL = fir_kernel([1, 3, 3, 1]).double()


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def looped(x: Tensor, weight: Tensor, styles: Tensor, demodulate: bool, up: bool) -> Tensor:
    """One sample after another, with its weights written out; up-sampling by the definition."""
    images = []
    for image, style in zip(x, styles, strict=True):
        own = weight.clone()
        for i in range(weight.shape[1]):
            own[:, i] = weight[:, i] * style[i]
        if demodulate:
            rows = [own[o] / (own[o].square().sum() + 1e-8).sqrt() for o in range(len(own))]
            own = torch.stack(rows)
        images.append(raised(image, own) if up else conv2d(image[None], own, padding=1)[0])
    return torch.stack(images)


def raised(image: Tensor, weight: Tensor) -> Tensor:
    """Zeros between pixels, convolution with the filter turned, then [1, 3, 3, 1], gain 4."""
    C, H, W = image.shape
    spread = torch.zeros(C, 2 * H, 2 * W, dtype=image.dtype)
    spread[:, ::2, ::2] = image
    spread = nn.functional.pad(spread, (2, 1, 2, 1))  # one more than the filter needs, in front
    wide = conv2d(spread[None], weight.flip(2, 3))
    wide = nn.functional.pad(wide, (1, 1, 1, 1))
    taps = 4 * KERNEL.expand(len(weight), 1, 4, 4)
    return conv2d(wide, taps, groups=len(weight))[0]


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
@pytest.mark.parametrize(("height", "width"), [(4, 4), (3, 5)])
def test_values_and_gradients_are_those_of_the_loop(demodulate, up, height, width):
    inputs = [drawn(N, INCOMING, height, width), drawn(OUTGOING, INCOMING, 3, 3, seed=1)]
    inputs = [x.requires_grad_() for x in [*inputs, drawn(N, INCOMING, seed=2)]]
    fast = modulated_conv2d(*inputs, demodulate, KERNEL if up else None)
    slow = looped(*inputs, demodulate, up)
    torch.testing.assert_close(fast, slow)
    cotangent = drawn(*fast.shape, seed=3)
    for by_fast, by_slow in zip(
        torch.autograd.grad(fast, inputs, cotangent),
        torch.autograd.grad(slow, inputs, cotangent),
        strict=True,
    ):
        torch.testing.assert_close(by_fast, by_slow)


@pytest.mark.parametrize("up_kernel", [None, KERNEL], ids=["same", "up"])
def test_derivatives_of_both_orders(up_kernel):
    inputs = (drawn(2, 2, 2, 3), drawn(2, 2, 3, 3, seed=1), drawn(2, 2, seed=2) + 1)
    inputs = tuple(x.requires_grad_() for x in inputs)

    def modulated(x: Tensor, weight: Tensor, styles: Tensor) -> Tensor:
        return modulated_conv2d(x, weight, styles, True, up_kernel)

    assert gradcheck(modulated, inputs)
    assert gradgradcheck(modulated, inputs)


@pytest.mark.parametrize("taps", [(1, 1), (1, 2, 1), (1, 3, 3, 1), (1, 4, 6, 4, 1)])
@pytest.mark.parametrize("size", [1, 3])
def test_going_up_doubles_the_size_and_keeps_a_flat_map(taps, size):
    weight = torch.zeros(1, 1, size, size)
    weight[..., size // 2, size // 2] = 1  # a filter that passes its input
    flat = torch.full((1, 1, 8, 8), 0.6)
    raised_map = modulated_conv2d(flat, weight, torch.ones(1, 1), False, fir_kernel(taps))
    assert raised_map.shape == (1, 1, 16, 16)
    inner = raised_map[..., 3:-3, 3:-3]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.6))


def test_plain_transposed_convolution_is_what_stands_before_the_filter():
    """Stored weights act as in conv_transpose2d, without a flip: the layout of released files."""
    x, weight, ones = drawn(1, 2, 4, 4), drawn(3, 2, 3, 3, seed=1), torch.ones(1, 2).double()
    impulse = torch.zeros(2, 2, dtype=torch.float64)
    impulse[0, 0] = 0.25  # times the gain of 4 it is 1: a shift by one, and no filter
    raised_map = modulated_conv2d(x, weight, ones, False, impulse)
    whole = conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # (1, 3, 9, 9)
    torch.testing.assert_close(raised_map, whole[:, :, 1:, 1:])


def test_demodulated_outputs_have_unit_variance():
    """For inputs of unit variance and any style: section 2.2's assumption, measured."""
    weight, styles = drawn(6, 16, 3, 3), drawn(4, 16, seed=1) * 3 + 1
    x = drawn(4, 16, 130, 130, seed=2)
    inner = modulated_conv2d(x, weight, styles)[:, :, 1:-1, 1:-1]
    # Neighbours share inputs: of 128^2 positions about one in nine is independent.
    torch.testing.assert_close(inner.var(dim=(2, 3)), torch.ones(4, 6).double(), rtol=0.15, atol=0)
    plain = modulated_conv2d(x, weight, styles, demodulate=False)
    assert plain.var(dim=(2, 3)).min() > 30


def test_demodulation_undoes_the_scale_of_weights_and_styles():
    x, weight, styles = (
        drawn(N, INCOMING, 4, 4),
        drawn(OUTGOING, INCOMING, 3, 3),
        drawn(N, INCOMING),
    )
    expected = modulated_conv2d(x, weight, styles)
    torch.testing.assert_close(modulated_conv2d(x, 7 * weight, 3 * styles), expected)


def test_a_style_of_zero_is_survived():
    factors = demodulation(drawn(2, 3, 3, 3), torch.zeros(1, 3).double())
    torch.testing.assert_close(factors, torch.full((1, 2), 1e4).double())


def test_leaky_relu_keeps_a_symmetric_mean_square_nearly():
    """E f(x)^2 = (1 + 0.2^2) / 2 * gain^2 * E x^2 for symmetric x."""
    x = torch.cat([drawn(1000), -drawn(1000)])
    torch.testing.assert_close(ScaledLeakyReLU()(x).square().mean(), 1.04 * x.square().mean())


def test_clamp_limits_both_signs():
    x = torch.tensor([-100.0, -1.0, 1.0, 100.0])
    expected = torch.tensor([-3.0, -0.4, 2.0, 3.0])
    torch.testing.assert_close(ScaledLeakyReLU(gain=2.0, clamp=3.0)(x), expected)


def styled(**changes: object) -> StyledConv:
    torch.manual_seed(0)
    settings = {"size": (4, 4), "up": False, "taps": (1, 3, 3, 1), "clamp": None}
    layer = StyledConv(INCOMING, OUTGOING, 6, **{**settings, **changes})
    nn.init.normal_(layer.bias)
    return layer


def test_noise_enters_before_bias_and_activation():
    layer = styled()
    x, style = torch.randn(N, INCOMING, 4, 4), torch.randn(N, 6)
    noise = torch.randn(N, 1, 4, 4)
    nn.init.constant_(layer.noise_strength, 0.7)
    weight = layer.conv.weight / (INCOMING * 9) ** 0.5
    before = modulated_conv2d(x, weight, layer.affine(style)) + 0.7 * noise
    expected = nn.functional.leaky_relu(before + layer.bias[:, None, None], 0.2) * 2**0.5
    torch.testing.assert_close(layer(x, style, noise), expected)


def test_noise_is_off_at_the_start_and_styles_are_centred_on_one():
    layer, image = styled(), ToImage(INCOMING, 3, 6, None)
    assert layer.noise_strength == 0
    for module in (layer, image):
        assert torch.equal(module.affine(torch.zeros(1, 6)), torch.ones(1, INCOMING))


def test_to_image_is_a_plain_mixture_of_scaled_maps():
    torch.manual_seed(0)
    layer = ToImage(INCOMING, 3, 6, None)
    nn.init.normal_(layer.bias)
    x, style = torch.randn(N, INCOMING, 2, 2), torch.randn(N, 6)
    weight = layer.conv.weight[:, :, 0, 0] / INCOMING**0.5
    expected = torch.einsum("oi,ni,nihw->nohw", weight, layer.affine(style), x)
    torch.testing.assert_close(layer(x, style), expected + layer.bias[:, None, None])


def test_kinds_of_noise():
    layer = styled()
    shapes = []

    def draw(shape: torch.Size) -> Tensor:
        shapes.append(shape)
        return torch.ones(shape)

    assert noise_source("none", draw)(layer, N) is None
    assert noise_source("const", draw)(layer, N) is layer.noise_const
    assert not shapes
    assert torch.equal(noise_source("random", draw)(layer, N), torch.ones(N, 1, 4, 4))
    assert shapes == [(N, 1, 4, 4)]
    default = noise_source("random", None)(layer, N)
    assert default.unique().numel() == N * 16
    with pytest.raises(ValueError, match="random, const, none, got 'loud'"):
        noise_source("loud", None)
