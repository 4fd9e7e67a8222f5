import pytest
import torch
from torch import nn
from tutorial_networks import discriminator, generator, lively, state

from ganlab.interop import open_foreign
from ganlab.nn.randomness import latents_at
from ganlab.runs.recipes import rebuilt
from ganlab.sampling import Sampler
from ganlab.systems.checkpoint import CheckpointError

SIZES = [(10, 4, 3, 64), (7, 2, 1, 64), (5, 2, 3, 128)]


def written(path, content):
    torch.save(content, path)
    return path


def system_of(path):
    return rebuilt(open_foreign(path), [])


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
    found = open_foreign(written(tmp_path / "g.pt", content))
    plain = open_foreign(written(tmp_path / "plain.pt", state(network)))
    assert found["recipe"]["model"] == plain["recipe"]["model"]
    for name, value in plain["state_dict"].items():
        assert torch.equal(found["state_dict"][name], value)


def test_old_files_without_counters_open(tmp_path):
    content = {n: v for n, v in state(lively(generator())).items() if "num_batches" not in n}
    assert system_of(written(tmp_path / "g.pth", content)).images_seen == 0


def test_the_record_says_where_the_file_is_from(tiny):
    import hashlib

    path, _ = tiny
    source = open_foreign(path)["recipe"]["source"]
    assert source["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert source["file"] == str(path)
    assert "tutorial" in source["format"]


def spoilt(change):
    content = state(lively(generator()))
    change(content)
    return {"netG_state_dict": content}


WRONG = {
    "lacks the tensor main.1.bias": spoilt(lambda s: s.pop("main.1.bias")),
    "main.0.bias that the tutorial": spoilt(lambda s: s.update({"main.0.bias": torch.ones(32)})),
    "must halve": spoilt(lambda s: s.update({"main.1.bias": torch.ones(3)})),
    "images of 32 px": {"netG_state_dict": state(generator(resolution=32))},
    "that is not built here": {"netG_state_dict": state(generator(ngf=1, resolution=512))},
    "another size than 4x4": spoilt(
        lambda s: s.update({"main.0.weight": torch.ones(10, 32, 2, 2)})
    ),
    "no netG_state_dict": {"netD_state_dict": state(discriminator())},
    "1 or 3 channels": state(discriminator()),
    "0 convolutions": {"main.1.weight": torch.ones(3)},
    "something else than tensors": {"netG_state_dict": {"main.0.weight": 3.0}},
    "called main": {"netG_state_dict": {"conv.weight": torch.ones(1)}},
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_file_says_what_is_wrong(tmp_path, message):
    path = written(tmp_path / "wrong.pth", WRONG[message])
    with pytest.raises(ValueError, match=message) as caught:
        open_foreign(path)
    assert str(path) in str(caught.value)


def test_unknown_files_are_nobodys(tmp_path):
    assert open_foreign(written(tmp_path / "other.pth", {"weights": torch.ones(2)})) is None
    assert open_foreign(tmp_path / "missing.pth") is None
    (tmp_path / "text.tar").write_text("no checkpoint")
    assert open_foreign(tmp_path / "text.tar") is None


def test_pickled_objects_are_never_opened(tmp_path):
    path = written(tmp_path / "module.pth", {"netG_state_dict": generator()})
    assert open_foreign(path) is None
    from ganlab.runs.recipes import open_checkpoint

    with pytest.raises(CheckpointError, match="not opened for safety"):
        open_checkpoint(path)


def test_reading_draws_no_random_number(tiny):
    before = torch.get_rng_state()
    open_foreign(tiny[0])
    assert torch.equal(torch.get_rng_state(), before)
