import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from tutorial_networks import discriminator, generator, lively, state

from ganlab.nn.randomness import latents_at
from ganlab.runs.checkpoint_files import open_checkpoint
from ganlab.runs.recipes import rebuild_system
from ganlab.sampling import Sampler

SIZES = [(10, 4, 3, 64), (7, 2, 1, 64), (5, 2, 3, 128)]


def written(path, content):
    torch.save(content, path)
    return path


def system_of(path):
    return rebuild_system(open_checkpoint(path), [])


@pytest.mark.parametrize(("nz", "ngf", "nc", "resolution"), SIZES)
def test_images_are_those_of_the_tutorials_network(tmp_path, nz, ngf, nc, resolution):
    network = lively(generator(nz, ngf, nc, resolution))
    system = system_of(written(tmp_path / "g.pth", {"netG_state_dict": state(network)}))
    images = Sampler(system.generator_ema, 3).batch(range(5))
    latents = latents_at(system.generator_ema, range(5), seed=3)
    with torch.no_grad():
        expected = network(latents[:, :, None, None])
    assert images.shape == (5, nc, resolution, resolution)
    assert expected.std() > 0.05
    torch.testing.assert_close(images, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("resolution", [64, 128])
def test_logits_are_those_of_the_tutorials_discriminator(tmp_path, resolution):
    critic = lively(discriminator(4, 3, resolution), seed=1)
    content = {
        "netG_state_dict": state(lively(generator(5, 2, 3, resolution))),
        "netD_state_dict": state(critic),
    }
    system = system_of(written(tmp_path / "gd.tar", content))
    images = torch.rand(3, 3, resolution, resolution) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(
            system.discriminator(images), critic(images).flatten(), atol=1e-5, rtol=1e-5
        )


def test_layers_are_the_relus(tmp_path):
    network = lively(generator())
    system = system_of(written(tmp_path / "g.pth", state(network)))
    names = ["4x4/0", "8x8/0", "16x16/0", "32x32/0"]
    assert list(system.generator_ema.layers) == names
    relus = [module for module in network if isinstance(module, nn.ReLU)]
    assert len(relus) == len(names)


@pytest.mark.parametrize("prefix", ["main.", "module.main."])
@pytest.mark.parametrize("wrapped", [True, False])
def test_wrappers_and_prefixes_change_nothing(tmp_path, prefix, wrapped):
    network = lively(generator())
    content = state(network, prefix)
    content = {"netG_state_dict": content, "epoch": 4} if wrapped else content
    found = open_checkpoint(written(tmp_path / "g.pt", content))
    plain = open_checkpoint(written(tmp_path / "plain.pt", state(network)))
    assert found["recipe"]["model"] == plain["recipe"]["model"]
    for name, value in plain["state_dict"].items():
        assert torch.equal(found["state_dict"][name], value)


def test_old_files_without_counters_open(tmp_path):
    content = {n: v for n, v in state(lively(generator())).items() if "num_batches" not in n}
    assert system_of(written(tmp_path / "g.pth", content)).images_seen == 0


def test_the_record_says_where_the_file_is_from(tiny):
    import hashlib

    path, _ = tiny
    source = open_checkpoint(path)["recipe"]["source"]
    assert source["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert source["file"] == str(path)
    assert "tutorial" in source["format"]


def spoilt(change):
    content = state(lively(generator()))
    change(content)
    return {"netG_state_dict": content}


WRONG = {
    "lacks the tensor main.1.bias": spoilt(lambda s: s.pop("main.1.bias")),
    "lacks a batch norm after main.0": spoilt(
        lambda s: [s.pop(name) for name in list(s) if name.startswith("main.1.")]
    ),
    "main.1.scale that a DCGAN's": spoilt(lambda s: s.update({"main.1.scale": torch.ones(32)})),
    r"main.1.bias in shape \(3,\), not \(32,\)": spoilt(
        lambda s: s.update({"main.1.bias": torch.ones(3)})
    ),
    "main.0 puts out 31 maps and main.3 takes 32": spoilt(
        lambda s: s.update({"main.0.weight": torch.ones(10, 31, 4, 4)})
    ),
    "main.3.weight with a kernel of 5x5": spoilt(
        lambda s: s.update({"main.3.weight": torch.ones(32, 16, 5, 5)})
    ),
    "no netG_state_dict": {"netD_state_dict": state(discriminator())},
    "1 or 3 channels": state(generator(nc=2)),
    "is no generator": state(discriminator()),
    "0 convolutions": {"main.1.weight": torch.ones(3)},
    "says 10 labels": {"num_labels": 10, "netG": state(lively(generator()))},
    "something else than a tensor": {"netG_state_dict": {"main.0.weight": 3.0}},
    "called as main.0.weight": {"netG_state_dict": {"weight": torch.ones(1)}},
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_file_says_what_is_wrong(tmp_path, message):
    path = written(tmp_path / "wrong.pth", WRONG[message])
    with pytest.raises(ValueError, match=message) as caught:
        open_checkpoint(path)
    assert str(path) in str(caught.value)


@pytest.mark.filterwarnings("ignore:.* has no checksum")
def test_safetensors_of_others_are_read_as_what_they_hold(tmp_path):
    """Tensors by name, as hubs keep them: a known layout, or the nearest one."""
    weights = state(generator(8, 8, 3, 64))
    save_file(weights, tmp_path / "g.safetensors")
    expected = system_of(written(tmp_path / "g.pth", weights)).state_dict()
    found = system_of(tmp_path / "g.safetensors").state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    save_file({"odd.weight": torch.ones(2)}, tmp_path / "odd.safetensors")
    with pytest.raises(ValueError, match=r"odd\.safetensors .*first are 'odd.weight'"):
        open_checkpoint(tmp_path / "odd.safetensors")


def test_a_network_pickled_whole_is_read_as_data(tmp_path):
    network = lively(generator())
    plain = open_checkpoint(written(tmp_path / "plain.pth", state(network)))
    for content in (network, {"netG_state_dict": network}):
        found = open_checkpoint(written(tmp_path / "module.pth", content))
        for name, value in plain["state_dict"].items():
            assert torch.equal(found["state_dict"][name], value)


class Config:
    """pytorch_GAN_zoo's options, an object without a class of its own here."""


def test_an_object_of_options_says_the_labels(tmp_path):
    config = Config()
    config.categoryVectorDim = 3
    content = {"config": config, "avgG": ZooGenerator(9).state_dict()}
    found = open_checkpoint(written(tmp_path / "zoo.pt", content))
    arguments = found["recipe"]["model"]["generator"]
    assert (arguments["latent_dim"], arguments["num_labels"]) == (6, 3)


@pytest.mark.parametrize(
    ("told", "squashed"),
    [
        ({"lossCriterion": "DCGAN"}, True),
        ({"lossCriterion": "WGANGP"}, False),
        ({"lossCriterion": "Logistic"}, False),
        ({"final_tanh": False}, False),
        ({"lossCriterion": "WGANGP", "final_tanh": True}, True),
    ],
)
@torch.no_grad()
def test_a_generator_may_end_without_a_tanh(tmp_path, told, squashed):
    network, config = lively(ZooGenerator()), Config()
    vars(config).update(told)
    path = written(tmp_path / "zoo.pt", {"config": config, "avgG": network.state_dict()})
    generator_ = system_of(path).generator_ema
    latents = latents_at(generator_, range(5), seed=3)
    linear = network.main(network.formatLayer(latents[:, :, None, None]))
    assert (linear - linear.tanh()).abs().max() > 0.01
    torch.testing.assert_close(generator_(latents), linear.tanh() if squashed else linear)


def test_an_object_that_names_code_is_not_opened(tmp_path):
    path = written(tmp_path / "module.pth", {"netG": os.system})
    with pytest.raises(ValueError, match="not opened for safety"):
        open_checkpoint(path)


def test_reading_draws_no_random_number(tiny):
    before = torch.get_rng_state()
    open_checkpoint(tiny[0])
    assert torch.equal(torch.get_rng_state(), before)


class ConditionalEyes(nn.Module):
    """The one-hot beside the latent, and a Dropout that leaves a gap in the numbering."""

    def __init__(self, nz, labels):
        super().__init__()
        first, norm, relu, *rest = generator(nz + labels, 3, 3, 128)
        self.main = nn.Sequential(first, norm, relu, nn.Dropout(0.2), *rest)

    def forward(self, latents, label):
        one = torch.zeros(len(latents), 8).scatter_(1, label[:, None], 1.0)
        return self.main(torch.cat([latents, one], dim=1)[:, :, None, None])


def test_a_class_is_told_beside_the_latent(tmp_path):
    network = lively(ConditionalEyes(5, 8))
    content = {"generator": network.state_dict(), "num_labels": 8}
    system = system_of(written(tmp_path / "eyes.pth", content))
    assert (system.generator_ema.latent_dim, system.generator_ema.num_labels) == (5, 8)
    images = Sampler.of(system, 3).batch(range(6, 11))
    latents = latents_at(system.generator_ema, range(6, 11), seed=3)
    with torch.no_grad():
        expected = network(latents, torch.tensor([6, 7, 0, 1, 2]))
    torch.testing.assert_close(images, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("names", "known"),
    [(["a", "b", "c"], ("a", "b", "c")), (["a"], ()), ([1, 2, 3], ()), ("abc", ())],
)
def test_names_of_classes_are_read_where_there_is_one_for_each(tmp_path, names, known):
    network = lively(generator(9, 3, 3, 32))
    content = {"generator": state(network), "num_labels": 3, "class_names": names}
    system = system_of(written(tmp_path / "g.pth", content))
    assert system.conditioner.class_names == known


class ZooGenerator(nn.Module):
    """pytorch_GAN_zoo's names and order: the latent's layer stands before `main`."""

    def __init__(self, nz=6, width=3, depth=2):
        super().__init__()
        wide, parts = width * 2**depth, {}
        self.formatLayer = nn.ConvTranspose2d(nz, wide, 4, 1, 0, bias=False)
        for i in range(depth + 1):
            if i:
                up = nn.ConvTranspose2d(2 * wide, wide, 4, 2, 1, bias=False)
                parts[f"convTranspose{i}"] = up
            parts |= {f"batchNorm{i}": nn.BatchNorm2d(wide), f"relu{i}": nn.ReLU()}
            wide //= 2
        parts["outlayer"] = nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False)
        self.main = nn.Sequential()
        for name, module in parts.items():
            self.main.add_module(name, module)

    def forward(self, latents):
        return self.main(self.formatLayer(latents[:, :, None, None])).tanh()


class Plain(nn.Module):
    """Widths that do not halve, biases here and there, a first map of 7x7, 28 px."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            *(nn.ConvTranspose2d(6, 9, 7), nn.BatchNorm2d(9), nn.ReLU(), nn.Dropout()),
            *(nn.ConvTranspose2d(9, 5, 4, 2, 1, bias=False), nn.BatchNorm2d(5), nn.ReLU()),
            *(nn.ConvTranspose2d(5, 1, 4, 2, 1), nn.Tanh()),
        )

    def forward(self, latents):
        return self.net(latents[:, :, None, None])


@pytest.mark.parametrize("make", [ZooGenerator, Plain])
@pytest.mark.parametrize("wrap", [dict, lambda s: {"avgG": s, "netG": {}}, lambda s: {"model": s}])
def test_other_names_widths_and_wrappers(tmp_path, make, wrap):
    network = lively(make())
    system = system_of(written(tmp_path / "g.pth", wrap(network.state_dict())))
    images = Sampler(system.generator_ema, 3).batch(range(5))
    with torch.no_grad():
        expected = network(latents_at(system.generator_ema, range(5), seed=3))
    assert images.shape == expected.shape
    torch.testing.assert_close(images, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("nz", [4, 100])
def test_a_generator_of_32_px_may_begin_with_4x4(tmp_path, nz):
    network = lively(generator(nz, 3, 3, 32))
    generator_ = system_of(written(tmp_path / "g.pth", state(network))).generator_ema
    assert list(generator_.layers) == ["4x4/0", "8x8/0", "16x16/0"]


def test_a_discriminator_of_several_answers_is_left_out_and_named(tmp_path):
    critic = state(discriminator())
    critic["main.11.weight"] = torch.ones(5, 32, 4, 4)
    content = {"netG": state(lively(generator())), "netD": critic}
    found = open_checkpoint(written(tmp_path / "g.pth", content))
    assert found["recipe"]["model"]["discriminator"] is None
    assert "answers 5 numbers" in found["recipe"]["source"]["left_out"]
