"""Rates, near-zero counts and LR counts against the networks' own layers called one by one."""

import pytest
import torch
from layer_oracles import KINDS, condition_of, small, walk

from ganlab.nn.randomness import keyed_generator, latents_at
from ganlab.sampling import Sampler
from ganlab.studies.neurons import counting as module
from ganlab.studies.neurons.counting import Counting, Key, load_partial, portions, save_partial
from ganlab.studies.neurons.detection import activated_neurons
from ganlab.studies.neurons.layers import layer_shapes, select_layers
from ganlab.studies.neurons.rates import activation_rates

NUM, SEED = 23, 5


def batches(indices, size):
    return [indices[i : i + size] for i in range(0, len(indices), size)]


def walked(kind, generator, indices, **options):
    condition_at = condition_of(kind)
    condition = condition_at(indices) if condition_at else None
    return walk(generator, latents_at(generator, indices, SEED), condition=condition, **options)


def explicit(kind, generator, batch_size, num=NUM):
    """Eq. 1 and the near-zero events as a loop over latents, in integers."""
    active, near = {}, {}
    for indices in batches(range(num), batch_size):
        received, returned, _ = walked(kind, generator, indices)
        for name, maps in returned.items():
            for image, before in zip(maps, received[name], strict=True):
                active[name] = active.get(name, 0) + (image > 0).long()
                near[name] = near.get(name, 0) + (before.abs() <= 1e-5).long()
    return active, near


def counting(kind, generator, layers=None, near_zero=False, **options):
    names = list(generator.layers) if layers is None else layers
    sampler = Sampler(generator, SEED, condition_at=condition_of(kind), **options)
    return Counting(sampler, names, near_zero)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_size", [5, 100])
def test_rates_are_those_of_an_explicit_loop(kind, batch_size):
    generator = small(kind)
    expected, _ = explicit(kind, generator, batch_size)
    rates = activation_rates(
        Sampler(generator, SEED, batch_size=batch_size, condition_at=condition_of(kind)), range(NUM)
    )
    assert list(rates) == list(expected) == list(generator.layers)
    for name, rate in rates.items():
        assert torch.equal(rate, expected[name].double() / NUM)
    spread = torch.cat([rate.flatten() for rate in rates.values()])
    assert (spread == 0).any()
    assert ((spread > 0.1) & (spread < 0.9)).any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_oracle_makes_the_networks_images(kind):
    generator, indices = small(kind), range(4)
    images = Sampler(generator, SEED, condition_at=condition_of(kind)).batch(indices)
    assert torch.allclose(walked(kind, generator, indices)[2], images, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [[0], [0, 1, 3]])
def test_counts_of_rare_neurons_are_those_of_an_explicit_loop(kind, layers):
    generator, batch_size = small(kind), 6
    names = select_layers(generator, layers)
    active, _ = explicit(kind, generator, batch_size)
    masks = {name: active[name] <= 0.3 * NUM for name in names}
    found = activated_neurons(
        Sampler(generator, SEED, batch_size=batch_size, condition_at=condition_of(kind)),
        range(NUM),
        masks,
    )
    expected = []
    for indices in batches(range(NUM), batch_size):
        _, returned, _ = walked(kind, generator, indices)
        for j in range(len(indices)):
            expected.append(sum(int((returned[n][j] > 0)[masks[n]].sum()) for n in names))
    assert found.tolist() == expected
    assert len(set(expected)) > 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_threshold_may_select_nothing_or_everything(kind):
    generator, condition_at = small(kind), condition_of(kind)
    name = next(iter(generator.layers))
    shape = layer_shapes(Sampler(generator, condition_at=condition_at), [name])[name]
    _, returned, _ = walked(kind, generator, range(4))
    for chosen, expected in (
        (False, [0] * 4),
        (True, (returned[name] > 0).flatten(1).sum(1).tolist()),
    ):
        masks = {name: torch.full(shape, chosen)}
        found = activated_neurons(
            Sampler(generator, SEED, condition_at=condition_at), range(4), masks
        )
        assert found.tolist() == expected


@pytest.mark.parametrize("kind", KINDS)
def test_batches_and_order_change_counts_only_of_neurons_near_zero(kind):
    generator = small(kind)
    one = counting(kind, generator, batch_size=NUM, near_zero=True)
    one.feed(range(NUM))
    other = counting(kind, generator, batch_size=4, near_zero=True)
    order = torch.randperm(NUM, generator=keyed_generator("order")).tolist()
    other.feed(order)
    (active, near, num), (again, near_again, _) = one.counts(), other.counts()
    assert num == NUM
    for name, count in active.items():
        listed = torch.maximum(near[name], near_again[name])
        assert ((count - again[name]).abs() <= listed).all()


