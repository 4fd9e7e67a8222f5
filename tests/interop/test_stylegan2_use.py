"""Other projects' StyleGAN2 files behind the commands: studied, trained on, listed, converted."""

import json
import sys

import hostile_pickles
import pytest
import stylegan2_files as files
import torch
from composing import composed
from test_foreign_evaluation import evaluated

from ganlab.__main__ import convert, info
from ganlab.config import ConfigError
from ganlab.run import generator_of, resume_words, train
from ganlab.runs.checkpoint_files import open_checkpoint
from ganlab.runs.recipes import rebuild_system
from ganlab.runs.saved_options import UntrustedError
from ganlab.systems.checkpoint import CheckpointError, load_checkpoint

pytestmark = pytest.mark.usefixtures("own_cache")

LATER = "update_emas"


@pytest.fixture
def faces(tmp_path):
    """A small file of NVIDIA's, with G_ema and D."""
    return written(tmp_path / "network-snapshot.pkl")


def written(path, labels=0):
    state, _ = files.nvidia_generator(labels=labels)
    critic, _ = files.nvidia_discriminator(labels=labels)
    networks = {"G_ema": files.persistent("Generator", state, {}, LATER)}
    networks["D"] = files.persistent("Discriminator", critic, {}, LATER)
    return files.write_nvidia(path, **networks)


STUDIES = {
    "samples": ["study.num=3"],
    "truncation": ["study.latents='0:2'"],
    "style_mixing": [],
    "interpolation": ["study.latents='0:2'", "study.num_steps=9"],
    "activation_rates": ["study.num_latents=12"],
    "circular_artifacts": ["study.num_images=8"],
}


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_studies_run_on_it(faces, tmp_path, study):
    result = evaluated(faces, tmp_path / "run", f"study={study}", *STUDIES[study])
    assert result["status"] == "done"
    assert result["source"]["format"] == "NVIDIA's StyleGAN2"
    assert len(result["source"]["sha256"]) == 64


def test_samples_are_painted_and_the_record_has_the_source(faces, tmp_path):
    result = evaluated(faces, tmp_path / "run", "study=samples", "study.num=3")
    assert result["source"]["left_out"] == "augment_pipe"
    kept = json.loads((tmp_path / "run" / "result.json").read_text())
    assert kept["source"]["sha256"] == result["source"]["sha256"]


def run_command(command, monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["ganlab", *words])
    command()
    return capsys.readouterr().out


def test_info_says_what_it_is_and_lists_the_layers(tmp_path, monkeypatch, capsys):
    faces = written(tmp_path / "file", labels=3)
    said = run_command(info, monkeypatch, capsys, f"ckpt={faces}")
    for line in (
        "NVIDIA's StyleGAN2",
        "3 x 16 x 16",
        "augment_pipe",
        "16x16/1 | 7 x 16 x 16",
    ):
        assert line in said
    assert [line.split() for line in said.splitlines() if line.startswith("labels")] == [
        ["labels", "3"]
    ]


@pytest.mark.parametrize("layout", [None, "nvidia", "hammer"])
def test_a_converted_generator_paints_the_same(faces, tmp_path, monkeypatch, capsys, layout):
    out = tmp_path / ("out.safetensors" if layout is None else "out.pt")
    words = [f"in={faces}", f"out={out}", *([f"layout={layout}"] if layout else [])]
    run_command(convert, monkeypatch, capsys, *words)
    before = rebuild_system(open_checkpoint(faces), [])
    if layout == "nvidia":  # their keys, without the objects around them
        found = torch.load(out, weights_only=True)
        state, _ = files.nvidia_generator()
        assert found["G_ema"].keys() == state.keys()
        assert all(torch.equal(found["G_ema"][key], value) for key, value in state.items())
        return
    after = rebuild_system(open_checkpoint(out), [])
    z = torch.randn(4, files.Z)
    with torch.no_grad():
        first, second = before.generator_ema(z), after.generator_ema(z)
        if layout is None:
            assert torch.equal(first, second)
            assert torch.equal(before.discriminator(first), after.discriminator(second))
            assert after.recipe["source"]["format"] == "NVIDIA's StyleGAN2"
        else:  # whose state does not say at what activations are clamped
            torch.testing.assert_close(first, second)


def test_what_a_layout_has_no_place_for_is_named(faces, tmp_path, monkeypatch, capsys):
    words = [f"in={faces}", f"out={tmp_path / 'x.pt'}", "layout=rosinality"]
    with pytest.raises(ValueError, match=r"no place for generator\.clamp=256"):
        run_command(convert, monkeypatch, capsys, *words)
    with pytest.raises(ValueError, match=r"say layout=nvidia"):
        run_command(convert, monkeypatch, capsys, *words[:2])
    assert not (tmp_path / "x.pt").exists()


