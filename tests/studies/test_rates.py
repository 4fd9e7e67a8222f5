import io
from copy import deepcopy
from functools import partial

import pytest
import torch
from layer_oracles import labels_at, small
from safetensors import safe_open
from safetensors.torch import load_file, save
from scipy import stats
from study_toys import ConvGenerator, small_dcgan
from torch import nn

from ganlab.networks import progan, stylegan, stylegan2
from ganlab.networks.base import Generator
from ganlab.nn.digest import digest, is_digest_of
from ganlab.nn.norm import InstanceNorm, PixelNorm
from ganlab.nn.randomness import latents_at
from ganlab.sampling import Sampler
from ganlab.storage.tensors import pack, read_tensors
from ganlab.studies.neurons.counting import Key
from ganlab.studies.neurons.layers import (
    as_list,
    checked_sets,
    default_layers,
    describe,
    early_layers,
    latent_independent,
    select_layers,
)
from ganlab.studies.neurons.rates import Rates, activation_rates


def test_layers_are_chosen_by_name_or_position():
    generator = ConvGenerator()
    assert select_layers(generator, [2, "4x4/0", 0]) == ["4x4/0", "8x8/0"]
    assert list(activation_rates(Sampler(generator, 0), range(3), [1])) == ["4x4/1"]
    listing = "0 = 4x4/0, 1 = 4x4/1, 2 = 8x8/0"
    for wrong in (3, -1, "16x16/0", 1.5):
        with pytest.raises(ValueError, match=f"no layer {wrong}; this network has {listing}"):
            select_layers(generator, [0, wrong])
    with pytest.raises(ValueError, match=listing):
        select_layers(generator, [])


def test_positions_are_those_of_the_papers():
    """Choi et al. 2022, section 4.1: PGGAN 1, 3, 5 and StyleGAN2 0, 1, 3 are 4x4, 8x8, 16x16."""
    with torch.device("meta"):
        style = stylegan2.Generator(32, width=4, latent_dim=8, style_dim=8)
        growing = progan.Generator(32, width=4, latent_dim=8)
    assert select_layers(style, [0, 1, 3, 5]) == ["4x4/0", "8x8/0", "16x16/0", "32x32/0"]
    assert [style.get_submodule(f"blocks.{size}.convs.0").up for size in ("4x4", "8x8")] == [0, 1]
    assert select_layers(growing, [1, 3, 5]) == ["4x4/1", "8x8/1", "16x16/1"]


def test_early_layers_are_the_first_of_the_coarsest_sizes():
    assert early_layers(Sampler(small("stylegan2"), 0)) == ["4x4/0", "8x8/0", "16x16/0"]
    assert early_layers(Sampler(small("labels"), 0, condition_at=labels_at)) == [
        "4x4/0",
        "8x8/0",
        "16x16/0",
    ]
    assert early_layers(Sampler(small("progan"), 0)) == ["4x4/1", "8x8/1", "16x16/1"]
    assert early_layers(Sampler(small("dcgan"), 0)) == ["2x2/0", "4x4/0", "8x8/0"]
    assert early_layers(Sampler(ConvGenerator(constant=True), 0)) == ["4x4/1", "8x8/0"]


def test_layer_sets_are_lists_of_lists():
    assert checked_sets([[0], (0, "8x8/0")]) == [[0], [0, "8x8/0"]]
    assert as_list(0.3) == [0.3]
    for wrong in ([0, 1], [], "4x4/0"):
        with pytest.raises(ValueError, match=r"list of lists such as \[\[0\],\[0,1\]\]"):
            checked_sets(wrong)


def test_a_layer_that_ignores_the_latent_is_skipped_and_a_dead_one_is_not():
    assert latent_independent(Sampler(ConvGenerator(), 0)) == []
    generator = ConvGenerator(constant=True)
    assert latent_independent(Sampler(generator, 0)) == ["4x4/0"]
    assert default_layers(Sampler(generator, 0)) == ["4x4/1", "8x8/0"]
    assert list(activation_rates(Sampler(generator, 0), range(4))) == ["4x4/1", "8x8/0"]
    generator.third.bias.data.fill_(-1e4)
    assert "8x8/0" in default_layers(Sampler(generator, 0))


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

    rates = activation_rates(Sampler(Vectors(), 1), range(40))["1x1/0"]
    assert torch.equal(rates, (latents_at(Vectors(), range(40), 1) > 0).double().mean(0))


