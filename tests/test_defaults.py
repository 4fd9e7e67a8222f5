"""A value that a config shows is its class's default, or its line says which it departs from."""

import inspect
import re

import pytest
from omegaconf import OmegaConf

from ganlab.cli import conf_dir
from ganlab.config import SECTIONS, locate, targets

GROUPS = ("study", "metrics", "callbacks", "features", "logger", "trainer")
FILES = [path for group in GROUPS for path in sorted((conf_dir() / group).rglob("*.yaml"))]


def plain(value):
    """As YAML has it."""
    return [plain(each) for each in value] if isinstance(value, list | tuple | range) else value


def spelled(default):
    """As a comment names it."""
    return "null" if default is None else str(plain(default))


def drifts(text, section):
    """Keys whose value is another than the default, and whose line does not say `not <default>`."""
    found = []
    for where, node in targets(OmegaConf.to_container(OmegaConf.create(text))):
        taken = inspect.signature(locate(node["_target_"], SECTIONS[section])).parameters
        for key in taken.keys() & node.keys():
            value, default = node[key], taken[key].default
            built = isinstance(value, dict) or (isinstance(value, str) and "${" in value)
            if built or default is inspect.Parameter.empty or plain(default) == plain(value):
                continue
            if not re.search(rf"^ *{key}:.*# .*\bnot {re.escape(spelled(default))}", text, re.M):
                found.append(f"{where}.{key}={value}, not {spelled(default)}".lstrip("."))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_config_shows_the_defaults_of_its_classes(path):
    assert not drifts(path.read_text(), path.relative_to(conf_dir()).parts[0])


def test_a_drift_is_found_and_one_that_is_said_is_none():
    study = "_target_: ganlab.studies.Spectrum\nnum: {}\nsuite: null\n"
    assert drifts(study.format(2000), "study") == []
    assert drifts(study.format(1000), "study") == ["num=1000, not 2000"]
    assert drifts(study.format("1000 # not 2000: for laptops"), "study") == []


def test_most_of_what_configs_show_is_compared():
    """Were defaults no longer found, nothing would drift."""
    compared = 0
    for path in FILES:
        section = path.relative_to(conf_dir()).parts[0]
        for _, node in targets(OmegaConf.to_container(OmegaConf.load(path))):
            taken = inspect.signature(locate(node["_target_"], SECTIONS[section])).parameters
            compared += len(taken.keys() & node.keys())
    assert compared > 240
