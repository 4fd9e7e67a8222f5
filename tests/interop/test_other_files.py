"""What people have in a checkpoint's place, or around it: each is read, or named in one line."""

import gzip
import io
import tarfile

import pytest
import stylegan2_files
import torch
from torch import nn
from tutorial_networks import generator, lively, state

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
