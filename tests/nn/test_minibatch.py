"""Minibatch standard deviation against a loop, and what strided ranks see."""

import pytest
import torch

from ganlab.nn.minibatch import MinibatchStd


def explicit(x, group_size, num_features):
    """Section 3 of the paper, sample by sample."""
    N, C, H, W = x.shape
    stride = N // group_size
    maps = torch.empty(N, num_features, H, W)
    for i in range(N):
        group = [x[j] for j in range(N) if j % stride == i % stride]
        assert len(group) == group_size
        stds = (torch.stack(group).double().var(dim=0, unbiased=False) + 1e-8).sqrt()
        for f in range(num_features):
            share = stds[f * C // num_features : (f + 1) * C // num_features]
            maps[i, f] = share.mean()
    return torch.cat([x, maps], dim=1)


@pytest.mark.parametrize(("N", "group_size", "taken"), [(8, 4, 4), (4, 4, 4), (3, 4, 3), (6, 4, 3)])
@pytest.mark.parametrize("num_features", [1, 2])
def test_equals_an_explicit_loop(N, group_size, taken, num_features):
    x = torch.randn(N, 6, 3, 3)
    got = MinibatchStd(group_size, num_features)(x)
    torch.testing.assert_close(got, explicit(x, taken, num_features))


def test_a_group_that_agrees_says_almost_nothing_and_has_a_gradient():
    x = torch.randn(1, 2, 3, 3).repeat(4, 1, 1, 1).requires_grad_()
    out = MinibatchStd(4)(x)
    torch.testing.assert_close(out[:, 2], torch.full((4, 3, 3), 1e-4))
    out.sum().backward()
    assert x.grad.isfinite().all()


def test_scales_with_the_spread():
    x = torch.randn(4, 3, 2, 2)
    layer = MinibatchStd(4)
    torch.testing.assert_close(layer(10 * x)[:, 3], 10 * layer(x)[:, 3])


def test_strided_ranks_see_the_groups_of_one_process():
    x = torch.randn(16, 3, 2, 2)
    whole = MinibatchStd(4)(x)
    for rank in (0, 1):
        assert torch.equal(MinibatchStd(4)(x[rank::2]), whole[rank::2])


def test_counts_below_one_are_refused():
    with pytest.raises(ValueError, match="group_size and num_features"):
        MinibatchStd(0)
