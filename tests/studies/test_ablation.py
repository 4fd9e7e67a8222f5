import pytest
import torch

from ganlab.metrics.activation_rate import high_rate, low_rate
from ganlab.nn.ablation import Census, ablate, ablate_random, share_silenced

RATES = torch.tensor([0.0, 0.1, 0.3, 0.30001, 0.9, 1.0], dtype=torch.float64)


def activations(num=6, shape=(3, 4, 4), seed=0):
    return torch.randn(num, *shape, generator=torch.Generator().manual_seed(seed))


def test_the_threshold_itself_is_low():
    assert low_rate(RATES, 0.3).tolist() == [True, True, True, False, False, False]
    assert low_rate(RATES, 0.3, include_dead=False).tolist()[:3] == [False, True, True]
    assert high_rate(RATES, 0.3).tolist() == [False, False, False, True, True, True]


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 0.5, 1.0])
def test_low_and_high_partition_all_neurons(rate):
    assert (low_rate(RATES, rate) ^ high_rate(RATES, rate)).all()


def test_a_rate_may_select_nothing_or_everything():
    assert low_rate(RATES, 1.0).all()
    assert not high_rate(RATES, 1.0).any()
    assert not low_rate(RATES, 0.0, include_dead=False).any()
    assert not low_rate(RATES[1:], 0.0).any()


def test_ablation_zeroes_chosen_positive_values_only():
    x, mask = activations(), activations(1, seed=1)[0] > 0
    before = x.clone()
    y = ablate(mask)(x)
    assert torch.equal(x, before)  # never in place
    for n in range(len(x)):
        for c, i, j in torch.cartesian_prod(*map(torch.arange, x.shape[1:])).tolist():
            off = mask[c, i, j] and x[n, c, i, j] > 0
            assert y[n, c, i, j] == (0 if off else x[n, c, i, j])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_ablation_keeps_the_type(dtype):
    x = activations().to(dtype)
    assert ablate(torch.ones(3, 4, 4, dtype=torch.bool))(x).dtype == dtype
    assert ablate_random(range(6), "4x4/0", 0)(x).dtype == dtype


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_random_silences_the_share_of_each_images_activated_neurons(share):
    x = activations()
    y = ablate_random(range(6), "4x4/0", 0, share)(x)
    active = (x > 0).flatten(1).sum(1)
    assert ((x > 0) & (y == 0)).flatten(1).sum(1).tolist() == [
        round(share * int(n)) for n in active
    ]
    assert torch.equal(y[x <= 0], x[x <= 0])
    assert torch.equal(y[y > 0], x[y > 0])


def test_random_is_keyed_by_address_and_layer():
    x = activations()
    together = ablate_random([4, 7, 2, 9, 0, 1], "4x4/0", 5)(x)
    alone = [ablate_random([i], "4x4/0", 5)(x[j : j + 1]) for j, i in enumerate([4, 7, 2, 9, 0, 1])]
    assert torch.equal(together, torch.cat(alone))
    same = x[:1].expand(2, -1, -1, -1)
    first, second = ablate_random([4, 5], "4x4/0", 5)(same)
    assert not torch.equal(first, second)
    for layer, seed in (("8x8/0", 5), ("4x4/0", 6)):
        assert not torch.equal(ablate_random([4], layer, seed)(x[:1])[0], together[0])


def test_random_draws_uniformly():
    x = torch.ones(400, 10)
    off = ablate_random(range(400), "1x1/0", 0, 0.3)(x) == 0
    assert ((off.double().mean(0) - 0.3).abs() < 5 * (0.21 / 400) ** 0.5).all()


def test_random_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    ablate_random(range(6), "4x4/0", 0)(activations())
    assert torch.equal(torch.get_rng_state(), state)


def test_random_refuses_a_batch_of_other_size():
    with pytest.raises(ValueError, match="4x4/0: 6 images, 2 latent indices"):
        ablate_random([1, 2], "4x4/0", 0)(activations())


def test_census_counts_what_edits_silence():
    census, x = Census(), activations()
    mask = torch.zeros(3, 4, 4, dtype=torch.bool)
    mask[0] = True
    edit = census.watching(ablate(mask))
    for batch in x.split(4):
        assert torch.equal(edit(batch), ablate(mask)(batch))
    assert census.counts.tolist() == [int((x > 0).sum()), int((x[:, 0] > 0).sum())]
    assert share_silenced(census.counts) == int((x[:, 0] > 0).sum()) / int((x > 0).sum())
    assert share_silenced(Census().counts) == 0