def test_layers_are_described():
    lines = describe(Sampler(small_dcgan())).splitlines()
    assert lines[0].split("|")[1:5] == [" index ", " layer ", " shape ", " neurons "]
    assert "2x2/0" in lines[2]
    assert "16 x 2 x 2" in lines[2]
    assert " 64 |" in lines[2]
    assert len(lines) == 2 + 4
    with pytest.raises(ValueError, match="labels"):
        describe(Sampler(small("labels")))
    assert "| 4 x 16 x 16 |" in describe(Sampler(small("labels"), condition_at=labels_at))


def test_no_latents_is_an_error():
    with pytest.raises(ValueError, match="num_latents"):
        activation_rates(Sampler(ConvGenerator(), 0), [])


def known(**changed):
    counts = {"8x8/0": torch.randint(8, (5, 4, 4)), "10x10/0": torch.randint(8, (3, 8, 8))}
    rates = {name: count.double() / 7 for name, count in counts.items()}
    return Rates(**{"rates": rates, "num_latents": 7, "seed": 2, "generator": "ab"} | changed)


def test_a_file_gives_back_what_was_saved(tmp_path):
    rates = known()
    path = rates.save(tmp_path / "rates.safetensors")
    for place in (path, str(path), tmp_path):
        found = Rates.load(place)
        assert (found.num_latents, found.seed, found.generator) == (7, 2, "ab")
        assert found.noise == "fixed"
        assert not found.near_zero
        assert list(found.rates) == ["8x8/0", "10x10/0"]  # the network's order, not the file's
        assert all(torch.equal(found.rates[name], rate) for name, rate in rates.rates.items())
    assert load_file(path).keys() == {"8x8/0", "10x10/0"}


def test_near_zero_counts_and_intervals_stand_beside_the_rates(tmp_path):
    near = {"8x8/0": (torch.arange(80) % 8).view(5, 4, 4)}
    rates = known(near_zero=near, noise="random")
    tensors = load_file(rates.save(tmp_path / "rates.safetensors", confidence=0.9))
    found = Rates.load(tmp_path)
    assert found.near_zero.keys() == near.keys()
    assert torch.equal(found.near_zero["8x8/0"], near["8x8/0"])
    assert found.noise == "random"
    for name, rate in rates.rates.items():
        counts = (rate.flatten() * 7).round().int().tolist()
        ends = [stats.binomtest(k, 7).proportion_ci(0.9, "wilson") for k in counts]
        for end, values in (("low", [e.low for e in ends]), ("high", [e.high for e in ends])):
            assert torch.allclose(tensors[f"{name}.{end}"].flatten(), torch.tensor(values).double())


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"rates_file=.*rates.safetensors: no such file"):
        Rates.load(tmp_path)
    whole = known().save(tmp_path / "rates.safetensors").read_bytes()
    contents = {
        "text": b"hello",
        "empty": b"",
        "cut": whole[:-9],
        "foreign": save({"w": torch.zeros(2)}),
        "pickled": pickled(),
        "headless": save({"8x8/0": torch.zeros(2)}, {"format": "ganlab.rates/2"}),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} is no file of activation rates"):
            Rates.load(tmp_path / name)
    (tmp_path / "other").write_bytes(save({"w": torch.zeros(2)}, {"format": "ganlab.rates/99"}))
    with pytest.raises(ValueError, match=r"format ganlab\.rates/99"):
        Rates.load(tmp_path / "other")


def rewritten(path, change):
    """The same file, one thing changed, with a checksum that agrees."""
    metadata, tensors = read_tensors(path)
    change(metadata, tensors)
    path.write_bytes(pack(tensors, metadata))


def setting(value, at=(0, 0, 0), name="8x8/0"):
    return lambda metadata, tensors: tensors[name].__setitem__(at, value)


def replacing(make, name="8x8/0"):
    return lambda metadata, tensors: tensors.update({name: make(tensors[name])})