def test_a_file_of_no_format_is_listed_beside_the_nearest(tmp_path):
    state, _ = files.rosinality_generator()
    renamed = {key.replace("modulation", "affine"): value for key, value in state.items()}
    torch.save({"g_ema": renamed}, tmp_path / "file")
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path / "file")
    said = str(caught.value)
    assert "nearest is rosinality's StyleGAN2" in said
    assert "which also has" in said
    assert "'conv1.conv.modulation.weight'" in said
    assert "which lacks 'conv1.conv.affine.bias'" in said
    assert "\n" not in said


def test_damage_of_a_file_of_others_is_said(faces, tmp_path):
    (tmp_path / "cut").write_bytes(faces.read_bytes()[:-5000])
    with pytest.raises(CheckpointError, match=r"read as one of those, (it is|a frame)"):
        open_checkpoint(tmp_path / "cut")


@pytest.mark.parametrize("name", ["doubled keys", "doubled lists", "shape of 10^9", "stride 0"])
def test_hostile_archives_are_refused_where_checkpoints_are_opened(tmp_path, name):
    content, message = hostile_pickles.files(".")[name]
    zipped = content if content.startswith(b"PK") else hostile_pickles.zipped(content)
    (tmp_path / "file").write_bytes(zipped)
    with pytest.raises(ValueError, match=message):
        open_checkpoint(tmp_path / "file")


def test_the_files_architecture_holds_in_an_evaluation(faces, tmp_path):
    word = "+model.generator.style_dim=9"
    with pytest.raises(UntrustedError, match=r"model\.generator\.style_dim: the model is the"):
        evaluated(faces, tmp_path / "run", "study=samples", word)


TINY = ("data=synthetic", "data.num=16", "kimg=0.016", "data.batch_size=8", "scores=null")
TINY += ("callbacks=none", "log_every_kimg=0.008", "checkpoint_every_kimg=0.008")


def trained(directory, *words):
    config = composed("train", words, directory)
    return train(config), config


def test_a_run_begins_from_its_networks(faces, tmp_path):
    words = resume_words([f"init={faces}", *TINY])
    assert "model=stylegan2" in words
    assert "data.resolution=16" in [word.removeprefix("++") for word in words]
    still = [*words, "model.generator_optimizer.lr=0.0", "model.discriminator_optimizer.lr=0.0"]
    result, _ = trained(tmp_path / "run", *still)
    assert result["status"] == "done"
    assert result["begun_from"]["format"] == "NVIDIA's StyleGAN2"
    begun = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["state_dict"]
    for name, value in open_checkpoint(faces)["state_dict"].items():
        if not name.endswith(("mean_style", "mean_path_length")):  # which follow the training
            assert torch.equal(begun[name], value), name
            own = name.replace("generator_ema", "generator")
            assert torch.equal(begun[own], value), own


def test_a_resume_needs_no_file_of_the_beginning(tmp_path):
    """The checkpoint's words have the architecture; `init=` is not among them, and is not read."""
    path = written(tmp_path / "file")
    first = resume_words([f"init={path}", *TINY])
    result, _ = trained(tmp_path / "run", *first)
    assert result["images_seen"] == 16
    path.unlink()
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    recipe = load_checkpoint(last)["recipe"]
    assert not any(word.startswith("init=") for word in recipe["overrides"])
    words = resume_words([f"ckpt={last}", f"init={path}", "kimg=0.032"])
    assert not any(word.startswith("init=") for word in words)
    assert recipe["begun_from"] == result["begun_from"]
    kept = [word for word in first if not word.startswith("init=")]  # as a command line's are
    again, _ = trained(tmp_path / "run", *kept, *words)
    assert again["images_seen"] == 32
    assert again["begun_from"] == result["begun_from"]


@pytest.mark.parametrize(
    "word", ["model.generator.style_dim=9", "data.resolution=32", "model=dcgan"]
)
def test_a_word_against_the_file_is_refused_by_name(faces, word):
    with pytest.raises(ConfigError, match=word.split("=")[0].replace(".", r"\.")):
        resume_words([f"init={faces}", word])


@pytest.mark.parametrize("place", ["abc", "x" * 5000])
def test_a_file_to_begin_from_that_cannot_be_is_named_by_its_key(place):
    with pytest.raises(ValueError, match=f"^init={place[:40]}(: no such file|.* is too long)"):
        resume_words([f"init={place}"])


def test_classes_that_the_file_has_not_are_said_in_one_line(faces, tmp_path):
    words = [*TINY, "model/conditioner=labels", "model.conditioner.num_labels=2"]
    with pytest.raises(ConfigError, match=r"of no classes, and that of .* told 2: leave"):
        trained(tmp_path / "run", *resume_words([f"init={faces}", *words]))


def test_a_conditional_one_paints_its_classes_in_turn(tmp_path):
    path = written(tmp_path / "file", labels=3)
    system = rebuild_system(open_checkpoint(path), [])
    assert system.conditioner.at([0, 1, 5]).label.tolist() == [0, 1, 2]
    assert generator_of(path).num_labels == 3
