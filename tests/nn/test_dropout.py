"""Dropout with masks from elsewhere."""

import torch

from ganlab.nn.dropout import Dropout
from ganlab.systems.randomness import StepRandomness, dropping


def test_a_unit_is_dropped_where_the_draw_is_below_p_and_the_rest_scaled():
    layer, x = Dropout(0.25).train(), torch.arange(1.0, 9.0).reshape(2, 4)
    drawn = torch.tensor([[0.0, 0.24, 0.25, 0.9], [0.1, 0.5, 0.6, 0.2]])
    layer.draw = drawn.reshape
    expected = torch.tensor([[0.0, 0.0, 3.0, 4.0], [0.0, 6.0, 7.0, 0.0]]) / 0.75
    torch.testing.assert_close(layer(x), expected)
    assert torch.equal(layer.eval()(x), x)


def test_nobody_is_asked_at_the_ends_and_torch_where_nobody_draws():
    x = torch.ones(3, 5)
    for p, value in ((0.0, 1.0), (1.0, 0.0)):
        layer = Dropout(p).train()
        layer.draw = None
        assert torch.equal(layer(x), torch.full_like(x, value))
    torch.manual_seed(0)
    ours = Dropout(0.5)(x)
    torch.manual_seed(0)
    assert torch.equal(ours, torch.nn.Dropout(0.5)(x))


def test_ranks_drop_what_one_process_drops():
    """Two layers in a row: each has draws of its own, and every rank its samples' rows."""
    network = torch.nn.Sequential(Dropout(0.5), Dropout(0.3)).train()
    x = torch.ones(6, 40)

    def dropped(rows, rank, world):
        with dropping(network, StepRandomness(0, 8, rank, world).masks("dropout")):
            return network(rows), network(rows)

    first, second = dropped(x, 0, 1)
    assert not torch.equal(first, second)
    for rank in (0, 1):
        shares = dropped(x[rank::2], rank, 2)
        assert torch.equal(shares[0], first[rank::2])
        assert torch.equal(shares[1], second[rank::2])
    assert network[0].draw is None
