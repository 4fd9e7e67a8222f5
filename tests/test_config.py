import pytest
import torch
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue

from ganlab.config import (
    ConfigError,
    build,
    check,
    check_top_level,
    differences,
    locate,
    parameters,
    resolved,
)

ADAM = {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.001}
GENERATOR = {"_target_": "ganlab.networks.dcgan.Generator", "resolution": 32, "width": 4}


class Parent:
    def __init__(self, width=1, depth=2):
        self.width, self.depth = width, depth


class Child(Parent):
    def __init__(self, height=3, **options):
        super().__init__(**options)


def make_parent(colour="red", **options) -> Parent:
    return Parent(**options)


def test_what_is_built_holds_no_config_objects(tmp_path):
    """Otherwise an optimizer's state in a checkpoint could not be opened as plain data."""
    optimizer = build(ADAM | {"betas": [0.0, 0.99]})([torch.nn.Parameter(torch.zeros(1))])
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert list(state["param_groups"][0]["betas"]) == [0.0, 0.99]


@pytest.mark.parametrize(
    ("node", "wrong", "right"),
    [
        ({"model": GENERATOR | {"widht": 8}}, "model.widht", "width"),
        ({"a": [{"b": ADAM | {"lrr": 1}}]}, "a[0].b.lrr", "lr"),
        (
            {"model": {"generator": GENERATOR | {"resolutoin": 32}}},
            "model.generator.resolutoin",
            "resolution",
        ),
    ],
)
def test_misspelt_key_at_any_depth_names_the_nearest(node, wrong, right):
    with pytest.raises(ConfigError) as caught:
        check(node)
    assert wrong in str(caught.value)
    assert f"did you mean {right}?" in str(caught.value)


def test_misspelt_top_level_key():
    with pytest.raises(ConfigError, match="no config key kimgs; did you mean kimg"):
        check_top_level({"kimgs": 3}, "train")


def test_options_are_handed_on_to_the_base_or_the_returned_class():
    assert parameters(Child) >= {"height", "width", "depth"}
    assert parameters(make_parent) >= {"colour", "width", "depth"}
    assert "wdith" not in parameters(Child)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.Popen",
        "builtins.eval",
        "ganlab.run.train",  # acts on the machine
        "ganlab.systems.checkpoint.os.unlink",  # imported there, not defined there
        "torch.nn.modules.module.torch.load",
        "torch.load",
        "torch.hub.load",
        "ganlab.provenance.subprocess.run",
        "torch.optim",
        "torch.nn.functional.torch.save",
    ],
)
def test_targets_outside_the_allowlist_are_refused(target):
    with pytest.raises(ConfigError, match=r"not allowed|has no|no module"):
        locate(target)


def test_a_target_inside_a_list_inside_a_partial_is_checked():
    node = {"x": ADAM | {"betas": [{"_target_": "os.system", "command": "true"}]}}
    with pytest.raises(ConfigError, match=r"os\.system is not allowed"):
        check(node)


def test_users_can_allow_their_own_package():
    assert locate("collections.Counter", extra=["collections"])


def test_missing_target_says_where():
    with pytest.raises(ConfigError, match=r"ganlab\.networks\.dcgan has no Genrator"):
        locate("ganlab.networks.dcgan.Genrator")


def test_unset_value_is_refused():
    with pytest.raises(MissingMandatoryValue):
        resolved(OmegaConf.create({"data": {"path": "???"}}))


def test_differences_name_dotted_keys_and_both_values():
    old = {"model": {"width": 8, "depth": 2}, "seed": 0}
    new = {"model": {"width": 16, "depth": 2}, "seed": 0, "extra": 1}
    assert differences(old, new) == ["extra: None -> 1", "model.width: 8 -> 16"]
