"""Resampling against explicit loops over pixels, adjoints, and derivatives of both orders."""

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from ganlab.nn.resample import (
    Blur,
    downsample2x,
    downsample_average,
    fir_kernel,
    upfirdn,
    upsample2x,
    upsample_nearest,
)

LEANING = torch.tensor([[0.5, -1.0, 2.0], [0.25, 3.0, 0.0], [1.0, 0.5, -0.75]]).double()


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_upfirdn(x: Tensor, kernel: Tensor, up: int, down: int, padding: tuple[int, int]) -> Tensor:
    """The definition, pixel by pixel: sum over taps of kernel[j] * z[i + T - 1 - j]."""
    before, after = padding
    size, taps = [side * up + before + after for side in x.shape[2:]], kernel.shape[0]
    padded = torch.zeros(*x.shape[:2], *size, dtype=x.dtype)
    for row in range(x.shape[2]):
        for column in range(x.shape[3]):
            at = before + row * up, before + column * up
            if 0 <= at[0] < size[0] and 0 <= at[1] < size[1]:
                padded[:, :, at[0], at[1]] = x[:, :, row, column]
    rows, columns = range(0, size[0] - taps + 1, down), range(0, size[1] - taps + 1, down)
    result = torch.zeros(*x.shape[:2], len(rows), len(columns), dtype=x.dtype)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            for a in range(taps):
                for b in range(taps):
                    pixel = padded[:, :, row + taps - 1 - a, column + taps - 1 - b]
                    result[:, :, i, j] += kernel[a, b] * pixel
    return result


@pytest.mark.parametrize(("height", "width"), [(4, 4), (5, 7)])
@pytest.mark.parametrize("padding", [(0, 0), (2, 1), (1, 3), (-1, 2), (3, -1)])
@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2), (2, 2), (3, 2), (2, 3)])
def test_upfirdn_is_its_definition(up, down, padding, height, width):
    x = drawn(2, 3, height, width)
    expected = slow_upfirdn(x, LEANING, up, down, padding)
    torch.testing.assert_close(upfirdn(x, LEANING, up, down, padding), expected)


@pytest.mark.parametrize(
    ("up", "down", "padding"), [(1, 1, (1, 2)), (2, 1, (2, 1)), (1, 2, (1, 1))]
)
def test_upfirdn_has_derivatives_of_both_orders(up, down, padding):
    x, kernel = drawn(1, 2, 3, 5).requires_grad_(), fir_kernel([1, 3, 3, 1]).double()

    def curved(x: Tensor) -> Tensor:
        return upfirdn(x, kernel, up, down, padding).pow(3)

    assert gradcheck(curved, (x,))
    assert gradgradcheck(curved, (x,))


def test_gradient_is_that_of_the_definition():
    x = drawn(2, 2, 5, 4).requires_grad_()
    for up, down, padding in [(2, 1, (2, 1)), (1, 2, (1, 0)), (2, 3, (0, 2))]:
        fast = upfirdn(x, LEANING, up, down, padding)
        slow = slow_upfirdn(x, LEANING, up, down, padding)
        cotangent = drawn(*fast.shape, seed=1)
        (by_fast,) = torch.autograd.grad(fast, x, cotangent)
        (by_slow,) = torch.autograd.grad(slow, x, cotangent)
        torch.testing.assert_close(by_fast, by_slow)


def test_kernel_of_stylegan2():
    line = torch.tensor([1.0, 3.0, 3.0, 1.0])
    torch.testing.assert_close(fir_kernel([1, 3, 3, 1]), torch.outer(line, line) / 64)


@pytest.mark.parametrize("taps", [[1, 2, 1], [1, 3, 3, 1], [1, 1], [5.0], [1, 4, 6, 4, 1]])
def test_kernels_sum_to_one(taps):
    torch.testing.assert_close(fir_kernel(taps).sum(), torch.ones(()))
    torch.testing.assert_close(Blur(taps).kernel.sum(), torch.ones(()))


@pytest.mark.parametrize("taps", [[], [1, -1]])
def test_impossible_taps_are_refused(taps):
    with pytest.raises(ValueError, match="taps"):
        fir_kernel(taps)


