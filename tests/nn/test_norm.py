"""Normalizations: what they promise, and what they do to a peak (Tan, Wen, Yang, eqs. 2 to 7)."""

import importlib
from functools import partial
from math import sqrt
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from ganlab.nn.norm import (
    InstanceNorm,
    NoNorm,
    PixelInstanceNorm,
    PixelNorm,
    SwitchableNorm,
)

CONFIGS = sorted((Path(__file__).parents[2] / "conf" / "model" / "norm").glob("[!_]*.yaml"))


def configured(path: Path) -> partial:
    """The norm that a config names, with the config's options."""
    node = OmegaConf.to_container(OmegaConf.load(path))
    assert node.pop("_partial_")
    module, _, name = node.pop("_target_").rpartition(".")
    return partial(getattr(importlib.import_module(module), name), **node)


NORMS = [pytest.param(configured(path), id=path.stem) for path in CONFIGS]


def maps(*shape: int, seed: int = 0) -> Tensor:
    """Maps whose channels differ in mean and in scale."""
    draw = torch.Generator().manual_seed(seed)
    channels = torch.arange(1.0, shape[1] + 1)[:, None, None]
    return torch.randn(shape, generator=draw, dtype=torch.float64) * channels + channels


def planted(share: float, height: float, size: int = 40) -> Tensor:
    """(1, 1, size, size): `height` on a share of the pixels, a whisper elsewhere."""
    pixels = 0.01 * torch.randn(size * size, generator=torch.Generator().manual_seed(1))
    pixels[: round(share * size * size)] += height
    return pixels.reshape(1, 1, size, size)


def with_rho(value: float, channels: int = 6) -> PixelInstanceNorm:
    norm = PixelInstanceNorm(channels).double()
    nn.init.constant_(norm.rho, value)
    return norm


def switched(of_mean: str, of_variance: str) -> SwitchableNorm:
    """A switchable norm that has all but decided."""
    norm = SwitchableNorm(6).double()
    with torch.no_grad():
        norm.mean_logits[SwitchableNorm.STATISTICS.index(of_mean)] = 100
        norm.variance_logits[SwitchableNorm.STATISTICS.index(of_variance)] = 100
    return norm


@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_is_built_from_its_channels_and_keeps_the_shape(norm):
    x = maps(3, 6, 5, 5).float()
    assert norm(6)(x).shape == x.shape


@pytest.mark.parametrize("norm", NORMS)
def test_a_sample_does_not_depend_on_its_batch(norm):
    built, x = norm(6).double(), maps(4, 6, 5, 5)
    for parameter in built.parameters():
        nn.init.uniform_(parameter, 0.2, 0.8)
    for mode in (True, False):
        built.train(mode)
        alone = torch.cat([built(sample) for sample in x.split(1)])
        torch.testing.assert_close(alone, built(x))


def test_a_norm_that_mixes_the_batch_would_be_noticed():
    """In training; in evaluation too where it takes statistics of the batch at hand."""
    for mixing in (nn.BatchNorm2d, partial(nn.BatchNorm2d, track_running_stats=False)):
        with pytest.raises(AssertionError):
            test_a_sample_does_not_depend_on_its_batch(mixing)


@pytest.mark.parametrize("norm", NORMS)
def test_gradients_are_finite_where_a_map_is_all_zero(norm):
    x = torch.zeros(2, 6, 4, 4, requires_grad=True)
    norm(6)(x).sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("norm", NORMS)
def test_gradients_are_those_of_finite_differences(norm):
    built, x = norm(3).double(), maps(1, 3, 2, 3).requires_grad_()
    for parameter in built.parameters():
        nn.init.uniform_(parameter, 0.2, 0.8)
    assert torch.autograd.gradcheck(built, x)


def test_instance_norm_gives_zero_mean_and_unit_variance_to_each_channel():
    y = InstanceNorm(6)(maps(3, 6, 16, 16))
    torch.testing.assert_close(y.mean(dim=(2, 3)), torch.zeros(3, 6).double(), atol=1e-9, rtol=0)
    variance = y.var(dim=(2, 3), correction=0)
    torch.testing.assert_close(variance, torch.ones(3, 6).double(), atol=1e-6, rtol=0)


def test_instance_norm_agrees_with_torch():
    x = maps(3, 6, 7, 7)
    torch.testing.assert_close(InstanceNorm(6)(x), nn.InstanceNorm2d(6, eps=1e-8)(x))


def test_pixel_norm_gives_unit_root_mean_square_at_each_pixel():
    rms = PixelNorm(6)(maps(3, 6, 4, 4)).square().mean(dim=1).sqrt()
    torch.testing.assert_close(rms, torch.ones(3, 4, 4).double())


def test_pixel_norm_takes_latents_too():
    rms = PixelNorm()(torch.randn(5, 16)).square().mean(dim=1).sqrt()
    torch.testing.assert_close(rms, torch.ones(5))


def test_pixel_norm_only_rescales_a_pixel():
    x = maps(2, 6, 4, 4)
    torch.testing.assert_close(PixelNorm(6)(7 * x), PixelNorm(6)(x))
    assert torch.equal(PixelNorm(6)(x).sign(), x.sign())