@pytest.mark.parametrize("kind", ["dcgan", "stylegan2"])
def test_neurons_near_zero_are_listed(kind):
    """One channel is given 5e-6, another -5e-6, whatever the latent; a third 2e-5."""
    generator = small(kind)
    if kind == "dcgan":
        layer = generator.stages["4x4"].norm
        layer.weight.data[1:4], bias = 0.0, layer.bias
    else:
        layer = generator.blocks["4x4"].convs[0]
        layer.conv.weight.data[1:4], bias = 0.0, layer.bias
        layer.noise_strength.data.zero_()
    bias.data[1:4] = torch.tensor([5e-6, -5e-6, 2e-5])
    found = counting(kind, generator, batch_size=7, near_zero=True)
    found.feed(range(NUM))
    active, near, _ = found.counts()
    expected_active, expected_near = explicit(kind, generator, 7)
    for name in active:
        assert torch.equal(active[name], expected_active[name])
        assert torch.equal(near[name], expected_near[name])
    assert [near["4x4/0"][c].unique().tolist() for c in (1, 2, 3)] == [[NUM], [NUM], [0]]
    assert [active["4x4/0"][c].unique().tolist() for c in (1, 2, 3)] == [[NUM], [0], [NUM]]


def test_the_forward_pass_ends_after_the_last_layer():
    generator = small("dcgan")
    generator.to_image.register_forward_hook(lambda *_: pytest.fail("made an image"))
    rates = activation_rates(Sampler(generator, SEED), range(3), [0, 3])
    assert list(rates) == ["2x2/0", "16x16/0"]
    generator.stages["16x16"].register_forward_hook(lambda *_: pytest.fail("went on"))
    activated_neurons(
        Sampler(generator, SEED), range(3), {"8x8/0": rates["2x2/0"].new_ones(1).bool()}
    )


def test_random_noise_belongs_to_the_latent():
    generator = small("stylegan2")
    fixed = activation_rates(Sampler(generator, SEED), range(NUM))
    drawn = [
        activation_rates(Sampler(generator, SEED, noise="random"), range(NUM)) for _ in range(2)
    ]
    assert not all(torch.equal(fixed[name], drawn[0][name]) for name in fixed)
    assert all(torch.equal(drawn[0][name], drawn[1][name]) for name in fixed)
    assert generator.draw_noise is None
    images = [
        Sampler(generator, SEED, noise="random").batch(indices)[row]
        for indices, row in (([7], 0), ([3, 7, 9], 1))
    ]
    assert torch.allclose(*images, atol=1e-5)


def test_random_noise_is_that_of_the_networks_layers():
    """Planes drawn one by one, layer by layer, from each latent's own generator."""
    generator, indices = small("stylegan2"), [4, 9]
    sources = [keyed_generator("image noise", SEED, i) for i in indices]
    planes = {
        name: torch.cat([torch.randn(1, 1, *shape[1:], generator=rng) for rng in sources])
        for name, shape in layer_shapes(Sampler(generator)).items()
    }
    expected = walked("stylegan2", generator, indices, noise=planes)[2]
    assert torch.allclose(
        Sampler(generator, SEED, noise="random").batch(indices), expected, atol=1e-5
    )


def test_noise_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"study.noise=random needs .*dcgan has none"):
        Sampler(small("dcgan"), 0, noise="random").batch([0])
    with pytest.raises(ValueError, match=r"study\.noise must be fixed or random, got 'none'"):
        Sampler(small("stylegan2"), 0, noise="none").batch([0])


def test_a_layer_that_is_not_there_is_named():
    with pytest.raises(KeyError, match=r"no layer 9x9/0; this network has 2x2/0, 4x4/0"):
        activated_neurons(Sampler(small("dcgan"), 0), range(3), {"9x9/0": torch.ones(1).bool()})


@pytest.mark.parametrize(("start", "stop", "size"), [(0, 10, 4), (4, 10, 4), (5, 6, 4), (6, 6, 4)])
def test_portions_cover_what_is_left(start, stop, size):
    parts = list(portions(start, stop, size))
    assert [i for part in parts for i in part] == list(range(start, stop))
    assert all(len(part) == size for part in parts[:-1])


def test_counts_go_on_from_a_file(tmp_path):
    generator = small("dcgan")
    whole = counting("dcgan", generator, batch_size=5, near_zero=True)
    whole.feed(range(NUM))
    first = counting("dcgan", generator, batch_size=5, near_zero=True)
    first.feed(range(10))
    key = Key("ab", SEED, tuple(generator.layers), near_zero=True)
    path = save_partial(tmp_path / "partial", key, *first.counts())
    active, near, done = load_partial(path, key, NUM)
    second = counting("dcgan", generator, batch_size=5, near_zero=True)
    second.resume(active, near, done)
    second.feed(range(done, NUM))
    for one, other in zip(whole.counts()[:2], second.counts()[:2], strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert second.counts()[2] == NUM
    assert load_partial(path, key, 9) is None  # it counted more
    for changed in ({"seed": 6}, {"noise": "random"}, {"generator": "cd"}, {"near_zero": False}):
        assert load_partial(path, Key(**(vars(key) | changed)), NUM) is None
    assert load_partial(tmp_path / "none", key, NUM) is None
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.warns(UserWarning, match="counting anew"):
        assert load_partial(path, key, NUM) is None


def test_counts_over_more_than_sums_are_exact_for_are_those_of_all(monkeypatch):
    generator = small("dcgan")
    whole = counting("dcgan", generator, batch_size=5, near_zero=True)
    whole.feed(range(NUM))
    monkeypatch.setattr(module, "EXACT", 10)
    parts = counting("dcgan", generator, batch_size=5, near_zero=True)
    parts.feed(iter(range(NUM)))
    assert parts.counts()[2] == NUM
    for one, other in zip(whole.counts()[:2], parts.counts()[:2], strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