@pytest.mark.parametrize("taps", [(1, 1), (1, 2, 1), (1, 3, 3, 1), (1, 4, 6, 4, 1)])
class TestTwice:
    """What holds away from the border, where no zero padding is seen."""

    def test_sizes(self, taps):
        kernel = fir_kernel(taps)
        assert upsample2x(torch.ones(1, 2, 5, 8), kernel).shape == (1, 2, 10, 16)
        assert downsample2x(torch.ones(1, 2, 5, 8), kernel).shape == (1, 2, 2, 4)
        assert downsample2x(torch.ones(1, 2, 6, 7), kernel).shape == (1, 2, 3, 3)

    def test_a_flat_map_stays_flat(self, taps):
        flat, kernel = torch.full((1, 1, 12, 12), 0.7), fir_kernel(taps)
        for result in (upsample2x(flat, kernel), downsample2x(flat, kernel), Blur(taps)(flat)):
            inner = result[..., 2:-2, 2:-2]
            torch.testing.assert_close(inner, torch.full_like(inner, 0.7))

    def test_blur_keeps_the_size(self, taps):
        assert Blur(taps)(torch.ones(1, 2, 5, 8)).shape == (1, 2, 5, 8)


def test_blur_is_a_sum_over_neighbours():
    x = drawn(2, 3, 5, 6)
    kernel = torch.tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1]]).double() / 16
    torch.testing.assert_close(Blur().double()(x), slow_upfirdn(x, kernel, 1, 1, (1, 1)))


def test_up_and_down_are_each_others_adjoint():
    """<up(x), y> = 4 <x, down(y)> for a symmetric filter."""
    kernel = fir_kernel([1, 3, 3, 1]).double()
    x, y = drawn(2, 3, 4, 4), drawn(2, 3, 8, 8, seed=1)
    forward = (upsample2x(x, kernel) * y).sum()
    torch.testing.assert_close(forward, 4 * (x * downsample2x(y, kernel)).sum())


def test_an_odd_filter_stands_on_the_kept_pixel_and_on_the_zero_after_it():
    """The reference code's padding, of a filter that moves nothing: before, not after.

    Down, 3 taps pad one pixel before and none after: tap 1 lies on pixels 0, 2, 4. Up, they pad two
    before and none after: what stood at i comes to 2 i + 1. Five taps likewise.
    """
    x = drawn(1, 2, 6, 8)
    for taps in ((0, 1, 0), (0, 0, 1, 0, 0)):
        kernel = fir_kernel(taps).double()
        torch.testing.assert_close(downsample2x(x, kernel), x[..., ::2, ::2])
        wide = torch.zeros(1, 2, 12, 16).double()
        wide[..., 1::2, 1::2] = 4 * x
        torch.testing.assert_close(upsample2x(x, kernel), wide)
        torch.testing.assert_close(Blur(taps).double()(x), x)


def test_a_leaning_filter_of_odd_length_is_its_definition_at_both_borders():
    x, kernel = drawn(1, 1, 6, 6), fir_kernel((1, 2, 5)).double()
    torch.testing.assert_close(downsample2x(x, kernel), slow_upfirdn(x, kernel, 1, 2, (1, 0)))
    torch.testing.assert_close(upsample2x(x, kernel), slow_upfirdn(x, 4 * kernel, 2, 1, (2, 0)))


def test_two_equal_taps_are_nearest_and_average():
    x, box = drawn(2, 3, 6, 8), fir_kernel([1, 1]).double()
    torch.testing.assert_close(upsample2x(x, box), upsample_nearest(x))
    torch.testing.assert_close(downsample2x(x, box), downsample_average(x))


def test_nearest_repeats_and_average_averages():
    x = drawn(2, 3, 4, 6)
    repeated = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert torch.equal(upsample_nearest(x), repeated)
    expected = (
        x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]
    ) / 4
    torch.testing.assert_close(downsample_average(x), expected)
    torch.testing.assert_close(downsample_average(upsample_nearest(x)), x)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_other_factors_are_repetitions_and_means(factor):
    x = drawn(2, 3, 2, 3)
    repeated = x.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)
    assert torch.equal(upsample_nearest(x, factor), repeated)
    wide = drawn(2, 3, 2 * factor, 3 * factor)
    means = wide.reshape(2, 3, 2, factor, 3, factor).mean(dim=(3, 5))
    torch.testing.assert_close(downsample_average(wide, factor), means)


@pytest.mark.parametrize("resample", [upsample_nearest, downsample_average, Blur().double()])
def test_the_others_have_derivatives_of_both_orders(resample):
    x = drawn(1, 2, 4, 4).requires_grad_()

    def curved(x: Tensor) -> Tensor:
        return resample(x).pow(3)

    assert gradcheck(curved, (x,))
    assert gradgradcheck(curved, (x,))


def test_blur_is_no_part_of_a_checkpoint():
    assert not Blur().state_dict()
