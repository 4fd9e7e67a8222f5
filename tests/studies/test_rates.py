from copy import deepcopy

import pytest
import torch
from study_toys import ConvGenerator, small_dcgan
from torch import nn

from ganlab.networks.base import Generator
from ganlab.nn.randomness import latents_at
from ganlab.studies.layers import (
    as_list,
    checked_sets,
    default_layers,
    describe,
    latent_independent,
    select_layers,
)
from ganlab.studies.rates import Rates, activation_rates, digest

NUM, SEED = 23, 5


@torch.no_grad()
def dcgan_maps(generator, latents):
    """Every layer's output, the network's own modules called one by one: no hook, no forward."""
    maps, x = {}, latents[:, :, None, None]
    for name, stage in generator.stages.items():
        x = stage.activation(stage.norm(stage.convolution(x)))
        maps[f"{name}/0"] = x
    return maps


def explicit_rates(generator, num, seed, batch_size):
    """Eq. 1 as a loop over latents, in Python integers."""
    counts = {}
    for start in range(0, num, batch_size):
        indices = range(start, min(start + batch_size, num))
        for name, maps in dcgan_maps(generator, latents_at(generator, indices, seed)).items():
            for image in maps:
                on = (image > 0).int()
                counts[name] = counts.get(name, torch.zeros_like(on)) + on
    return {name: count.double() / num for name, count in counts.items()}


@pytest.mark.parametrize("batch_size", [5, 23, 100])
def test_dcgan_rates_are_those_of_an_explicit_loop(batch_size):
    generator = small_dcgan()
    rates = activation_rates(generator, range(NUM), SEED, batch_size=batch_size)
    expected = explicit_rates(generator, NUM, SEED, batch_size)
    assert list(rates) == list(expected) == list(generator.layers)
    for name in rates:
        assert torch.equal(rates[name], expected[name])
        assert rates[name].dtype == torch.float64
    middle = torch.cat([rate.flatten() for rate in rates.values()])
    assert (middle == 0).any()
    assert ((middle > 0.1) & (middle < 0.9)).any()


def test_batches_and_order_change_no_count_but_of_neurons_near_zero():
    generator = small_dcgan()
    one = activation_rates(generator, range(NUM), SEED, batch_size=1)
    shuffled = torch.randperm(NUM, generator=torch.Generator().manual_seed(0)).tolist()
    other = activation_rates(generator, shuffled, SEED, batch_size=7)
    for name, values in dcgan_inputs(generator, latents_at(generator, range(NUM), SEED)).items():
        nearest = values.abs().amin(0)  # how near each neuron came to its threshold
        assert not ((one[name] != other[name]) & (nearest > 1e-5)).any()


@torch.no_grad()
def dcgan_inputs(generator, latents):
    """What each activation module receives."""
    maps, x = {}, latents[:, :, None, None]
    for name, stage in generator.stages.items():
        maps[f"{name}/0"] = stage.norm(stage.convolution(x))
        x = stage.activation(maps[f"{name}/0"])
    return maps


def test_layers_are_chosen_by_name_or_position():
    generator = ConvGenerator()
    assert select_layers(generator, [2, "4x4/0", 0]) == ["4x4/0", "8x8/0"]
    assert list(activation_rates(generator, range(3), 0, [1])) == ["4x4/1"]
    listing = "0 = 4x4/0, 1 = 4x4/1, 2 = 8x8/0"
    for wrong in (3, -1, "16x16/0", 1.5):
        with pytest.raises(ValueError, match=f"no layer {wrong}; this network has {listing}"):
            select_layers(generator, [0, wrong])
    with pytest.raises(ValueError, match=listing):
        select_layers(generator, [])


def test_layer_sets_are_lists_of_lists():
    assert checked_sets([[0], (0, "8x8/0")]) == [[0], [0, "8x8/0"]]
    assert as_list(0.3) == [0.3]
    for wrong in ([0, 1], [], "4x4/0"):
        with pytest.raises(ValueError, match=r"list of lists such as \[\[0\],\[0,1\]\]"):
            checked_sets(wrong)


