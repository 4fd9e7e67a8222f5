import re
from collections.abc import Mapping, Sequence

import pytest
import torch
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue

from ganlab.checks.annotations import annotation_text
from ganlab.cli import conf_dir
from ganlab.config import (
    SECTIONS,
    ConfigError,
    build,
    check,
    differences,
    locate,
    parameters,
    resolve,
    targets,
)
from ganlab.runs.settings import (
    check_complete,
    check_sections,
    check_top_level,
    check_values,
    primary_keys,
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
    optimizer = build(ADAM | {"betas": [0.0, 0.99]}, "model")([torch.nn.Parameter(torch.zeros(1))])
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert list(state["param_groups"][0]["betas"]) == [0.0, 0.99]


def test_what_no_config_can_hold_is_given_to_whoever_takes_it(tmp_path):
    def opener(path):
        raise AssertionError("nothing is opened yet")

    words = {"suite": None, "directory": str(tmp_path)}
    takes = {"_target_": "ganlab.studies.CircularArtifacts", **words}
    assert build(takes, "study", offered={"opener": opener}).opener is opener
    other = {"_target_": "ganlab.studies.Samples", **words}
    assert build(other, "study", offered={"opener": opener}) == build(other, "study")


@pytest.mark.parametrize(
    ("node", "wrong", "right"),
    [
        ({"model": GENERATOR | {"widht": 8}}, "model.widht", "width"),
        ({"model": [{"b": ADAM | {"lrr": 1}}]}, "model[0].b.lrr", "lr"),
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


@pytest.mark.parametrize("key", [0, None, ("a", "b")])
def test_a_key_that_is_no_text_is_no_parameter(key):
    with pytest.raises(ConfigError, match="is no parameter of"):
        check({"model": {"generator": GENERATOR | {key: 8}}})


@pytest.mark.parametrize(
    ("section", "node", "where"),
    [
        ("callbacks", {"mine": {"_target_": "shutil.copyfile"}}, "callbacks.mine"),
        ("metrics", {"_target_": "ganlab.metrics.Suit"}, "metrics"),
        (
            "model",
            {"_target_": "ganlab.systems.GAN", "loss": {"_target_": "os.system"}},
            "model.loss",
        ),
        ("logger", {"a": {"_target_": "ganlab.nowhere.x"}}, "logger.a"),
    ],
)
def test_a_refused_target_is_named_with_its_key(section, node, where):
    with pytest.raises(ConfigError, match=rf"^{re.escape(where)}\._target_ "):
        check({section: node})


def test_misspelt_top_level_key():
    with pytest.raises(ConfigError, match="no config key kimgs; did you mean kimg"):
        check_top_level({"kimgs": 3}, "train")


def test_options_are_handed_on_to_the_base_or_the_returned_class():
    assert parameters(Child) >= {"height", "width", "depth"}
    assert parameters(make_parent) >= {"colour", "width", "depth"}
    assert "wdith" not in parameters(Child)


MODEL = SECTIONS["model"]


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.Popen",
        "builtins.eval",
        "ganlab.run.train",  # acts on the machine
        "ganlab.data.download.fetch",  # writes a file; of another section besides
        "ganlab.loggers.CSVLog",  # another section's
        "ganlab.systems.checkpoint.os.unlink",  # imported there, not defined there
        "ganlab.networks.dcgan.map_widths",  # no module of a network
        "torch.nn.modules.module.torch.load",
        "torch.load",
        "torch.hub.load",
        "torch.nn.init.normal_",
        "ganlab.runs.provenance.subprocess.run",
        "torch.optim",
        "torch.nn.functional.torch.save",
        "ganlab.systems.checkpoint.load_checkpoint",  # reads a file
        "ganlab.systems.trainer.make_trainer",  # starts processes
        "ganlab.systems.Checkpointing",  # writes and takes over signals
        "ganlab.systems.ranks.Watch",
        "ganlab.systems.checkpoint_io.CheckpointWriter",
        "ganlab.systems.randomness.torch.manual_seed",
        "ganlab.features.weights.WeightsFile",
        "ganlab.losses.penalties.autograd.grad",
    ],
)
def test_targets_outside_the_allowlist_are_refused(target):
    with pytest.raises(ConfigError, match=r"not allowed|has no|no module"):
        locate(target, MODEL)


def test_a_package_that_is_not_here_is_named_with_the_way_out():
    with pytest.raises(ConfigError, match=r"no module blobs: install .* PYTHONPATH"):
        locate("blobs.networks.Generator", [*MODEL, "blobs"])


def test_a_section_names_public_parts_alone():
    assert locate("ganlab.data.folder", SECTIONS["data"])
    for name in ("download.fetch", "check.check", "files.require_path"):
        with pytest.raises(ConfigError, match="not allowed"):
            locate(f"ganlab.data.{name}", SECTIONS["data"])


@pytest.mark.parametrize(
    ("section", "target"),
    [
        ("trainer", "ganlab.systems.trainer.quieten"),
        ("trainer", "ganlab.systems.GAN"),
        ("trainer", "ganlab.systems.checkpoint.load_checkpoint"),
        ("callbacks", "ganlab.studies.read_ranking"),
        ("callbacks", "ganlab.studies.perceptual_path_lengths"),
        ("study", "ganlab.studies.walk_path"),
        ("scores", "ganlab.metrics.real_key"),
        ("metrics", "ganlab.metrics.nearest"),
        ("logger", "ganlab.loggers.finish"),
        ("logger", "ganlab.loggers.show_scores"),
        ("data", "ganlab.data.download.fetch"),
    ],
)
def test_a_section_names_no_function_but_those_that_build_its_parts(section, target):
    with pytest.raises(ConfigError, match="not allowed"):
        locate(target, SECTIONS[section])


def test_every_target_of_our_configs_may_be_named_in_its_section():
    for path in conf_dir().rglob("*.yaml"):
        group = path.relative_to(conf_dir()).parts[0]
        for where, each in targets(OmegaConf.to_container(OmegaConf.load(path))):
            section = group if group in SECTIONS else where.partition(".")[0]
            if section in SECTIONS:
                assert locate(each["_target_"], SECTIONS[section])


def test_a_target_inside_a_list_inside_a_partial_is_checked():
    node = {"model": ADAM | {"betas": [{"_target_": "os.system", "command": "true"}]}}
    with pytest.raises(ConfigError, match=r"os\.system is not allowed"):
        check(node)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("_partial_", 5, "model._partial_=5 should be true or false"),
        ("_partial_", None, "model._partial_=None should be true or false"),
        ("_recursive_", "x", "model._recursive_=x should be true or false"),
        ("_recursive_", False, "model._recursive_=False would leave its parts unbuilt"),
        ("_convert_", "junk", "model._convert_=junk should be none, partial, object or all"),
        ("_convert_", ["all"], "model._convert_="),
        ("_args_", 5, "model._args_=5 should be a list"),
    ],
)
def test_a_word_to_hydra_that_cannot_be_is_named(key, value, said):
    with pytest.raises(ConfigError) as refused:
        check({"model": GENERATOR | {key: value}})
    assert str(refused.value).startswith(said)


