"""What people have in a checkpoint's place, or around it: each is read, or named in one line."""

import gzip
import io
import tarfile
import zipfile

import genforce_networks
import pytest
import stylegan2_files
import test_bmsg_gan
import torch
from torch import nn
from tutorial_networks import discriminator, generator, lively, state

from ganlab.runs.checkpoint_files import open_checkpoint
from ganlab.systems.checkpoint import CheckpointError

PAGE = b"<!DOCTYPE html><html><head><title>Not Found</title>"
DRIVE = b"\n<html><title>Google Drive - Virus scan warning</title>"
INSTEAD = {
    "empty": (b"", "it is empty"),
    "a page": (PAGE, "a web page, in the file's place"),
    "a warning": (DRIVE, "a web page in which Google Drive asks"),
    "a denial": (b'<?xml version="1.0"?><Code>AccessDenied</Code>', "a web server's answer"),
    "an answer": (b'{"error": "Repository not found"}', "a web server's answer"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\n", "run `git lfs pull`"),
    "gzip": (gzip.compress(b"x"), "packed by gzip: unpack it"),
    "Keras": (b"\x89HDF\r\n\x1a\n", "it is HDF5"),
    "an array": (b"\x93NUMPY\x01\x00", "study.latents="),
    "a picture": (b"\x89PNG\r\n", "it is a picture"),
    "TensorFlow": (b'model_checkpoint_path: "a"', "a checkpoint of TensorFlow"),
}


@pytest.mark.parametrize("kind", INSTEAD)
def test_what_came_in_a_files_place_is_named(tmp_path, kind):
    content, said = INSTEAD[kind]
    (tmp_path / "network.pkl").write_bytes(content)
    with pytest.raises(CheckpointError, match=said) as refused:
        open_checkpoint(tmp_path / "network.pkl")
    assert "\n" not in str(refused.value)


def test_archives_and_parts_are_named(tmp_path):
    with tarfile.open(tmp_path / "network.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("network.pkl"), io.BytesIO())
    with pytest.raises(CheckpointError, match="packed by tar"):
        open_checkpoint(tmp_path / "network.tar")
    (tmp_path / "model.ckpt-1.index").write_bytes(b"\0" * 9)
    with pytest.raises(CheckpointError, match="a checkpoint of TensorFlow"):
        open_checkpoint(tmp_path / "model.ckpt-1.index")


def weights_of(path, content):
    torch.save(content, path)
    return open_checkpoint(path)["state_dict"]


@pytest.mark.parametrize("prefix", ["module.module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("kind", ["rosinality", "genforce", "dcgan"])
def test_wrappers_around_wrappers_change_nothing(tmp_path, prefix, kind):
    made = {
        "rosinality": lambda: ("g_ema", stylegan2_files.rosinality_generator()[0]),
        "genforce": lambda: ("generator_smooth", stylegan2_files.genforce_generator()[0]),
        "dcgan": lambda: ("netG", state(lively(generator()))),
    }
    key, content = made[kind]()
    plain = weights_of(tmp_path / "plain.pt", {key: content})
    wrapped = {f"{prefix}{name}": value for name, value in content.items()}
    found = weights_of(tmp_path / "wrapped.pt", {key: wrapped})
    assert found.keys() == plain.keys()
    assert all(torch.equal(found[name], value) for name, value in plain.items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_numbers_are_computed_in_float32(tmp_path, dtype):
    content = {name: v.to(dtype) for name, v in stylegan2_files.rosinality_generator()[0].items()}
    found = weights_of(tmp_path / "g.pt", {"g_ema": content})
    assert {value.dtype for value in found.values()} == {torch.float32}
    const = found["generator_ema.const"]
    assert torch.equal(const, content["input.input"][0].float())


def test_a_list_of_states_is_looked_into(tmp_path):
    torch.save([{"a.weight": torch.ones(1)}, {"b.weight": torch.ones(1)}], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match=r"its 2 tensors the first are 'a\.weight'"):
        open_checkpoint(tmp_path / "list.pt")


@pytest.mark.parametrize("norm", [nn.utils.spectral_norm])
def test_norms_of_weights_are_named(tmp_path, norm):
    network = generator()
    for module in network:
        if isinstance(module, nn.ConvTranspose2d):
            norm(module)
    torch.save(state(network), tmp_path / "g.pt")
    with pytest.raises(ValueError, match=r"has main\.0\.weight_orig: spectral or weight norm"):
        open_checkpoint(tmp_path / "g.pt")


def test_other_archives_are_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "network.zip", "w") as archive:
        archive.writestr("network.pkl", b"\x80\x02N.")
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "network.pt")
    program = torch.export.export(nn.Linear(2, 2), (torch.ones(1, 2),))
    torch.export.save(program, tmp_path / "network.pt2")
    said = {"zip": "packed by zip: unpack it", "pt": "program of torch.jit", "pt2": "state_dict"}
    for ending, words in said.items():
        with pytest.raises(CheckpointError, match=words):
            open_checkpoint(tmp_path / f"network.{ending}")


class Perceptron(nn.Module):
    """A network of nobody's format."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Linear(3, 4), nn.LayerNorm(4)


def test_a_network_pickled_whole_is_told_how_to_be_saved(tmp_path):
    torch.save({"model": Perceptron(), "epoch": 3}, tmp_path / "network.pt")
    with pytest.raises(CheckpointError, match=r"the first are 'first\.bias'") as refused:
        open_checkpoint(tmp_path / "network.pt")
    said = str(refused.value)
    assert "Perceptron" in said
    assert "torch.save(model.state_dict()" in said
    assert "\n" not in said


def test_a_tensor_alone_is_said_to_be_one(tmp_path):
    torch.save(torch.ones(3), tmp_path / "tensor.pt")
    with pytest.raises(CheckpointError, match="it is one tensor, without a name"):
        open_checkpoint(tmp_path / "tensor.pt")


CRITICS = {
    "rosinality": ("d", lambda: stylegan2_files.rosinality_discriminator()[0]),
    "genforce": ("discriminator", lambda: stylegan2_files.genforce_discriminator()[0]),
    "PGGAN": ("discriminator", genforce_networks.pggan_discriminator),
    "BMSG-GAN": ("GAN_DIS", test_bmsg_gan.discriminator_state),
}


@pytest.mark.parametrize("project", CRITICS)
@pytest.mark.parametrize("bare", [True, False])
def test_a_discriminator_alone_is_said_to_paint_nothing(tmp_path, project, bare):
    key, made = CRITICS[project]
    state_ = {name: value.clone() for name, value in made().items()}
    torch.save(state_ if bare else {key: state_, "step": 3}, tmp_path / "d.pt")
    whose = {"PGGAN": "genforce"}.get(project, project)
    with pytest.raises(CheckpointError, match=rf"a discriminator alone, {whose}"):
        open_checkpoint(tmp_path / "d.pt")


def test_nvidias_discriminator_alone_is_said_to_paint_nothing(tmp_path):
    critic = stylegan2_files.persistent("D", stylegan2_files.nvidia_discriminator()[0], {}, "")
    path = stylegan2_files.write_nvidia(tmp_path / "d.pkl", D=critic)
    with pytest.raises(CheckpointError, match="a discriminator alone, NVIDIA's") as refused:
        open_checkpoint(path)
    assert "safety" not in str(refused.value)


def test_networks_under_names_of_ones_own_are_found_and_their_place_is_said(tmp_path, monkeypatch):
    content = {"run": [{"faces": state(lively(generator()))}, {"cats": {}}]}
    torch.save(content, tmp_path / "two.pt")
    with pytest.raises(CheckpointError) as refused:
        open_checkpoint(tmp_path / "two.pt")
    said = str(refused.value)
    assert "what it holds at ['run'][0]['faces'] is a DCGAN's" in said
    line = said.partition("torch.save(")[2].partition(") makes")[0].replace("<file>", "'two.pt'")
    monkeypatch.chdir(tmp_path)
    exec(f"torch.save({line})", {"torch": torch})
    assert open_checkpoint(tmp_path / "alone.pt")["recipe"]["model"]["discriminator"] is None


KINDS = {
    "rosinality": (
        {"g_ema": lambda: stylegan2_files.rosinality_generator()[0]},
        {"d": lambda: stylegan2_files.rosinality_discriminator()[0]},
    ),
    "tutorial": (
        {"generator": lambda: state(lively(generator()))},
        {"discriminator": lambda: state(lively(discriminator()))},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrap", [lambda flat: flat, lambda flat: {"state_dict": flat, "epoch": 1}])
def test_one_state_of_several_networks_is_taken_apart(tmp_path, kind, wrap):
    """As `.safetensors` and modules of Lightning keep them."""
    nested = {key: made() for part in KINDS[kind] for key, made in part.items()}
    flat = {f"{key}.{name}": v for key, part in nested.items() for name, v in part.items()}
    mean = {"latent_avg": torch.arange(5.0)} if kind == "rosinality" else {}
    plain = weights_of(tmp_path / "plain.pt", nested | mean)
    found = weights_of(tmp_path / "flat.pt", wrap(flat | mean))
    assert found.keys() == plain.keys()
    assert any(name.startswith("discriminator.") for name in found)
    assert all(torch.equal(found[name], value) for name, value in plain.items())
