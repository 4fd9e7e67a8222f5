"""A run for others: its files, its card, and nothing of this machine in them."""

import json
import shutil
import sys

import pytest
import torch
import yaml
from composing import composed
from hub_standin import Hub
from PIL import Image
from torch import nn

from ganlab import __version__
from ganlab.__main__ import convert, push
from ganlab.nn.growing import Stage
from ganlab.report.results import read_result, write_result
from ganlab.run import build_system, train
from ganlab.runs.conversion import inference_state, refuse_written_over
from ganlab.runs.description import describe_checkpoint
from ganlab.runs.recipes import check_config, open_checkpoint, rebuild_system
from ganlab.sampling import Sampler
from ganlab.systems.checkpoint import CheckpointError, load_checkpoint

TINY = ("kimg=0.016", "data.batch_size=8", "scores=null", "callbacks=none")
TINY += ("model.generator.width=4", "model.discriminator.width=4", "data.resolution=32")
SCORE = {
    "metric": "fid16",
    "value": 12.25,
    "extractor": "classifier",
    "extractor_sha256": "a" * 64,
    "resize": "bilinear-antialias-32",
    "n_real": 16,
    "n_fake": 16,
    "seed": 5,
    "images_seen": 16,
}


def settings(directory, *words):
    return composed("train", words, directory)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on a folder of pictures, of which two moments were scored."""
    from ganlab.cli import register_resolvers

    register_resolvers()
    home = tmp_path_factory.mktemp("home")
    for number in range(16):
        place = home / "pictures" / f"{number}.png"
        place.parent.mkdir(exist_ok=True)
        Image.effect_noise((32, 32), 50).save(place)
    run = home / "run"
    train(settings(run, "data=folder", f"data.path={home / 'pictures'}", *TINY))
    early = SCORE | {"images_seen": 8, "value": 99.0}
    write_result(run, read_result(run) | {"scores": [early, SCORE], "commit": "0123456789ab"})
    return run


@pytest.fixture
def run(trained, own_cache):
    return trained


@pytest.fixture
def hub(tmp_path, monkeypatch):
    found = Hub(tmp_path / "hub")
    for name, module in found.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return found


def pushed(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["ganlab", *words])
    push()
    return capsys.readouterr().out


def test_what_would_be_published_is_written_for_a_look(run, hub, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    words = [f"ckpt={run}/checkpoints/last.ckpt", "repo=me/noise", "licence=mit", f"out={out}"]
    said = pushed(monkeypatch, capsys, *words)
    assert hub.requests == []
    assert "nothing was uploaded" in said
    assert "left out, as places on this machine: data.path" in said
    names = {path.name for path in out.iterdir()}
    assert names == {"README.md", "generator.safetensors", "recipe.yaml", "samples.png"}
    for path in out.iterdir():
        assert str(run.parent).encode() not in path.read_bytes(), path.name
    card = (out / "README.md").read_text()
    front, _, body = card.removeprefix("---\n").partition("---\n")
    assert yaml.safe_load(front)["license"] == "mit"
    assert "12.2" in body
    assert "99" not in body  # of other weights
    assert "16 generated against 16 real images" in body
    assert "resize bilinear-antialias-32" in body
    assert "latents of seed 5" in body
    assert f"ganlab {__version__}, commit 0123456789ab" in body
    assert "ckpt=hf://me/noise/generator.safetensors" in body
    assert "![samples](samples.png)" in body
    recipe = yaml.safe_load((out / "recipe.yaml").read_text())
    assert recipe["data"]["path"] is None
    assert recipe["model"]["generator"]["width"] == 4
    assert "overrides" not in recipe


def test_one_that_is_kept_has_the_scores_of_its_run(run, hub, tmp_path, monkeypatch, capsys):
    kept = run / "checkpoints" / "kept" / "000000016.ckpt"
    kept.parent.mkdir()
    kept.write_bytes((run / "checkpoints" / "last.ckpt").read_bytes())
    try:
        pushed(monkeypatch, capsys, f"ckpt={kept}", "repo=me/noise", f"out={tmp_path}")
    finally:
        shutil.rmtree(kept.parent)
    assert "12.2" in (tmp_path / "README.md").read_text()


def test_files_of_something_else_are_not_written_over(run, hub, tmp_path, monkeypatch, capsys):
    (tmp_path / "README.md").write_text("mine")
    words = [f"ckpt={run}/checkpoints/last.ckpt", "repo=me/noise", f"out={tmp_path}"]
    with pytest.raises(ValueError, match=r"holds README\.md of something else"):
        pushed(monkeypatch, capsys, *words)
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "mine"
    (tmp_path / "README.md").unlink()
    for _ in range(2):  # over an earlier one of its own
        pushed(monkeypatch, capsys, *words)


def test_dry_writes_below_outputs(run, hub, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [f"ckpt={run}/checkpoints/last.ckpt", "repo=me/noise", "dry=true"]
    pushed(monkeypatch, capsys, *words)
    card = (tmp_path / "outputs/hub/me/noise/README.md").read_text()
    assert "license" not in card
    for word in ("dry=yes", "private=1"):
        with pytest.raises(ValueError, match=f"{word} should be true or false"):
            pushed(monkeypatch, capsys, *words[:2], word)
    assert hub.requests == []


def test_what_was_published_opens_for_others_and_paints_the_same(run, hub, monkeypatch, capsys):
    ckpt = run / "checkpoints" / "last.ckpt"
    said = pushed(monkeypatch, capsys, f"ckpt={ckpt}", "repo=me/noise")
    assert "https://hub.example/me/noise/commit/1" in said
    assert hub.requests == ["create me/noise", "upload me/noise"]
    files = {name.replace(".", "__"): data for name, data in hub.uploads["me/noise"].items()}
    hub.commit("me/noise", "3" * 40, **files)
    theirs = rebuild_system(open_checkpoint("hf://me/noise/generator.safetensors"), [])
    ours = rebuild_system(load_checkpoint(ckpt), [])
    images = Sampler.of(ours).images(range(3))
    assert torch.equal(Sampler.of(theirs).images(range(3)), images)
    assert torch.equal(theirs.discriminator.eval()(images), ours.discriminator.eval()(images))


def test_an_upload_that_fails_says_how_to_sign_in(run, hub, monkeypatch, capsys):
    hub.online = False
    with pytest.raises(ConnectionError, match=r"hf auth login.*dry=true"):
        pushed(monkeypatch, capsys, f"ckpt={run}/checkpoints/last.ckpt", "repo=me/noise")


def test_a_file_that_names_the_home_is_not_published(run, hub, tmp_path, monkeypatch, capsys):
    kept = read_result(run)
    home = str(run.parent)
    monkeypatch.setenv("HOME", home)
    write_result(run, kept | {"begun_from": {"name": f"{home}/secret"}})
    try:
        with pytest.raises(ValueError, match=r"README\.md names .*home.*: not published"):
            pushed(monkeypatch, capsys, f"ckpt={run}/checkpoints/last.ckpt", "repo=me/noise")
    finally:
        write_result(run, kept)
    assert hub.requests == []


@pytest.mark.parametrize("ckpt", ["faces", "hf://me/noise/generator.safetensors"])
def test_what_others_trained_is_theirs_to_publish(own_cache, ckpt, monkeypatch, capsys):
    with pytest.raises(CheckpointError, match="trained elsewhere"):
        pushed(monkeypatch, capsys, f"ckpt={ckpt}", "repo=me/noise")


def test_only_checkpoints_of_a_training_are_published(run, tmp_path, monkeypatch, capsys):
    whole = load_checkpoint(run / "checkpoints" / "last.ckpt")
    del whole["optimizer_states"]
    torch.save(whole, tmp_path / "bare.ckpt")
    with pytest.raises(CheckpointError, match="no training of ganlab's"):
        pushed(monkeypatch, capsys, f"ckpt={tmp_path}/bare.ckpt", "repo=me/noise")
    first, last = nn.ConvTranspose2d(6, 4, 4), nn.ConvTranspose2d(4, 3, 4, 2, 1)
    theirs = nn.ModuleDict({"main": nn.Sequential(first, nn.BatchNorm2d(4), nn.ReLU(), last)})
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    with pytest.raises(CheckpointError, match=r"is no run's but a DCGAN's.*: push publishes runs"):
        pushed(monkeypatch, capsys, f"ckpt={tmp_path}/theirs.pth", "repo=me/noise")
    with pytest.raises(ValueError, match="repo=noise should be owner/name"):
        pushed(monkeypatch, capsys, f"ckpt={run}/checkpoints/last.ckpt", "repo=noise")
    with pytest.raises(ValueError, match="there is no license; did you mean licence"):
        pushed(monkeypatch, capsys, "ckpt=x", "repo=a/b", "license=mit")


def test_no_generator_is_written_over_what_a_run_goes_on_from(tmp_path):
    last, twin = tmp_path / "run" / "checkpoints" / "last.ckpt", tmp_path / "twin.ckpt"
    (last.parent / "kept").mkdir(parents=True)
    last.write_bytes(b"state")
    twin.symlink_to(last)
    for source, target, named in (
        (str(last), last, "that in= names"),
        (str(twin), last, "that in= names"),
        ("faces", last, "a checkpoint of a run"),
        ("faces", last.parent / "kept" / ".." / "last.ckpt", "a checkpoint of a run"),
    ):
        with pytest.raises(ValueError, match=named):
            refuse_written_over(source, target)
    refuse_written_over("faces", last.with_name("other.ckpt"))
    refuse_written_over("faces", last.with_name("generator.safetensors"))
    refuse_written_over(str(last), twin.with_suffix(".pt"))


def test_a_network_that_grows_is_converted_with_its_stage(own_cache, tmp_path, monkeypatch):
    words = ["model=progan", "data=synthetic", "data.resolution=32", "callbacks=none"]
    widths = ["model.generator.width=4", "model.generator.max_width=8"]
    config = settings(tmp_path, *words, *widths, "model.discriminator.width=4")
    system = build_system(check_config(config, "train"))
    system.generator_ema.grow_to(Stage(2, 0.25))
    path, out = tmp_path / "grown.ckpt", tmp_path / "grown.safetensors"
    kept = {"recipe": system.recipe, "images_seen": 2500, "state_dict": system.state_dict()}
    torch.save(kept, path)
    monkeypatch.setattr(sys, "argv", ["ganlab", f"in={path}", f"out={out}"])
    convert()
    assert "2.5 kimg; train.py init= begins" in describe_checkpoint(str(out), [])
    found = rebuild_system(open_checkpoint(out), []).generator_ema
    assert (found.level, found.alpha) == (2, 0.25)
    latents = torch.randn(2, found.latent_dim)
    assert torch.equal(found(latents), system.generator_ema.eval()(latents))
    damaged = out.read_bytes().replace(b'"alpha\\": 0.25', b'"alpha\\": true')
    out.write_bytes(damaged)
    with pytest.raises(ValueError, match="no safetensors file made here"):
        open_checkpoint(out)


def test_classes_that_a_training_was_told_by_name_keep_their_names():
    node = {"_target_": "ganlab.networks.dcgan.Generator", "resolution": 32, "channels": 1}
    told = {"_target_": "ganlab.systems.conditioning.Labels", "label_names": ["cat", "dog"]}
    model = {"generator": node | {"num_labels": 2}, "conditioner": told | {"num_labels": 2}}
    found = inference_state({"recipe": {"model": model}, "images_seen": 0, "state_dict": {}})
    assert found["recipe"]["model"]["label_names"] == ["cat", "dog"]


def test_the_recipe_is_plain_json(run):
    """What the networks' file says of itself reads back as it was."""
    recipe = load_checkpoint(run / "checkpoints" / "last.ckpt")["recipe"]
    assert json.loads(json.dumps(recipe["model"])) == recipe["model"]