def test_a_part_is_left_unbuilt_where_it_is_called_later_and_nowhere_else():
    optimizers = {f"{name}_optimizer": ADAM for name in ("generator", "discriminator")}
    model = {"_target_": "ganlab.systems.GAN", "generator": GENERATOR, **optimizers}
    check(
        {
            "model": model
            | {"penalties": {"r1": {"_target_": "ganlab.losses.r1", "_partial_": True}}}
        }
    )
    with pytest.raises(
        ConfigError, match=r"model\.generator\._partial_=true would leave it unbuilt"
    ):
        check({"model": model | {"generator": GENERATOR | {"_partial_": True}}})
    for section in ("model", "data", "metrics"):
        config = OmegaConf.create({"model": GENERATOR, "data": GENERATOR, "trainer": GENERATOR})
        config[section] = {**GENERATOR, "_partial_": True}
        with pytest.raises(ConfigError, match=rf"{section}\._partial_ would leave it unbuilt"):
            check_sections(config)


def test_an_interpolation_is_not_resolved_when_a_node_is_built():
    """`${oc.create:...}` would bring in a target that no check has seen."""
    hidden = "${oc.create:{_target_: os.system, command: 'true'}}"
    with pytest.raises(ConfigError, match="interpolation"):
        build({"_target_": "ganlab.networks.dcgan.Generator", "resolution": hidden}, "model")