def test_pin_is_in_at_rho_0_and_pn_at_rho_1():
    x = maps(3, 6, 5, 5)
    torch.testing.assert_close(with_rho(0.0)(x), InstanceNorm(6)(x))
    torch.testing.assert_close(with_rho(1.0)(x), PixelNorm(6)(x))


def test_pin_blends_channel_by_channel():
    norm, x = with_rho(0.0), maps(2, 6, 5, 5)
    share = torch.linspace(0, 1, 6).double()
    norm.rho.data.copy_(share)
    instance, pixel = InstanceNorm(6)(x), PixelNorm(6)(x)
    for c in range(6):
        expected = share[c] * pixel[:, c] + (1 - share[c]) * instance[:, c]
        torch.testing.assert_close(norm(x)[:, c], expected)


def test_pin_starts_as_in_and_learns():
    norm = PixelInstanceNorm(6)
    assert not norm.rho.any()
    (norm(maps(2, 6, 5, 5).float()) ** 3).sum().backward()
    assert norm.rho.grad.all()


def test_project_clips_rho_to_the_unit_interval_in_place():
    norm = PixelInstanceNorm(4)
    rho = norm.rho
    rho.data.copy_(torch.tensor([-0.5, 0.25, 1.0, 3.0]))
    norm.project_()
    assert norm.rho is rho
    assert rho.tolist() == [0.0, 0.25, 1.0, 1.0]
    assert rho.requires_grad


def test_shares_of_a_switchable_norm_sum_to_one():
    norm = SwitchableNorm(6)
    for weights in norm.weights():
        torch.testing.assert_close(weights, torch.full((3,), 1 / 3))
    nn.init.normal_(norm.mean_logits)
    nn.init.normal_(norm.variance_logits)
    of_mean, of_variance = norm.weights()
    torch.testing.assert_close(of_mean.sum(), torch.tensor(1.0))
    torch.testing.assert_close(of_variance.sum(), torch.tensor(1.0))
    assert not torch.equal(of_mean, of_variance)


def test_a_switchable_norm_can_become_each_of_its_statistics():
    x = maps(3, 6, 5, 5)
    torch.testing.assert_close(switched("instance", "instance")(x), InstanceNorm(6)(x))
    torch.testing.assert_close(switched("pixel", "pixel")(x), PixelNorm(6)(x))
    layer = nn.GroupNorm(1, 6, eps=1e-8, affine=False)
    torch.testing.assert_close(switched("layer", "layer")(x), layer(x))


def test_a_switchable_norm_takes_mean_and_variance_separately():
    x = maps(2, 6, 5, 5)
    expected = (x - x.mean(dim=(2, 3), keepdim=True)) / x.square().mean(dim=1, keepdim=True).sqrt()
    torch.testing.assert_close(switched("instance", "pixel")(x), expected)


def test_a_switchable_norm_weighs_statistics_as_an_explicit_loop_does():
    norm, x = SwitchableNorm(3).double(), maps(2, 3, 4, 4)
    nn.init.normal_(norm.mean_logits)
    nn.init.normal_(norm.variance_logits)
    of_mean, of_variance = (weights.tolist() for weights in norm.weights())
    y = norm(x)
    for n in range(2):
        for c in range(3):
            for pixel in ((0, 0), (1, 3), (3, 2)):
                here, channel, at = x[n], x[n, c], x[n, :, pixel[0], pixel[1]]
                means = [channel.mean(), here.mean(), 0.0]
                variances = [
                    channel.var(correction=0),
                    here.var(correction=0),
                    at.square().mean(),
                ]
                mean = sum(w * m for w, m in zip(of_mean, means, strict=True))
                variance = sum(w * v for w, v in zip(of_variance, variances, strict=True))
                expected = (channel[pixel] - mean) / (variance + 1e-8).sqrt()
                torch.testing.assert_close(y[n, c][pixel], expected)


def test_no_norm_is_the_identity():
    x = maps(2, 6, 4, 4)
    assert NoNorm(6)(x) is x


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5])
@pytest.mark.parametrize("height", [10.0, 1000.0])
def test_instance_norm_amplifies_a_small_peak(share, height):
    """Eq. 2: sqrt((1 - alpha) / alpha), whatever the peak's height."""
    x = planted(share, height)
    peak = InstanceNorm(1)(x)[x > height / 2]
    assert len(peak) == round(share * 1600)
    assert peak.mean().item() == pytest.approx(sqrt((1 - share) / share), rel=0.01)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5])
def test_pixel_norm_bounds_a_peak_in_one_channel_by_root_c(share):
    channels = 16
    x = 0.01 * maps(1, channels, 40, 40).float()
    peak = planted(share, 1000.0)
    x[:, :1] = peak
    out = PixelNorm(channels)(x)[:, :1][peak > 500]
    assert out.max() <= sqrt(channels)
    assert out.mean().item() == pytest.approx(sqrt(channels), rel=0.01)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5])
def test_pixel_norm_brings_a_peak_that_all_channels_share_to_one(share):
    peak = planted(share, 1000.0)
    out = PixelNorm(16)(peak.expand(1, 16, -1, -1))[peak.expand(1, 16, -1, -1) > 500]
    assert out.mean().item() == pytest.approx(1.0, rel=0.01)
