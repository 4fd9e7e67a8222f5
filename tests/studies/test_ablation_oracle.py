"""Ablation equals a walk through the network's own layers, neuron by neuron."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from layer_oracles import KINDS, condition_of, small, walk

from ganlab.metrics.activation_rate import low_rate
from ganlab.nn.ablation import Census, ablate
from ganlab.nn.randomness import keyed_generator, latents_at
from ganlab.sampling import Sampler
from ganlab.studies.neurons.ablation import Ablation, ablation_edits, neuron_masks, share_chosen
from ganlab.studies.neurons.rates import activation_rates

NUM, SEED, RATE_SEED = 6, 3, 4
LOW, HIGH, RANDOM = Ablation("low", 0.3), Ablation("high", 0.3), Ablation("random", share=0.3)
BY_QUANTILE = Ablation("low", quantile=0.4)


@pytest.fixture(scope="module", params=KINDS)
def network(request):
    """Kind, generator, rates counted on other latents than those of the tests."""
    generator = small(request.param)
    condition_at = condition_of(request.param)
    rates = activation_rates(
        Sampler(generator, RATE_SEED, batch_size=NUM, condition_at=condition_at),
        range(40),
        list(generator.layers),
    )
    return request.param, generator, rates


def explicit(network, ablation, layers, include_dead=True, seed=SEED):
    """The image and how many neurons were activated and silenced, one neuron at a time."""
    kind, generator, rates = network
    condition_at, found = condition_of(kind), [0, 0]

    def edit(name, maps):
        if name in layers:
            maps = maps.clone()
            for image, index in zip(maps, range(NUM), strict=True):
                active = [n for n in np.ndindex(*image.shape) if image[n] > 0]
                chosen = off(ablation, rates[name], image, active, (index, name), include_dead)
                for neuron in chosen:
                    image[neuron] = 0.0
                found[0] += len(active)
                found[1] += len(chosen)
        return maps

    condition = condition_at(range(NUM)) if condition_at else None
    image = walk(generator, latents_at(generator, range(NUM), seed), edit, condition)[2]
    return image, found


def off(ablation, rates, image, active, address, include_dead):
    """Which of a feature map's activated neurons go."""
    if ablation.kind == "random":
        rng = keyed_generator("ablation", SEED, *address)
        draws = torch.rand(image.numel(), generator=rng, dtype=torch.float64).view(image.shape)
        count = round(ablation.share * len(active))
        return sorted(active, key=lambda n: float(draws[n]))[:count]
    bound = ablation.rate
    if ablation.quantile is not None:
        known = sorted(float(r) for r in rates.flatten() if include_dead or r > 0)
        bound = known[int(np.ceil(ablation.quantile * len(known))) - 1]
    if ablation.kind == "high":
        return [n for n in active if rates[n] > bound]
    return [n for n in active if rates[n] <= bound and (include_dead or rates[n] > 0)]


def sets_of(generator):
    names = list(generator.layers)
    return [(names[0],), (names[2],), (names[0], names[1]), (names[0], names[1], names[3])]


@pytest.mark.parametrize("which", range(4))
@pytest.mark.parametrize("ablation", [LOW, HIGH, RANDOM, BY_QUANTILE], ids=lambda a: a.label)
def test_ablation_is_that_of_an_explicit_loop(network, ablation, which):
    kind, generator, rates = network
    layers, census = sets_of(generator)[which], Census()
    expected, counted = explicit(network, ablation, layers)
    edits = ablation_edits(ablation, rates, layers, SEED, census=census)
    found = Sampler(generator, SEED, condition_at=condition_of(kind)).batch(range(NUM), edits)
    assert torch.equal(found, expected)
    assert census.counts.tolist() == counted
    plain = Sampler(generator, SEED, condition_at=condition_of(kind)).batch(range(NUM))
    assert torch.equal(found, plain) == (counted[1] == 0)


@pytest.mark.parametrize("ablation", [LOW, BY_QUANTILE], ids=lambda a: a.label)
def test_dead_neurons_are_left_alone_where_they_do_not_count(network, ablation):
    kind, generator, rates = network
    layers = sets_of(generator)[3]
    expected, _ = explicit(network, ablation, layers, include_dead=False)
    edits = ablation_edits(ablation, rates, layers, SEED, include_dead=False)
    found = Sampler(generator, SEED, condition_at=condition_of(kind)).batch(range(NUM), edits)
    assert torch.equal(found, expected)
    masks = neuron_masks(ablation, rates, layers, include_dead=False)
    assert not any((mask & (rates[name] == 0)).any() for name, mask in masks.items())


def test_never_active_neurons_change_nothing_on_the_counted_latents(network):
    kind, generator, rates = network
    options = {"condition_at": condition_of(kind)}
    for name, rate in rates.items():
        dead = {name: ablate(rate == 0)}
        assert (rate == 0).any()
        for start in range(0, 40, NUM):
            batch = range(start, min(start + NUM, 40))
            plain = Sampler(generator, RATE_SEED, **options).batch(batch)
            assert torch.equal(Sampler(generator, RATE_SEED, **options).batch(batch, dead), plain)


def test_sequential_ablation_of_one_layer_is_single_ablation(network):
    kind, generator, rates = network
    for name in generator.layers:
        sequential = ablation_edits(LOW, rates, [name], SEED)
        single = {name: ablate(low_rate(rates[name], 0.3))}
        assert torch.equal(
            *(
                Sampler(generator, SEED, condition_at=condition_of(kind)).batch(range(NUM), e)
                for e in (sequential, single)
            )
        )


@pytest.mark.parametrize("bound", [{"rate": 0.3}, {"quantile": 0.4}, {"rate": 0.0}, {"rate": 1.0}])
def test_low_and_high_partition_the_activated_neurons(network, bound):
    kind, generator, rates = network
    layers = list(generator.layers)
    low, high = (neuron_masks(Ablation(k, **bound), rates, layers) for k in ("low", "high"))
    assert share_chosen(low) + share_chosen(high) == pytest.approx(1)
    for name in layers:
        assert (low[name] ^ high[name]).all()
        counts = []
        for mask in (low[name], high[name], torch.ones_like(low[name])):
            census = Census()
            edits = {name: census.watching(ablate(mask))}
            Sampler(generator, SEED, condition_at=condition_of(kind)).batch(range(NUM), edits)
            counts.append(int(census.silenced))
        assert counts[0] + counts[1] == counts[2] == int(census.activated) > 0


def test_a_rate_that_selects_nothing_changes_nothing(network):
    kind, generator, rates = network
    plain = Sampler(generator, SEED, condition_at=condition_of(kind)).batch(range(NUM))
    nothing = [
        (Ablation("high", 1.0), True),
        (Ablation("low", 0.0), False),
        (Ablation("low", quantile=0.0), True),
        (Ablation("high", quantile=1.0), True),
    ]
    for ablation, include_dead in nothing:
        edits = ablation_edits(ablation, rates, list(rates), SEED, include_dead)
        sampler = Sampler(generator, SEED, condition_at=condition_of(kind))
        assert torch.equal(sampler.batch(range(NUM), edits), plain)


def test_the_batch_decides_nothing_but_rounding(network):
    kind, generator, _ = network
    edits = ablation_edits(RANDOM, {}, list(generator.layers)[:2], SEED)
    sampler = Sampler(generator, SEED, condition_at=condition_of(kind))
    whole, parts = (replace(sampler, batch_size=n).images(range(NUM), edits) for n in (NUM, 4))
    assert torch.allclose(whole, parts, atol=1e-4)