def test_users_can_allow_their_own_package():
    assert locate("collections.Counter", MODEL, extra=["collections"])


def test_missing_target_says_where():
    with pytest.raises(ConfigError, match=r"ganlab\.networks\.dcgan has no Genrator"):
        locate("ganlab.networks.dcgan.Genrator", MODEL)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("resolution", "abc", "model.resolution=abc should be a whole number"),
        ("width", 1.5, "model.width=1.5 should be a whole number"),
        ("prior", 3, "model.prior=3 should be text"),
        ("channels", True, "model.channels=True should be a whole number"),
        ("width", [8], "should be a whole number"),
        ("width", None, "should be a whole number"),
    ],
)
def test_value_of_the_wrong_type_names_its_key_and_the_right_type(key, value, message):
    with pytest.raises(ConfigError) as caught:
        check({"model": GENERATOR | {key: value}})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (Sequence[float], "a list of numbers"),
        (Sequence[int] | None, "a list of whole numbers or null"),
        (Sequence[str | int], "a list of texts or whole numbers"),
        (Sequence[Sequence[int]], "a list of lists of whole numbers"),
        (tuple[int, str], "a list"),
        (list, "a list"),
        (Mapping[int, int], "a mapping"),
    ],
)
def test_lists_are_spelled_with_what_they_hold(hint, words):
    assert annotation_text(hint) == words


def test_an_item_of_the_wrong_type_is_told_what_the_list_holds():
    study = {"_target_": "ganlab.studies.Truncation", "psis": [0.5, "abc"]}
    with pytest.raises(ConfigError, match=r"study\.psis=\[.*\] should be a list of numbers"):
        check({"study": study})


def test_numbers_may_stand_for_floats_and_null_for_optional_values():
    average = {"_target_": "ganlab.systems.ExponentialAverage", "half_life_kimg": 10}
    check({"model": average | {"ramp": None}})
    with pytest.raises(ConfigError, match="ramp=x should be a number or null"):
        check({"model": average | {"ramp": "x"}})


IMPOSSIBLE = {
    "kimg": [0, -1.0, float("nan"), float("inf"), "abc", None],
    "seed": [1.5, None, -1, "abc", 10**23, True],
    "log_every_kimg": ["abc", None],
    "sample_every_kimg": [0.0001],
    "score_every_kimg": [0],
    "checkpoint_every_kimg": [0, -1],
    "resume": ["foo"],
    "allow_targets": ["foo", None],
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in IMPOSSIBLE.items() for value in values]
)
def test_top_level_value_that_no_run_can_have(key, value):
    good = {
        "kimg": 1.0,
        "seed": 0,
        "log_every_kimg": 1.0,
        "sample_every_kimg": 1.0,
        "score_every_kimg": None,
        "checkpoint_every_kimg": None,
        "resume": "exact",
        "allow_targets": [],
    }
    check_values(good)
    with pytest.raises(ConfigError, match=key):
        check_values(good | {key: value})


def test_unset_value_is_refused():
    with pytest.raises(MissingMandatoryValue):
        resolve(OmegaConf.create({"data": {"path": "???"}}))


def test_differences_name_dotted_keys_and_both_values():
    old = {"model": {"width": 8, "depth": 2}, "seed": 0}
    new = {"model": {"width": 16, "depth": 2}, "seed": 0, "extra": 1}
    assert differences(old, new) == ["extra: None -> 1", "model.width: 8 -> 16"]


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_a_key_that_was_taken_out_is_named(name):
    """`~seed`, `~trainer`: nothing is looked up that is not there."""
    plain, groups = primary_keys(name)
    whole = OmegaConf.create(dict.fromkeys((*plain, *groups), "any"))
    check_complete(whole, name)
    optional = {"hydra", "callbacks", "logger", "grid"} | {
        key for key, option in groups.items() if not option
    }
    for key in (*plain, *groups):
        rest = OmegaConf.masked_copy(whole, [each for each in whole if each != key])
        if key in optional:
            check_complete(rest, name)
            continue
        with pytest.raises(ConfigError, match=rf"^{key} was taken out \(~{key}\)"):
            check_complete(rest, name)
