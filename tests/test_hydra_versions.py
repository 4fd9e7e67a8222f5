"""What is said otherwise to the versions of Hydra."""

import json
import os
import subprocess
import sys
from pathlib import Path

import hydra
import pytest
from hydra._internal import config_loader_impl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from omegaconf import OmegaConf

from ganlab import hydra_versions
from ganlab.cli import conf_dir
from ganlab.config import SECTIONS

ROOT = Path(__file__).parents[1]
NEWER = tuple(map(int, hydra.__version__.split(".")[:2])) >= (1, 4)


def test_the_version_is_asked_once():
    assert hydra_versions.SINCE_1_4 == NEWER
    assert ({} if NEWER else {"version_base": "1.3"}) == hydra_versions.BASE
    asking = [p for p in (ROOT / "ganlab").rglob("*.py") if "hydra.__version__" in p.read_text()]
    assert asking == [ROOT / "ganlab" / "hydra_versions.py"]


def test_hydra_is_told_what_may_be_built_and_nothing_of_what_is_outside(monkeypatch):
    told = []

    class Block:
        def __enter__(self):
            return None

        def __exit__(self, *error):
            return None

    def whitelist(patterns, reset):
        told.append((patterns, reset))
        return Block()

    monkeypatch.setattr(hydra_versions, "SINCE_1_4", True)
    monkeypatch.setattr(hydra.utils, "execution_whitelist", whitelist, raising=False)
    node = {"_target_": "ganlab.features.Classifier"}
    made = hydra_versions.build_node(node, SECTIONS["features"], {})
    assert type(made).__name__ == "Classifier"
    assert told == [(["ganlab.features", "ganlab.features.*"], True)]


def test_without_a_whitelist_nothing_is_said_of_it(monkeypatch):
    monkeypatch.setattr(hydra_versions, "SINCE_1_4", False)
    monkeypatch.delattr(hydra.utils, "execution_whitelist", raising=False)
    with hydra_versions.whitelist():
        pass


def test_a_resolver_is_known_by_its_name_and_replaced_by_the_next_of_it():
    for answer in (1, 2):
        hydra_versions.register_resolver("of_this_test", lambda answer=answer: answer)
    assert OmegaConf.create({"a": "${of_this_test:}"}).a == 2
    OmegaConf.clear_resolver("of_this_test")


@pytest.mark.skipif(not NEWER, reason="Hydra 1.3 has no whitelist")
def test_a_callback_from_elsewhere_is_refused(tmp_path):
    words = ["data=synthetic", "+hydra.callbacks.mine._target_=logging.getLogger"]
    run = [sys.executable, "-m", "ganlab", "train", *words, "hydra.run.dir=a"]
    ran = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 1
    assert "whitelist" in ran.stderr
    assert not (tmp_path / "a").exists()


def test_our_own_code_runs_without_a_warning_of_what_will_go(tmp_path):
    """A run, a resume and a study with what will be removed as errors, where we cause it."""
    script = """
import sys, warnings
warnings.filterwarnings("error", category=DeprecationWarning, module=r"(ganlab|hydra_plugins)")
warnings.filterwarnings(
    "error", category=PendingDeprecationWarning, module=r"(ganlab|hydra_plugins)"
)
from ganlab.__main__ import begin
begin(sys.argv.pop(1))
"""
    small = ["model=vanilla", "data=synthetic", "data.resolution=16", "data.num=40", "scores=null"]
    small += ["data.batch_size=8", "kimg=0.016", "hydra.run.dir=a"]
    environment = {**os.environ, "HYDRA_DEPRECATION_WARNINGS_AS_ERRORS": "1"}
    environment |= {"PYTHONPATH": str(ROOT)}
    for words in (
        ["train", *small],
        ["train", "ckpt=a/checkpoints/last.ckpt", "kimg=0.024"],
        ["evaluate", "ckpt=a/checkpoints/last.ckpt", "study=samples", "study.num=2"],
    ):
        run = [sys.executable, "-c", script, *words]
        ran = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
    assert json.loads((tmp_path / "a" / "result.json").read_text())["images_seen"] == 24


def test_help_lists_the_same_options_without_copying_every_config_for_each_group(
    monkeypatch, tmp_path
):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("a: 1\n")
    words = ["train", [f"hydra.searchpath=[file://{tmp_path}]"]]
    made, of = [], config_loader_impl.CachingConfigRepository
    monkeypatch.setattr(
        config_loader_impl, "CachingConfigRepository", lambda *given: made.append(1) or of(*given)
    )
    with hydra.initialize_config_dir(str(conf_dir()), **hydra_versions.BASE):
        asked = GlobalHydra.instance().hydra
        as_ever = asked.format_config_groups(lambda group: True)
        searched = asked.config_loader.get_group_options("model", ObjectType.CONFIG, *words)
        copied, _ = len(made), made.clear()
        with hydra_versions.listed_as_found():
            assert asked.format_config_groups(lambda group: True) == as_ever
            assert not made
            options = asked.config_loader.get_group_options("model", ObjectType.CONFIG, *words)
    assert "model/norm: " in as_ever
    assert copied > 50
    assert options == searched
    assert "mine" in options