def test_a_layer_that_ignores_the_latent_is_skipped_and_a_dead_one_is_not():
    assert latent_independent(ConvGenerator(), 0) == []
    generator = ConvGenerator(constant=True)
    assert latent_independent(generator, 0) == ["4x4/0"]
    assert default_layers(generator, 0) == ["4x4/1", "8x8/0"]
    assert list(activation_rates(generator, range(4), 0)) == ["4x4/1", "8x8/0"]
    generator.third.bias.data.fill_(-1e4)
    assert "8x8/0" in default_layers(generator, 0)


def test_a_layer_of_vectors_is_counted_too():
    class Vectors(Generator):
        latent_dim, resolution = 3, 1

        def __init__(self):
            super().__init__()
            self.relu = nn.ReLU()

        @property
        def layers(self):
            return {"1x1/0": self.relu}

        def forward(self, latents, condition=None):
            return self.relu(latents)[:, :, None, None]

    rates = activation_rates(Vectors(), range(40), 1)["1x1/0"]
    assert torch.equal(rates, (latents_at(Vectors(), range(40), 1) > 0).double().mean(0))


def test_layers_are_described():
    lines = describe(small_dcgan()).splitlines()
    assert lines[0].split("|")[1:5] == [" index ", " layer ", " shape ", " neurons "]
    assert "2x2/0" in lines[2]
    assert "16 x 2 x 2" in lines[2]
    assert " 64 |" in lines[2]
    assert len(lines) == 2 + 4


def test_no_latents_is_an_error():
    with pytest.raises(ValueError, match="num_latents"):
        activation_rates(ConvGenerator(), [], 0)


def known(**changed):
    rates = {"4x4/0": torch.rand(5, 4, 4, dtype=torch.float64), "8x8/0": torch.rand(3, 8, 8)}
    return Rates(**{"rates": rates, "num_latents": 7, "seed": 2, "generator": "ab"} | changed)


def test_a_file_gives_back_what_was_saved(tmp_path):
    rates = known()
    path = rates.save(tmp_path / "rates.pt")
    for place in (path, str(path), tmp_path):
        found = Rates.load(place)
        assert (found.num_latents, found.seed, found.generator) == (7, 2, "ab")
        assert list(found.rates) == ["4x4/0", "8x8/0"]
        assert all(torch.equal(found.rates[name], rate) for name, rate in rates.rates.items())
    content = torch.load(path, weights_only=True)
    assert content["layers"] == ["4x4/0", "8x8/0"]


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"study.rates_file=.*rates.pt: no such file"):
        Rates.load(tmp_path)
    text = tmp_path / "text.pt"
    text.write_text("hello")
    foreign = tmp_path / "foreign.pt"
    torch.save({"state_dict": {}}, foreign)
    pickled = tmp_path / "pickled.pt"
    torch.save({"format": print}, pickled)
    for path in (text, foreign, pickled):
        with pytest.raises(ValueError, match=f"{path.name} is no file of activation rates"):
            Rates.load(path)
    path = known().save(tmp_path / "rates.pt")
    torch.save({**torch.load(path, weights_only=True), "format": "ganlab.rates/99"}, path)
    with pytest.raises(ValueError, match=r"format ganlab\.rates/99"):
        Rates.load(path)


def test_differences_are_named():
    rates = known()
    assert rates.differences("ab", 7, 2, ["8x8/0"]) == []
    assert rates.differences("cd", 7, 2, []) == ["they belong to another generator"]
    assert rates.differences("ab", 8, 3, ["16x16/0"]) == [
        "num_latents is 7, not 8",
        "rate_seed is 2, not 3",
        "they lack 16x16/0",
    ]


def test_the_digest_is_of_every_tensor():
    generator = small_dcgan()
    assert digest(generator) == digest(deepcopy(generator))
    seen = {digest(generator)}
    for name, value in generator.state_dict().items():
        changed = deepcopy(generator)
        changed.state_dict()[name].view(-1)[-1] += 1
        seen.add(digest(changed))
        assert len(seen) == 1 + list(generator.state_dict()).index(name) + 1, (name, value)
    assert digest(deepcopy(generator).double()) not in seen
