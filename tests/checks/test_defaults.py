"""What a config says beyond its constructors' defaults, which are read from their sources."""

import inspect

import pytest
from omegaconf import OmegaConf

from ganlab.checks.defaults import defaults_of, same, without_defaults
from ganlab.cli import conf_dir
from ganlab.config import SECTIONS, differences, locate, targets
from ganlab.runs.provenance import config_hash

G = "ganlab.networks.stylegan2.Generator"
PATHS = [path for section in SECTIONS for path in sorted((conf_dir() / section).glob("*.yaml"))]


def named():
    """Every target that a config of ours names, with its section."""
    for path in PATHS:
        section = path.parent.name
        for _, node in targets(OmegaConf.to_container(OmegaConf.load(path))):
            yield section, str(node["_target_"])


@pytest.mark.parametrize(("section", "target"), sorted(set(named())))
def test_defaults_are_those_of_the_signature(section, target):
    """Python's own reading of the signature is the oracle; what is no literal may be missing."""
    known = defaults_of(target)
    if not target.startswith("ganlab."):
        assert known == {}
        return
    taken = inspect.signature(locate(target, SECTIONS[section])).parameters
    assert known.keys() <= taken.keys()
    for name, value in known.items():
        assert taken[name].default == value, name
    plain = (int, float, str, type(None))
    simple = [name for name, each in taken.items() if isinstance(each.default, plain)]
    missing = [name for name in simple if name not in known]
    assert len(missing) <= max(1, len(simple) // 4), missing  # 2**0.3 is no literal


def test_a_key_at_its_default_says_nothing():
    assert without_defaults({"_target_": G, "noise": True, "taps": [1, 3, 3, 1], "width": 8}) == {
        "_target_": G,
        "width": 8,
    }
    assert without_defaults({"_target_": G, "noise": False})["noise"] is False
    assert without_defaults({"noise": True, "n": [{"_target_": G, "noise": True}]}) == {
        "noise": True,
        "n": [{"_target_": G}],
    }
    assert without_defaults({"_target_": "torch.nn.ReLU", "inplace": False}) == {
        "_target_": "torch.nn.ReLU",
        "inplace": False,
    }


def test_lists_are_tuples_and_true_is_not_one():
    assert same([1, 3], (1.0, 3.0))
    assert not same([1, 3], (1.0, 3.0, 1.0))
    assert not same(1, True)
    assert not same(None, 0)


def test_a_listed_default_is_no_difference_and_another_value_is():
    older, today = {"g": {"_target_": G, "width": 8}}, {"g": {"_target_": G, "width": 8}}
    today["g"] |= {"architecture": "skip", "widths": None, "taps": [1, 3, 3, 1]}
    assert differences(older, today) == differences(today, older) == []
    today["g"]["architecture"] = "resnet"
    assert differences(older, today) == ["g.architecture: 'skip' -> 'resnet'"]
    assert differences({"g": {"_target_": G, "noise": False}}, older) == [
        "g.noise: False -> True",
        "g.width: 32 -> 8",
    ]


def test_hashes_agree_where_configs_do():
    one = {"model": {"_target_": G, "width": 8}, "run_dir": "/a"}
    other = {"model": {"_target_": G, "width": 8, "noise": True}, "run_dir": "/a"}
    assert config_hash(one) == config_hash(other)
    other["model"]["noise"] = False
    assert config_hash(one) != config_hash(other)


@pytest.mark.parametrize(
    "target", ["", "os.system", "ganlab...x.y", "ganlab.no.such", "ganlab.net-works.X"]
)
def test_names_of_nothing_of_ours_have_no_defaults(target):
    assert defaults_of(target) == {}


def test_defaults_of_options_that_a_function_hands_on_are_no_difference():
    older = {"data": {"_target_": "ganlab.data.folder", "path": "x"}}
    today = {"data": {**older["data"], "held_out": 0.0, "side": "train", "labels": True}}
    assert differences(older, today) == differences(today, older) == []
    today["data"]["held_out"] = 0.1
    assert differences(older, today) == ["data.held_out: 0.0 -> 0.1"]
