"""Maps and counts against a walk through the network's own layers, position by position."""

import pytest
import torch
from layer_oracles import KINDS, condition_of, small, walk
from study_toys import ConvGenerator

from ganlab.metrics.activation_rate import low_rate
from ganlab.nn.ablation import ablate
from ganlab.nn.randomness import latents_at
from ganlab.sampling import Sampler
from ganlab.studies.neurons.neuron_maps import activated_counts, neuron_maps, passage, share_map
from ganlab.studies.neurons.rates import activation_rates

NUM, SEED = 5, 3


@pytest.fixture(scope="module", params=KINDS)
def network(request):
    """Kind, generator and the LR neurons of its first three layers."""
    generator = small(request.param)
    options = {"condition_at": condition_of(request.param)}
    names = list(generator.layers)[:3]
    rates = activation_rates(Sampler(generator, 4, **options), range(30), names)
    return request.param, generator, {name: low_rate(rates[name], 0.8) for name in names}


def walked(network, indices, ablated=()):
    """What the layers return, and the image, with LR neurons of `ablated` layers silenced."""
    kind, generator, low = network
    before = {}

    def edit(name, maps):
        before[name] = maps
        off = low[name] & (maps > 0) if name in ablated else torch.zeros(())
        return torch.where(off.bool(), 0.0, maps)

    condition = condition_of(kind)(indices) if condition_of(kind) else None
    image = walk(generator, latents_at(generator, indices, SEED), edit, condition)[2]
    return before, image


def counted_map(maps, mask):
    """Share of channels at each position, one position at a time."""
    channels, height, width = maps.shape
    shares = torch.zeros(height, width)
    for y in range(height):
        for x in range(width):
            hits = [bool(maps[c, y, x] > 0) and bool(mask[c, y, x]) for c in range(channels)]
            shares[y, x] = sum(hits) / channels
    return shares


def test_maps_and_counts_are_those_of_an_explicit_loop(network):
    kind, generator, low = network
    options = {"condition_at": condition_of(kind)}
    maps, _ = walked(network, range(NUM))
    found = neuron_maps(Sampler(generator, SEED, **options), range(NUM), low)
    counts = activated_counts(Sampler(generator, SEED, **options), range(NUM), low)
    for place, (name, mask) in enumerate(low.items()):
        for n in range(NUM):
            expected = counted_map(maps[name][n], mask)
            assert torch.equal(found[name][n], expected)
            chosen = int((expected.double() * len(mask)).sum().round())
            active = sum(float(v) > 0 for v in maps[name][n].flatten())
            assert int(counts.chosen[n, place]) == chosen
            assert int(counts.activated[n, place]) == active
            share = chosen / active if active else 0
            assert float(counts.shares[n, place]) == pytest.approx(share)


def test_a_passage_is_figure_4_step_by_step(network):
    """Each column: maps and image with the LR neurons of the layers before it silenced."""
    kind, generator, low = network
    found = passage(Sampler(generator, SEED, condition_at=condition_of(kind)), 7, low)
    plain, image = walked(network, [7])
    assert torch.equal(found.original, image[0])
    names = list(low)
    for place, name in enumerate(names):
        maps, image = walked(network, [7], names[:place])
        assert torch.equal(found.maps[name], counted_map(plain[name][0], low[name]))
        assert torch.equal(found.maps_after[name], counted_map(maps[name][0], low[name]))
        assert torch.equal(found.images_after[name], image[0])
    assert torch.equal(found.maps[names[0]], found.maps_after[names[0]])
    assert not torch.equal(found.images_after[names[2]], found.original)


def test_low_and_high_maps_add_up_to_all_activated_neurons(network):
    low = network[2]
    maps, _ = walked(network, range(NUM))
    for name, mask in low.items():
        both = share_map(maps[name], mask) + share_map(maps[name], ~mask)
        assert torch.allclose(both, (maps[name] > 0).float().mean(1))


def test_a_layers_own_edit_is_not_shown():
    generator = ConvGenerator()
    everything = {"4x4/1": torch.ones(4, 4, 4, dtype=torch.bool)}
    edits = {"4x4/1": ablate(everything["4x4/1"])}
    plain = neuron_maps(Sampler(generator, SEED), [1], everything)["4x4/1"]
    again = neuron_maps(Sampler(generator, SEED), [1], everything, edits)["4x4/1"]
    assert torch.equal(again, plain)
    assert plain.any()


def test_a_fully_connected_layer_has_one_position():
    x = torch.tensor([[1.0, -1.0, 2.0, 3.0]])
    mask = torch.tensor([True, True, False, True])
    assert share_map(x, mask).tolist() == [[[0.5]]]


def test_nothing_is_left_behind():
    generator = ConvGenerator()
    before = Sampler(generator, SEED).batch([3])
    masks = {"4x4/0": torch.ones(5, 4, 4, dtype=torch.bool)}
    passage(Sampler(generator, SEED), 3, masks)
    assert torch.equal(Sampler(generator, SEED).batch([3]), before)
