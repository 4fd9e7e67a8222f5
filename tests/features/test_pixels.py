"""Quantisation, channels and the three resizes against loops and Pillow."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from ganlab.features.pixels import quantize, resize_antialiased, resize_tf1, with_channels


def noise(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_every_8_bit_value_survives_the_way_to_float_and_back():
    values = torch.arange(256.0).view(1, 1, 16, 16)
    assert torch.equal(quantize(values / 127.5 - 1), values)


def test_quantising_twice_changes_nothing_and_errs_by_half_a_step_at_most():
    images = noise(2, 3, 17, 13)
    once = quantize(images)
    assert torch.equal(quantize(once / 127.5 - 1), once)
    assert torch.equal(once, once.round())
    assert (once / 127.5 - 1 - images).abs().max() <= 0.5 / 127.5 + 1e-6


def test_what_lies_outside_the_range_is_clamped_and_nan_stays_visible():
    images = torch.tensor([-7.0, -1.0, 1.0, 7.0]).view(1, 1, 2, 2)
    assert quantize(images).flatten().tolist() == [0, 0, 255, 255]
    assert quantize(torch.full((1, 1, 1, 1), math.nan)).isnan().all()


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(1, 3, 4, 4, dtype=torch.uint8),
        torch.zeros(3, 4, 4),
    ],
)
def test_anything_but_float_images_is_refused(images):
    with pytest.raises(ValueError, match=r"float images in \[-1, 1\]"):
        quantize(images)


def test_grey_repeats_and_a_grey_picture_in_colour_comes_back_exactly():
    grey = torch.arange(256.0).view(1, 1, 16, 16)
    colour = with_channels(grey, 3)
    assert all(torch.equal(colour[:, [c]], grey) for c in range(3))
    assert torch.equal(with_channels(colour, 1), grey)


def test_luminance_agrees_with_pillow_to_one_step():
    colour = quantize(noise(1, 3, 32, 32))
    array = colour[0].permute(1, 2, 0).numpy().astype(np.uint8)
    expected = np.asarray(Image.fromarray(array).convert("L"), np.float32)
    assert np.abs(with_channels(colour, 1)[0, 0].numpy() - expected).max() <= 1


def loop_tf1(image, size):
    """TensorFlow 1's resize_bilinear without align_corners, pixel by pixel."""
    height, width = image.shape
    result = torch.empty(size, size)
    for i in range(size):
        for j in range(size):
            y, x = i * height / size, j * width / size
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            upper = image[top, left] * (1 - (x - left)) + image[top, right] * (x - left)
            lower = image[bottom, left] * (1 - (x - left)) + image[bottom, right] * (x - left)
            result[i, j] = upper * (1 - (y - top)) + lower * (y - top)
    return result


@pytest.mark.parametrize("shape", [(28, 28), (5, 9), (64, 31), (1, 1)])
def test_tf1_resize_equals_an_explicit_loop(shape):
    image = 255 * noise(*shape).abs()
    resized = resize_tf1(image.expand(2, 3, *shape), 30)
    torch.testing.assert_close(resized[1, 2], loop_tf1(image, 30), rtol=0, atol=5e-3)


def test_tf1_resize_to_its_own_size_changes_nothing_and_halving_takes_every_other_pixel():
    images = noise(2, 3, 20, 20)
    assert torch.equal(resize_tf1(images, 20), images)
    assert torch.equal(resize_tf1(images, 10), images[:, :, ::2, ::2])


@pytest.mark.parametrize(("mode", "filter_"), [("bilinear", "BILINEAR"), ("bicubic", "BICUBIC")])
@pytest.mark.parametrize("shape", [(64, 48), (20, 20)])
def test_antialiased_resize_is_pillows(mode, filter_, shape):
    grid = quantize(noise(1, 1, *shape))
    picture = Image.fromarray(grid[0, 0].numpy())
    expected = picture.resize((32, 32), getattr(Image.Resampling, filter_))
    resized = resize_antialiased(grid, 32, mode)[0, 0]
    np.testing.assert_allclose(resized.numpy(), np.asarray(expected), atol=2e-3)
