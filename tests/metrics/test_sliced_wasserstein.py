import numpy as np
import pytest
import torch
from scipy.ndimage import convolve
from scipy.stats import wasserstein_distance

from ganlab.metrics import SlicedWasserstein
from ganlab.metrics.sliced_wasserstein import (
    double,
    halve,
    level,
    level_sizes,
    patches,
    sliced_distance,
)


def images(num, size, seed, channels=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(num, channels, size, size, generator=generator) * 2 - 1


def score(real, fake, **options):
    metric = SlicedWasserstein(**options)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return {name: value.item() for name, value in metric.compute().items()}


TAPS = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256


def test_halving_agrees_with_scipy():
    x = images(1, 16, 1, channels=1)
    expected = convolve(x[0, 0].double().numpy(), TAPS, mode="mirror")[::2, ::2]
    assert halve(x.double())[0, 0].numpy() == pytest.approx(expected, rel=1e-12)


def test_doubling_agrees_with_scipy():
    x = images(1, 8, 1, channels=1).double()
    spread = np.zeros((16, 16))
    spread[::2, ::2] = x[0, 0].numpy()
    expected = convolve(spread, 4 * TAPS, mode="mirror")
    assert double(x)[0, 0].numpy() == pytest.approx(expected, rel=1e-12)


def test_channels_do_not_mix():
    x = images(2, 16, 1)
    for channel in range(3):
        alone = halve(x[:, channel : channel + 1])
        torch.testing.assert_close(halve(x)[:, channel : channel + 1], alone)


def test_the_pyramid_adds_up_to_the_image():
    x = images(2, 32, 1).double()
    coarse, fine = level(x, 16, lowest=True), level(x, 32, lowest=False)
    torch.testing.assert_close(double(coarse) + fine, x)


def test_levels_run_from_sixteen_to_the_full_size():
    assert level_sizes(128) == [128, 64, 32, 16]
    assert level_sizes(28) == [28]
    assert level_sizes(28, 7) == [28, 14, 7]
    assert level_sizes(33) == [33]


def test_a_constant_image_is_all_in_the_lowest_level():
    flat = torch.full((1, 1, 32, 32), 0.7, dtype=torch.float64)
    assert level(flat, 32, lowest=False).abs().max() < 1e-12
    torch.testing.assert_close(level(flat, 16, lowest=True), flat[..., :16, :16])


def test_patches_are_pieces_of_the_image_at_keyed_positions():
    """Of images that number their pixels, undone normalization gives the positions back."""
    ramp = torch.arange(400.0).view(1, 1, 20, 20).repeat(3, 1, 1, 1)
    found = patches(ramp, 20, lowest=True, num=5)
    assert found.shape == (15, 49)
    unit = found[0, 1] - found[0, 0]  # one pixel to the right
    offsets = ((found - found[:, :1]) / unit).round().long()
    window = (torch.arange(7)[:, None] * 20 + torch.arange(7)).flatten()
    assert torch.equal(offsets, window.expand(15, 49))
    corners = ((found[:, 0] - found[:, 0].min()) / unit).round()
    assert len(corners.unique()) > 10
    assert torch.equal(found, patches(ramp, 20, lowest=True, num=5, batch_size=2))


def test_each_channel_is_normalized_over_the_set():
    shift = torch.tensor([0.0, 50.0, 3.0])[:, None, None]
    found = patches(images(9, 16, 1) * 40 + shift, 16, lowest=True, num=8)
    channels = found.view(-1, 49, 3).flatten(0, 1)
    assert channels.mean(0).abs().max() < 1e-5
    torch.testing.assert_close(channels.std(0, correction=0), torch.ones(3), rtol=1e-5, atol=0)


def test_of_one_dimension_the_distance_is_scipys():
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(200, 1, generator=generator), 2 * torch.rand(200, 1, generator=generator)
    expected = wasserstein_distance(a[:, 0].numpy(), b[:, 0].numpy())
    assert sliced_distance(a, b, 4).item() == pytest.approx(expected, rel=1e-6)


def test_a_shift_in_closed_form():
    """Shifted by v the distance is E|<v, u>| = |v| Gamma(d/2) / (sqrt(pi) Gamma((d+1)/2))."""
    points = torch.randn(50, 2, generator=torch.Generator().manual_seed(1))
    found = sliced_distance(points, points + torch.tensor([3.0, 4.0]), 20_000)
    assert found.item() == pytest.approx(5 * 2 / np.pi, rel=0.01)


def test_blocks_of_directions_do_not_matter():
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(300, 5, generator=generator), torch.rand(300, 5, generator=generator)
    expected = sliced_distance(a, b, 64)
    assert sliced_distance(a, b, 64, memory_mb=0).item() == pytest.approx(expected.item(), rel=1e-6)


def test_equal_sets_are_at_zero_and_unlike_ones_are_not():
    real = images(60, 32, 1)
    options = {"patches_per_image": 32, "num_projections": 32}
    assert score(real, real.clone(), **options) == {"swd_16px": 0, "swd_32px": 0, "swd": 0}
    smooth = torch.nn.functional.avg_pool2d(real, 3, 1, 1)
    found = score(real, smooth, **options)
    assert found["swd"] == pytest.approx((found["swd_16px"] + found["swd_32px"]) / 2)
    assert found["swd_32px"] > 50  # texture gone
    fresh = score(real, images(60, 32, 2), **options)
    assert 0 < fresh["swd_32px"] < found["swd_32px"]


def test_batches_do_not_matter():
    real, fake = images(12, 16, 1), images(12, 16, 2)
    options = {"patches_per_image": 8, "num_projections": 16}
    metric = SlicedWasserstein(**options)
    for rows in torch.arange(12).flip(0).split(5):
        metric.update(real[rows], real=True, index=rows)
        metric.update(fake[rows], real=False, index=rows)
    found = {name: value.item() for name, value in metric.compute().items()}
    assert found == score(real, fake, **options)


def test_images_it_cannot_compare():
    with pytest.raises(ValueError, match="equally many images, not 10 with 20"):
        SlicedWasserstein().check_sizes(20, 10)
    with pytest.raises(ValueError, match="images of at least 7 px, not 4"):
        score(images(3, 4, 1), images(3, 4, 2))
    with pytest.raises(ValueError, match="square images, not of 16x8 px"):
        score(images(3, 16, 1)[..., :8], images(3, 16, 2)[..., :8])
    with pytest.raises(ValueError, match="min_resolution >= 7"):
        SlicedWasserstein(min_resolution=4)
