"""Self-attention against an explicit loop."""

import torch
from torch.nn import functional as F

from ganlab.nn.attention import SelfAttention


def attention(gamma):
    torch.manual_seed(0)
    layer = SelfAttention(16).eval()
    with torch.no_grad():
        layer.gamma.fill_(gamma)
    return layer


def test_it_begins_as_the_identity():
    x = torch.randn(2, 16, 6, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(attention(0.0)(x), x)
    assert not SelfAttention(16).gamma.any()


def test_each_position_gathers_values_weighted_by_the_likeness_of_its_query_to_their_keys():
    layer = attention(0.7)
    x = torch.randn(2, 16, 4, 4, generator=torch.Generator().manual_seed(0))
    query, key, value = layer.query(x), layer.key(x), layer.value(x)
    key, value = F.max_pool2d(key, 2), F.max_pool2d(value, 2)
    gathered = torch.zeros(2, 8, 4, 4)
    for n in range(2):
        for i in range(16):
            q = query[n].flatten(1)[:, i]
            likeness = torch.stack([q @ key[n].flatten(1)[:, j] for j in range(4)])
            weights = likeness.exp() / likeness.exp().sum()
            total = sum(weights[j] * value[n].flatten(1)[:, j] for j in range(4))
            gathered[n, :, i // 4, i % 4] = total
    torch.testing.assert_close(layer(x), x + 0.7 * layer.out(gathered))


def test_a_map_of_one_pixel_and_few_channels_pass():
    assert attention(1.0)(torch.randn(1, 16, 1, 1)).isfinite().all()
    assert SelfAttention(4)(torch.randn(1, 4, 3, 5)).shape == (1, 4, 3, 5)
