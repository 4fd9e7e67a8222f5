"""Lazy Adam: its closed form, and that k + 1 of its steps remember as much as k plain ones."""

import pytest
import torch
from torch import nn

from ganlab.systems.optimizers import lazy_adam


def a_parameter() -> nn.Parameter:
    return nn.Parameter(torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize("interval", [2, 4, 16])
def test_lr_and_betas_are_those_of_appendix_b(interval):
    share = interval / (interval + 1)
    group = lazy_adam([a_parameter()], 0.002, (0.5, 0.99), interval).param_groups[0]
    assert group["lr"] == pytest.approx(0.002 * share)
    assert group["betas"] == pytest.approx((0.5**share, 0.99**share))
    assert group["eps"] == 1e-8


@pytest.mark.parametrize("interval", [4, 16])
def test_a_period_forgets_and_moves_as_much_as_before(interval):
    """k + 1 steps: betas ** (k + 1) equal the plain betas ** k, and k + 1 rates equal k."""
    group = lazy_adam([a_parameter()], 0.002, (0.5, 0.99), interval).param_groups[0]
    for beta, plain in zip(group["betas"], (0.5, 0.99), strict=True):
        assert beta ** (interval + 1) == pytest.approx(plain**interval)
    assert (interval + 1) * group["lr"] == pytest.approx(interval * 0.002)


def test_without_momentum_there_is_still_none():
    group = lazy_adam([a_parameter()], 0.002, [0.0, 0.99], 16).param_groups[0]
    assert group["betas"][0] == 0.0


def test_an_interval_of_one_is_plain_adam():
    group = lazy_adam([a_parameter()], 0.002, [0.0, 0.99], 1, eps=1e-6).param_groups[0]
    assert (group["lr"], group["betas"], group["eps"]) == (0.002, (0.0, 0.99), 1e-6)


def test_first_step_has_length_lr_times_c():
    """Adam's first step is lr * sign(gradient), whatever the betas."""
    parameter = a_parameter()
    optimizer = lazy_adam([parameter], 0.01, (0.0, 0.99), 4)
    parameter.grad = torch.tensor([3.0, -0.5, 20.0], dtype=torch.float64)
    optimizer.step()
    expected = -0.01 * 4 / 5 * torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(parameter.data, expected, rtol=1e-6, atol=0.0)


def test_an_impossible_interval_is_refused():
    with pytest.raises(ValueError, match="interval must be at least 1, got 0"):
        lazy_adam([a_parameter()], 0.002, (0.0, 0.99), 0)
