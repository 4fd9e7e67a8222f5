import copy

import pytest
import torch
from torch import nn

from ganlab.systems.ema import ExponentialAverage


def test_half_life_in_images_is_a_half():
    ema = ExponentialAverage(half_life_kimg=10.0, ramp=None)
    assert ema.beta(images=10_000, images_seen=10**6) == 0.5


def test_average_does_not_depend_on_how_images_are_batched():
    """A constant source after n images: average = source + beta^n (start - source), closed form."""
    ema = ExponentialAverage(half_life_kimg=1.0, ramp=None)
    source = nn.Linear(3, 2)
    start = nn.Linear(3, 2)
    for sizes in ([64] * 10, [640], [1, 639], [320, 160, 160]):
        average = copy.deepcopy(start)
        for size in sizes:
            ema.update(average, source, size, images_seen=10**6)
        expected = source.weight + 0.5 ** (640 / 1000) * (start.weight - source.weight)
        torch.testing.assert_close(average.weight, expected)


def test_ramp_shortens_the_half_life_at_the_start():
    ema = ExponentialAverage(half_life_kimg=10.0, ramp=0.05)
    assert ema.beta(64, images_seen=0) == 0.0  # the average starts as a copy
    assert ema.beta(500, images_seen=10_000) == 0.5  # 5% of 10,000 images
    assert ema.beta(10_000, images_seen=10**6) == 0.5  # the ramp is over


def test_a_share_shortens_the_half_life():
    ema = ExponentialAverage(half_life_kimg=10.0, ramp=None)
    assert ema.beta(2_500, images_seen=10**6, share=0.25) == 0.5
    assert ema.beta(64, images_seen=10**6, share=0.0) == 0.0  # a copy


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"half_life_kimg": 0.0}, r"model\.ema\.half_life_kimg must be above 0, got 0.*ema=null"),
        ({"half_life_kimg": -1.0}, r"model\.ema\.half_life_kimg must be above 0, got -1"),
        ({"half_life_kimg": float("nan")}, r"model\.ema\.half_life_kimg .* got nan"),
        ({"ramp": 0.0}, r"model\.ema\.ramp must be above 0, or null, got 0"),
        ({"ramp": -0.05}, r"model\.ema\.ramp must be above 0, or null, got -0\.05"),
    ],
)
def test_what_averages_nothing_is_refused_by_its_key(options, message):
    with pytest.raises(ValueError, match=message):
        ExponentialAverage(**options)


def test_buffers_are_copied():
    source, average = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    source(torch.randn(4, 2, 3, 3) + 5)
    ExponentialAverage().update(average, source, 1, 10**6)
    assert torch.equal(average.running_mean, source.running_mean)
    assert torch.equal(average.num_batches_tracked, source.num_batches_tracked)


@pytest.mark.parametrize("steps", [1, 7])
def test_update_equals_the_recursion(steps):
    ema = ExponentialAverage(half_life_kimg=2.0, ramp=0.1)
    average, source = nn.Linear(2, 2), nn.Linear(2, 2)
    expected = average.weight.detach().clone().double()
    for step in range(1, steps + 1):
        with torch.no_grad():
            source.weight.add_(0.1 * step)
        seen = 100 * step
        beta = 0.5 ** (100 / min(2000.0, 0.1 * seen))
        expected = beta * expected + (1 - beta) * source.weight.detach().double()
        ema.update(average, source, 100, seen)
    torch.testing.assert_close(average.weight.double(), expected, rtol=1e-6, atol=1e-7)