@pytest.mark.parametrize(
    "change",
    [
        setting(float("nan")),
        setting(float("inf")),
        setting(7.0),
        setting(-1.0),
        setting(1 / 7 + 1e-3),
        setting(8, name="8x8/0.near_zero"),
        setting(-1, name="8x8/0.near_zero"),
        replacing(lambda rate: rate.float()),
        replacing(lambda rate: rate[0]),
        replacing(lambda rate: rate[:0]),
        replacing(lambda near: near[:2], name="8x8/0.near_zero"),
        lambda metadata, tensors: metadata.update(num_latents="0"),
        lambda metadata, tensors: metadata.update(num_latents="6"),
        lambda metadata, tensors: metadata.update(noise="loud"),
        lambda metadata, tensors: metadata.update(layers="[3]"),
        lambda metadata, tensors: metadata.update(layers="{"),
        lambda metadata, tensors: metadata.update(layers="[" * 100_000),
    ],
)
def test_rates_that_cannot_be_are_refused(tmp_path, change):
    near = {"8x8/0": torch.randint(8, (5, 4, 4))}
    path = known(near_zero=near).save(tmp_path / "rates.safetensors")
    rewritten(path, change)
    with pytest.raises(ValueError, match=r"rates_file=.* is no file of activation rates \(.*again"):
        Rates.load(path)


def test_rates_changed_by_another_program_are_refused(tmp_path):
    path = known().save(tmp_path / "rates.safetensors")
    metadata = safe_open(path, framework="pt").metadata()
    tensors = load_file(path)
    tensors["8x8/0"][0, 0, 0] = 3 / 7 if tensors["8x8/0"][0, 0, 0] != 3 / 7 else 4 / 7
    path.write_bytes(save(tensors, metadata))
    with pytest.raises(ValueError, match="does not have the checksum"):
        Rates.load(path)


def test_rates_of_another_shape_than_the_layers_are_another_networks():
    shapes = {"8x8/0": (5, 4, 4), "10x10/0": (3, 8, 9)}
    assert known().differences(Key("ab", 2, ()), 7, shapes) == [
        "their 10x10/0 is (3, 8, 8), not (3, 8, 9)"
    ]


def pickled():
    file = io.BytesIO()
    torch.save({"format": print}, file)
    return file.getvalue()


def test_differences_are_named():
    rates = known()
    assert rates.differences(Key("ab", 2, ("8x8/0",)), 7, {}) == []
    other, loud = Key("cd", 2, ()), Key("ab", 2, (), "random")
    assert rates.differences(other, 7, {}) == ["they belong to another generator"]
    assert rates.differences(loud, 7, {}) == ["noise is fixed, not random"]
    assert rates.differences(Key("ab", 2, ("8x8/0",), near_zero=True), 7, {}) == [
        "they lack the near-zero counts (study.near_zero)"
    ]
    assert rates.differences(Key("ab", 3, ("16x16/0",)), 8, {}) == [
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


def test_an_option_that_is_off_and_a_part_that_does_nothing_change_no_digest():
    """As when a later version brings them."""
    generator = small_dcgan()
    later = deepcopy(generator)
    later.squash, later.labels, later.table = torch.nn.Identity(), None, ()
    later.clamped = False
    assert digest(later) == digest(generator)
    later.clamped = True
    assert digest(later) != digest(generator)


def test_a_digest_of_an_earlier_version_is_not_compared_and_a_warning_says_so():
    generator = small_dcgan()
    assert is_digest_of(digest(generator), generator)
    assert not is_digest_of(digest(generator), deepcopy(generator).double())
    with pytest.warns(UserWarning, match="written by an earlier version"):
        assert is_digest_of("0" * 64, generator)


def test_the_digest_is_of_what_has_no_tensor_too():
    """Slopes, switches and filters change images without changing any tensor."""

    def made(**switches):
        torch.manual_seed(0)
        network = stylegan.Generator(8, 1, latent_dim=4, style_dim=4, width=4, **switches)
        return network.eval()

    plain = made(norm=PixelNorm)
    assert digest(made(norm=PixelNorm)) == digest(plain)
    assert digest(deepcopy(plain).train()) == digest(plain), "a mode is no architecture"
    others = [
        made(norm=PixelNorm, blur=False),
        made(norm=partial(PixelNorm, eps=1e-2)),
        made(norm=InstanceNorm),
        deepcopy(plain),
    ]
    others[-1].blocks["4x4"][0].activation.negative_slope = 0.1
    for other in others:
        assert other.state_dict().keys() == plain.state_dict().keys()
    assert len({digest(each) for each in [plain, *others]}) == 5
