"""What files of an earlier version and a user's own configs name is found where it is today."""

import sys

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import open_dict

from ganlab.cli import conf_dir
from ganlab.config import MOVED, SECTIONS, ConfigError, differences, locate, rename_moved, resolve
from ganlab.run import generator_of, train
from ganlab.runs.provenance import config_hash

OLD, NEW = "ganlab.networks.stylegan2.Mapping", "ganlab.nn.style.Mapping"
NETWORK = """
from torch import nn

from ganlab.networks import vanilla


class Generator(vanilla.Generator):
    def __init__(self, mapping: nn.Module, latent_dim: int = 8):
        super().__init__(8, 1, latent_dim, [8])
        self.mapping = mapping

    def forward(self, latents, condition=None):
        return super().forward(self.mapping(latents), condition)
"""
MODEL = """
defaults: [_gan, _self_]
generator:
  _target_: mapped_networks.Generator
  latent_dim: 8
  mapping: {_target_: TARGET, latent_dim: 8, style_dim: 8, num_layers: 2}
discriminator:
  _target_: ganlab.networks.vanilla.Discriminator
  resolution: 8
  channels: 1
  hidden: [8]
"""
TRAIN = """
defaults:
  - train
  - override model: mapped
  - override data: synthetic
  - override callbacks: none
  - _self_
allow_targets: [mapped_networks]
kimg: 0.016
scores: null
data: {num: 16, resolution: 8, batch_size: 16, channels: 1}
"""

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with networks, a model's config and a train.yaml of a user's own."""
    (tmp_path / "model").mkdir()
    (tmp_path / "mapped_networks.py").write_text(NETWORK)
    (tmp_path / "own_train.yaml").write_text(TRAIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("mapped_networks", None)


def composed(own, target, *words):
    (own / "model" / "mapped.yaml").write_text(MODEL.replace("TARGET", target))
    with initialize_config_dir(str(own), version_base="1.3"):
        config = compose("own_train", [f"hydra.searchpath=[file://{conf_dir()}]", *words])
    with open_dict(config):
        config.run_dir = str(own / "run")
    return config


@pytest.mark.parametrize("old", MOVED)
def test_a_moved_name_is_that_of_today(old):
    sections = [name for name, packages in SECTIONS.items() if MOVED[old].startswith(packages)]
    assert sections
    for name in sections:
        assert locate(old, SECTIONS[name]) is locate(MOVED[old], SECTIONS[name])
    assert MOVED[old] not in MOVED


def test_a_moved_name_widens_nothing():
    """Its name of today is what a section must allow."""
    for packages in SECTIONS.values():
        if not NEW.startswith(packages):
            with pytest.raises(ConfigError, match=f"_target_ {NEW} is not allowed here"):
                locate(OLD, packages)


def test_names_are_those_of_today_at_any_depth():
    node = {"a": [{"_target_": OLD, "b": {"_target_": OLD}}], "c": OLD, "_target_": "mine.Model"}
    found = rename_moved(node)
    assert found["a"] == [{"_target_": NEW, "b": {"_target_": NEW}}]
    assert (found["c"], found["_target_"]) == (OLD, "mine.Model")
    assert rename_moved(found) == found
    assert differences(node, found) == []
    assert differences(node, {**found, "c": NEW}) == [f"c: {OLD!r} -> {NEW!r}"]


def test_a_hash_is_of_the_names_of_today(own):
    before, after = (resolve(composed(own, target)) for target in (OLD, NEW))
    assert config_hash(before, anywhere=True) == config_hash(after, anywhere=True)
    assert before["model"]["generator"]["mapping"]["_target_"] == NEW


def test_a_users_config_trains_and_its_checkpoint_of_then_goes_on(own):
    done = train(composed(own, OLD))
    last = own / "run" / "checkpoints" / "last.ckpt"
    saved = torch.load(last, weights_only=True)
    mapping = saved["recipe"]["model"]["generator"]["mapping"]
    assert (done["status"], mapping["_target_"]) == ("done", NEW)
    mapping["_target_"] = OLD  # as an earlier version wrote it
    torch.save(saved, last)
    again = train(composed(own, NEW, f"ckpt={last}", "kimg=0.032"))
    assert (again["status"], again["images_seen"]) == ("done", 32)
    assert generator_of(last, allow_targets=["mapped_networks"]).latent_dim == 8
