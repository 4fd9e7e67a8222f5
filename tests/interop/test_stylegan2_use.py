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
from ganlab.runs.conversion import LAYOUTS, by_layout
from ganlab.runs.recipes import rebuild_system
from ganlab.runs.saved_options import UntrustedError
from ganlab.systems.checkpoint import CheckpointError, load_checkpoint

pytestmark = pytest.mark.usefixtures("own_cache")

LATER = "update_emas"


@pytest.fixture
def faces(tmp_path):
    """A small file of NVIDIA's, with G_ema and D."""
    return written(tmp_path / "network-snapshot.pkl")


def written(path, labels=0, judged=True):
    state, _ = files.nvidia_generator(labels=labels)
    critic, _ = files.nvidia_discriminator(labels=labels)
    networks = {"G_ema": files.persistent("Generator", state, {}, LATER)}
    networks |= {"D": files.persistent("Discriminator", critic, {}, LATER)} if judged else {}
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


def test_a_word_that_a_command_does_not_take_is_named(faces, monkeypatch, capsys):
    with pytest.raises(ValueError, match=r"info takes no modle\.nonlinearity=; did you mean model"):
        run_command(info, monkeypatch, capsys, f"ckpt={faces}", "modle.nonlinearity=tanh")


def told_otherwise(path):
    """A file of NVIDIA's with what no tensor says."""
    state, _ = files.nvidia_generator()
    critic, _ = files.nvidia_discriminator()
    told = {"conv_clamp": 0.6, "mapping_kwargs": {"lr_multiplier": 0.02}}
    networks = {"G_ema": files.persistent("Generator", state, told, LATER)}
    told = {"conv_clamp": 0.7, "epilogue_kwargs": {"mbstd_group_size": 2}}
    networks["D"] = files.persistent("Discriminator", critic, told, LATER)
    return files.write_nvidia(path, **networks)


@pytest.mark.parametrize("layout", [None, "nvidia", "hammer"])
@torch.no_grad()
def test_a_converted_generator_paints_the_same(tmp_path, monkeypatch, capsys, layout):
    """And a discriminator answers the same: what no tensor says stands beside the tensors."""
    faces = told_otherwise(tmp_path / "network.pkl")
    out = tmp_path / ("out.safetensors" if layout is None else "out.pt")
    words = [f"in={faces}", f"out={out}", *([f"layout={layout}"] if layout else [])]
    run_command(convert, monkeypatch, capsys, *words)
    before = rebuild_system(open_checkpoint(faces), [])
    after = rebuild_system(open_checkpoint(out), [])
    z = torch.randn(4, files.Z)
    images = before.generator_ema(z)
    assert torch.equal(images, after.generator_ema(z))
    assert torch.equal(before.discriminator(images), after.discriminator(images))
    assert not torch.equal(before.discriminator(images)[:2], before.discriminator(images[:2] * 3))
    if layout is None:
        assert after.recipe["source"]["format"] == "NVIDIA's StyleGAN2"
    if layout == "nvidia":  # their keys, without the objects around them
        found = torch.load(out, weights_only=True)["G_ema"]
        state, _ = files.nvidia_generator()
        assert found.keys() == state.keys()
        assert all(torch.equal(found[key], value) for key, value in state.items())


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"G_ema": state, "step": 3}])
def test_plain_states_by_nvidias_names_are_read(tmp_path, wrap):
    """As `G_ema.state_dict()` has them, with the defaults of the constructor."""
    state, _ = files.nvidia_generator()
    torch.save(wrap({f"module.{name}": v.clone() for name, v in state.items()}), tmp_path / "g.pt")
    found = open_checkpoint(tmp_path / "g.pt")
    model = found["recipe"]["model"]
    assert (model["generator"]["clamp"], model["discriminator"]) == (None, None)
    pickled = files.write_nvidia(tmp_path / "g.pkl", G_ema=files.persistent("G", state, {}))
    expected = open_checkpoint(pickled)["state_dict"]
    assert found["state_dict"].keys() == expected.keys()
    assert all(torch.equal(found["state_dict"][name], v) for name, v in expected.items())


def test_what_a_layout_has_no_place_for_is_named(faces, tmp_path, monkeypatch, capsys):
    words = [f"in={faces}", f"out={tmp_path / 'x.pt'}", "layout=rosinality"]
    with pytest.raises(ValueError, match=r"no place for generator\.clamp=256"):
        run_command(convert, monkeypatch, capsys, *words)
    with pytest.raises(ValueError, match=r"say layout=nvidia"):
        run_command(convert, monkeypatch, capsys, *words[:2])
    with pytest.raises(ValueError, match=r"layout=\['nvidia'\] should be one of nvidia"):
        run_command(convert, monkeypatch, capsys, *words[:2], "layout=[nvidia]")
    with pytest.raises(ValueError, match=r"^out=.* is a folder: name a file in it"):
        run_command(convert, monkeypatch, capsys, words[0], f"out={tmp_path}")
    named = [words[0], f"out={tmp_path / 'x.safetensors'}", "layout=nvidia"]
    with pytest.raises(ValueError, match=r"written as torch\.save does: name a \.pt"):
        run_command(convert, monkeypatch, capsys, *named)
    with pytest.raises(ValueError, match=r"^in=nowhere\.pkl: no such file"):
        run_command(convert, monkeypatch, capsys, "in=nowhere.pkl", *words[1:])
    plain = {"G_ema": files.nvidia_generator()[0], "D": files.nvidia_discriminator()[0]}
    torch.save(plain | {"init_kwargs": {"D": {"mbstd_group_size": 8}}}, tmp_path / "x.pth")
    groups = [f"in={tmp_path / 'x.pth'}", words[1], "layout=genforce"]
    with pytest.raises(ValueError, match=r"no place for discriminator\.group_size=8"):
        run_command(convert, monkeypatch, capsys, *groups)
    assert not (tmp_path / "x.pt").exists()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rectangles_have_no_place_in_their_layouts(layout):
    node = {"_target_": "ganlab.networks.stylegan2.Generator", "resolution": [16, 32]}
    with pytest.raises(ValueError, match=r"no place for resolution=\[16, 32\]"):
        by_layout(LAYOUTS[layout], {"generator": node, "discriminator": None}, {})


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


def test_a_file_without_a_discriminator_gives_the_generator_alone(tmp_path):
    path = written(tmp_path / "file", judged=False)
    words = resume_words([f"init={path}", *TINY, "model.generator_optimizer.lr=0.0"])
    result, _ = trained(tmp_path / "run", *words)
    assert result["status"] == "done"
    state = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["state_dict"]
    const = open_checkpoint(path)["state_dict"]["generator_ema.const"]
    assert torch.equal(state["generator.const"], const)
    assert any(name.startswith("discriminator.") for name in state)


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


def test_a_file_that_was_trained_elsewhere_is_begun_from_not_resumed(faces):
    with pytest.raises(CheckpointError, match=r"no run's but NVIDIA's StyleGAN2: init=.* begins"):
        resume_words([f"ckpt={faces}"])


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
