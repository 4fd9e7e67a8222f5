"""A checkpoint is untrusted: what it says of its continuation and of its evaluation."""

import copy
import inspect
import shlex
import sys
from pathlib import Path

import pytest
import torch
from composing import composed
from hydra.core.global_hydra import GlobalHydra
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from ganlab.arguments import key_of, parse_override
from ganlab.checks.annotations import annotations
from ganlab.cli import EXPECTED
from ganlab.config import LISTED, ConfigError, _module, build
from ganlab.places import data_choice
from ganlab.run import evaluate
from ganlab.runs.fine_tuning import take_networks, words_of
from ganlab.runs.recipes import (
    build_system,
    check_config,
    rebuild_system,
    resume_words,
    with_saved_defaults,
)
from ganlab.runs.saved_options import PLACES, UntrustedError, continue_words, words_to_repeat
from ganlab.systems.checkpoint import CheckpointError

TODAY = ["ckpt=x"]
TINY = [
    *("model=vanilla", "model.generator.hidden=[4]", "model.discriminator.hidden=[4]"),
    *("data=synthetic", "data.resolution=8", "data.num=8", "callbacks=none", "scores=null"),
]
EVIL = "from pathlib import Path\nPath(__file__).with_name('imported').touch()\nf = print\n"

pytestmark = pytest.mark.usefixtures("hydra_is_clean")


@pytest.fixture
def lair(tmp_path, monkeypatch):
    """A folder with an attacker's YAML and package beside the checkpoint, which is where we are."""
    for group in ("experiment", "model", "data", "callbacks"):
        (tmp_path / group).mkdir()
        text = "# @package _global_\nallow_targets: [evil]\nkimg: 666\n"
        (tmp_path / group / "evil.yaml").write_text(text)
    (tmp_path / "evil.py").write_text(EVIL)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not (tmp_path / "imported").exists()
    assert "evil" not in sys.modules


def left_out(capsys):
    """The words that the one line on stderr says were not taken."""
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "may not choose" in line]
    return shlex.split(line.partition("repeat those you want: ")[2])


@pytest.mark.parametrize(
    "word",
    [
        "logger=wandb",
        "logger=../..",
        "trainer=gpu",
        "trainer.devices=500",
        "data@allow_targets=folder",
        "+model@hydra.run=dcgan",
        "allow_targets=[shutil]",
        "run_dir=/etc",
        "hydra/launcher=local",
        "seed=0,1",
        "kimg=range(1,3)",
        "data.seed=${oc.env:HOME}",
        "data.path='/a/${oc.env:HOME}'",
        "+data.x=[{a: '${oc.env:HOME}'}]",
        "features.weights=/x",
        "+model.conditioner={extractor: {weights: {file: /x}}}",
        "+model.generator._args_=[8]",
        "scores.cache=/x",
        "callbacks.sample_grid.directory=/etc",
        "+callbacks.x.compare=hf://a/b/c",
        "+callbacks.x={compare: [hf://a/b/c]}",
        "+callbacks.x={_target_: shutil.copyfile}",
        "+callbacks.x._target_=os.system",
        "model.generator._target_=torch.hub.load",
        "[" * 9_000,
        "data.name=" + "x" * 20_000,
        "kimg=" + "9" * 9_000,
        "model/../../x=y",
        "sweep=norms",
        "-m",
    ],
)
def test_what_a_checkpoint_may_not_choose_is_left_out_and_said(word, capsys):
    assert continue_words(TODAY, [word]) == TODAY
    if len(word) < 100:
        assert left_out(capsys) == [word]


@pytest.mark.parametrize(
    "word",
    [
        *("experiment=../evil", "experiment=evil", "model=../..", "data=/etc/x", "model=evil"),
        *("model/norm=../../x", "callbacks=[default,../callbacks/evil]", "data={a: b}"),
    ],
)
def test_an_option_that_does_not_exist_is_refused_by_name(word, lair):
    with pytest.raises(UntrustedError, match="names no option") as refused:
        continue_words(TODAY, [word])
    assert key_of(word) in str(refused.value)
    today = [*TODAY, f"{key_of(word)}=mine"]
    assert continue_words(today, [word]) == today, "today's word takes its place"


@pytest.mark.parametrize(
    "word",
    [
        *("model=dcgan", "+experiment=norms/pin", "model/norm=pin", "callbacks=[default,none]"),
        *("experiment=null", "experiment=demo.yaml", "~callbacks.health", "scores=null", "seed=3"),
        *("scores.monitor=is1k", "callbacks.sample_grid.num=16", "kimg=3", "log_every_kimg=2"),
        *("features.weights=null", "model.growth.batch_sizes={32: 64}", "data.name='it\\'s'"),
        *("+metrics.metrics.swd={_target_: ganlab.metrics.SlicedWasserstein}", "data.images=key"),
    ],
)
def test_what_makes_the_run_what_it_is_is_remembered(word, capsys):
    assert continue_words(TODAY, [word]) == [word, *TODAY]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("key", ["data.path", "data.ckpt", "data.labels"])
def test_a_runs_own_images_are_said_before_they_are_opened(key, capsys):
    assert continue_words(TODAY, [f"{key}=/a/b"])[0] == f"{key}=/a/b"
    assert f"{key}=/a/b is the checkpoint's choice" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["--config-dir=", "--config-dir", "-cd", "hydra.searchpath"])
def test_options_of_the_users_own_search_path_of_today_are_known(form, lair):
    path = lair / "it's, mine"
    (path / "experiment").mkdir(parents=True)
    (path / "experiment" / "own.yaml").write_text("# @package _global_\nkimg: 3\n")
    quoted = str(path).replace("'", "\\'")
    today = {
        "--config-dir=": [f"--config-dir={path}"],
        "hydra.searchpath": [f"hydra.searchpath=['file://{quoted}']"],
    }.get(form, [form, str(path)])
    words = continue_words([*today, *TODAY], ["experiment=own"])
    assert set(words) == {*today, "experiment=own", *TODAY}
    with pytest.raises(UntrustedError, match="give --config-dir"):
        continue_words(TODAY, ["experiment=own"])


def test_a_target_of_the_users_own_needs_its_package_again(capsys):
    saved = ["+callbacks.x._target_=mine.Spy", "+callbacks.x.n=3", "callbacks=none"]
    assert continue_words(TODAY, saved) == ["callbacks=none", *TODAY]
    assert left_out(capsys) == saved[:2]
    today = [*TODAY, "allow_targets=[mine]"]
    assert continue_words(today, saved) == [*saved, *today]


def test_what_a_terminal_would_obey_is_shown_escaped(capsys):
    continue_words(TODAY, ["trainer=\x1b[2J\n$(reboot)"])
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert said.count("\n") == 1


def test_every_place_that_a_part_can_be_given_is_known_as_one():
    """By its annotation; the data's, which are plain text, by name."""
    found = {"cache_dir", "path", "ckpt", "url"}
    for package in LISTED:
        module = _module(f"ganlab.{package}", "")
        for part in (getattr(module, name) for name in module.__all__):
            if inspect.isclass(part) or inspect.isfunction(part):
                hints = annotations(part).items()
                found |= {name for name, hint in hints if "Path" in str(hint)}
    assert found >= {"directory", "cache", "weights", "file", "rates_file", "held_out"}
    assert [name for name in found if not PLACES.fullmatch(f"callbacks.x.{name}")] == []


# Mutated recipes

hostile_values = st.sampled_from(
    [
        *("../experiment/evil", "evil", "../..", "/etc", "[evil]", "{_target_: evil.f}", "null"),
        *("${oc.env:HOME}", "'${oc.env:HOME}'", "a,b", "glob(*)", "500", "evil.f", "???", "[[]]"),
        *("ganlab.systems.checkpoint.load_checkpoint", "'it\\'s'", "dcgan", "synthetic", "4"),
        *("[dcgan,../evil]", "{weights: /x}", "file:///tmp", "", "1e999", "\x1b[2J", "pin"),
    ]
)
hostile_keys = st.sampled_from(
    [
        *("experiment", "model", "data", "callbacks", "metrics", "features", "logger", "trainer"),
        *("allow_targets", "run_dir", "hydra.run.dir", "hydra.searchpath", "data@allow_targets"),
        *("model@hydra.run", "trainer.devices", "seed", "kimg", "model.generator._target_"),
        *("callbacks.x._target_", "callbacks.x.src", "callbacks.x", "data.path", "data.cache_dir"),
        *("features.weights", "scores", "scores.directory", "model/norm", "model/loss", "sweep"),
        *("hydra/launcher", "model.generator", "data.num", "logger.csv.directory", "resume"),
        *("../evil", "hydra.callbacks.x._target_", "experiment@allow_targets", "ckpt", "x y"),
    ]
)
signs = st.sampled_from(["", "+", "++", "~"])
hostile_words = st.builds(lambda s, k, v: f"{s}{k}={v}", signs, hostile_keys, hostile_values)


@pytest.fixture
def ckpt(lair):
    """A checkpoint as an attacker may write it, and its recipe before that."""
    settings_of_run = check_config(composed("train", TINY, lair / "run"), "train")
    system = build_system(settings_of_run)
    state = {"recipe": system.recipe, "images_seen": 0, "state_dict": system.state_dict()}
    path = lair / "run" / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True)
    return path, state


def files(folder):
    return sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts)


def test_no_mutated_words_compose_a_file_or_widen_what_is_built(ckpt, lair):
    path, state = ckpt
    plain = check_config(composed("train", TINY, lair / "run"), "train")
    torch.save(state, path)
    before = files(lair)

    @settings(max_examples=40, derandomize=True, deadline=None, database=None)
    @given(st.lists(st.one_of(hostile_words, st.sampled_from(TINY)), max_size=4))
    def property_holds(words):
        state["recipe"]["overrides"] = words
        torch.save(state, path)
        today = [f"ckpt='{path}'", "scores=null"]
        GlobalHydra.instance().clear()
        try:
            said = resume_words(list(today))
            for word in said[: len(said) - len(today)]:
                assert key_of(word).split(".")[0].split("/")[0] in {
                    *("model", "data", "features", "metrics", "scores", "callbacks"),
                    *("experiment", "seed", "kimg"),
                }
                assert "${" not in word
                assert not parse_override(word).is_sweep_override()
            config = check_config(composed("train", said, lair / "run"), "train")
        except EXPECTED:
            pass
        else:
            for key in ("allow_targets", "trainer", "logger", "run_dir"):
                assert config[key] == plain[key]
            assert config["kimg"] != 666
        assert files(lair) == before

    property_holds()


def nested(draw, node):
    """A path to some place in a nested mapping."""
    path = []
    while isinstance(node, dict) and node and (not path or draw(st.booleans())):
        path.append(draw(st.sampled_from(sorted(node, key=str))))
        node = node[path[-1]]
    return path


hostile_parts = st.sampled_from(
    [
        *(
            "${oc.env:HOME}",
            "${run_dir}",
            "../..",
            "/etc/passwd",
            None,
            -1,
            1e999,
            [],
            {},
            "evil.f",
        ),
        *({"_target_": "evil.f"}, {"_target_": "shutil.copyfile", "src": "a", "dst": "stolen"}),
        {"_target_": "ganlab.systems.checkpoint.load_checkpoint", "path": "/etc/passwd"},
        {"_target_": "ganlab.systems.trainer.make_trainer", "devices": 500},
        {"_target_": "ganlab.loggers.CSVLog", "directory": "stolen"},
        {"_target_": "torch.nn.Linear", "_args_": [2, 3]},
        {"_target_": "ganlab.features.Classifier", "weights": "/etc/passwd"},
        {"_target_": "ganlab.features.VGG16Weights", "url": "http://127.0.0.1:1/x"},
    ]
)


def test_no_mutated_recipe_runs_or_writes_anything_in_an_evaluation(ckpt, lair, monkeypatch):
    _, state = ckpt
    config = composed("evaluate", ["ckpt=x", "study=samples"], lair / "run")
    monkeypatch.setenv("HOME", "/a/secret")
    before = files(lair)

    @settings(max_examples=40, derandomize=True, deadline=None, database=None)
    @given(st.data())
    def property_holds(data):
        recipe = copy.deepcopy(state["recipe"])
        section = data.draw(st.sampled_from(["model", "data", "features", "choices", "source"]))
        path = [section, *nested(data.draw, recipe.get(section))]
        node = recipe
        for key in path[:-1]:
            node = node[key]
        if len(path) > 1:
            path[-1] = data.draw(st.sampled_from([path[-1], "_args_", "weights", "cache_dir"]))
        node[path[-1]] = data.draw(hostile_parts)
        try:
            system = rebuild_system({**state, "recipe": recipe}, [])
            whole = with_saved_defaults(config, system.recipe)
            found = check_config(whole, "evaluate")
        except (*EXPECTED, TypeError, RuntimeError):
            found = {}
        assert "/a/secret" not in str(found)
        assert not isinstance(found.get("data", {}).get("cache_dir"), str)
        assert not isinstance(found.get("features", {}).get("weights"), str)
        assert files(lair) == before

    property_holds()


def test_networks_larger_than_the_weights_are_refused_before_memory_is_asked_for(ckpt, monkeypatch):
    _, state = ckpt
    state["recipe"]["model"]["generator"]["hidden"] = [65_536] * 250  # four TB
    built = []
    monkeypatch.setattr(
        "ganlab.runs.recipes.build", lambda *given: built.append(1) or build(*given)
    )
    with pytest.raises(CheckpointError, match=r"weights do not fit its recipe: generator\.\S+ is"):
        rebuild_system(state, [])
    assert built == [1]  # without memory alone


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("ckpt", 5), ("ckpt", None), ("ckpt", ["a"]), ("allow_targets", 5)],
        *[("allow_targets", [0]), ("data", 0.5), ("features", ["abc"]), ("model", "abc")],
    ],
)
def test_an_evaluations_settings_that_come_first_are_named(lair, key, value):
    config = composed("evaluate", ["ckpt=x"], lair / "run")
    OmegaConf.set_struct(config, False)
    config[key] = value
    with pytest.raises(ConfigError, match=key):
        evaluate(config)


def test_files_of_weights_are_named_by_the_command_line_alone(ckpt, lair):
    _, state = ckpt
    extractor = {"_target_": "ganlab.features.Classifier", "weights": "/x/y.safetensors"}
    state["recipe"]["features"] = extractor
    words = ["ckpt=x", "study=samples"]
    with pytest.raises(UntrustedError, match=r"'?features\.weights='?.*/x/y\.safetensors"):
        with_saved_defaults(composed("evaluate", words, lair), state["recipe"])
    for value in ("/my/own.safetensors", None):
        again = [*words, f"+features.weights={'null' if value is None else value}"]
        found = with_saved_defaults(composed("evaluate", again, lair), state["recipe"])
        assert found.features == {"_target_": extractor["_target_"], "weights": value}
    state["recipe"]["model"]["conditioner"] = {"weights": "/x/y"}
    with pytest.raises(UntrustedError, match=r"model\.conditioner\.weights="):
        rebuild_system(state, [])
    with pytest.raises(UntrustedError, match="model is the checkpoint's"):
        rebuild_system(state, [], {"generator": {"hidden": [8]}})


def test_the_data_of_a_checkpoint_are_said_and_their_cache_is_ones_own(ckpt, lair, capsys):
    _, state = ckpt
    state["recipe"]["data"] |= {"path": "/a/b", "cache_dir": "/etc"}
    found = with_saved_defaults(composed("evaluate", ["ckpt=x"], lair), state["recipe"])
    assert (found.data.path, found.data.cache_dir) == ("/a/b", None)
    said = capsys.readouterr().err
    assert "data.path=/a/b is the checkpoint's choice" in said
    assert "may not choose" in said
    assert "data.cache_dir=" in said


@pytest.mark.parametrize(
    "choice",
    ["../../..", "${oc.env:HOME}", "/etc", "[a]", "{a: b}", "a/b", "", "folder x", "&a folder"],
)
def test_what_lies_beside_a_checkpoint_is_a_name_or_ignored(choice, tmp_path):
    assert data_choice(written(tmp_path, "fashion_mnist")) == "fashion_mnist"
    assert data_choice(written(tmp_path, choice)) == "unknown"


def test_where_a_run_was_begun_from_is_told_in_names_and_numbers_alone(ckpt):
    path, state = ckpt
    state["recipe"]["begun_from"] = {"name": "a", "file": 3, "more": {"b": [1]}, "list": ["c"]}
    assert rebuild_system(state, []).recipe["begun_from"] == {"name": "a", "file": 3}
    for source, expected in (
        ("text", {"file": str(path)}),
        ({"name": "a", "b": [1]}, {"name": "a"}),
    ):
        state["recipe"]["source"] = source
        torch.save(state, path)
        system = rebuild_system(state, [])
        take_networks(system, str(path))
        assert system.recipe["begun_from"] == expected


def test_a_kept_checkpoint_is_of_the_data_of_its_run(tmp_path):
    last = Path(written(tmp_path, "fashion_mnist"))
    assert data_choice(str(last.parent / "kept" / "000000064.ckpt")) == "fashion_mnist"


def written(folder, choice):
    (folder / ".hydra").mkdir(exist_ok=True)
    choices = {"model/loss": "hinge", "data": "CHOICE", "features": "classifier"}
    tree = {"hydra": {"mode": "RUN", "runtime": {"version": "1", "choices": choices}, "job": None}}
    text = OmegaConf.to_yaml(OmegaConf.create(tree)).replace("CHOICE", choice)
    (folder / ".hydra" / "hydra.yaml").write_text(text)
    return str(folder / "checkpoints" / "last.ckpt")


def test_a_recipe_that_is_no_plain_data_is_refused(ckpt):
    _, state = ckpt
    deep = node = {}
    for _ in range(2_000):
        node["a"] = node = {}
    for part in (deep, torch.zeros(2), {1, 2}, {"_args_": [1]}, "${a}", "???"):
        recipe = {**state["recipe"], "model": {**state["recipe"]["model"], "ema": part}}
        with pytest.raises((UntrustedError, ConfigError)):
            rebuild_system({**state, "recipe": recipe}, [])


def test_what_is_to_be_repeated_names_the_users_own_files_and_refuses_none():
    words = ["experiment=../../mine", "trainer=ddp", "seed=1"]
    assert sorted(words_to_repeat(words)) == ["experiment=../../mine", "trainer=ddp"]


@pytest.mark.parametrize(
    ("network", "said", "named"),
    [
        ("generator", {"prior": "${oc.env:HOME}"}, "prior"),
        ("generator", {"resolution": "${oc.env:HOME}"}, "resolution"),
        ("discriminator", {"hidden": ["${oc.env:HOME}"]}, "hidden"),
        ("generator", {"weights": "/etc/passwd"}, "weights"),
        ("generator", {"x@hydra.run": 1}, "x@hydra.run"),
        ("generator", {"hidden": b"x"}, "hidden"),
        ("generator", {"_args_": [1]}, "_args_"),
        ("generator", {"_target_": "shutil.copyfile"}, "shutil.copyfile"),
        ("generator", {"_target_": "a,b.Generator"}, "a,b.Generator"),
        ("generator", {"_target_": "Generator"}, "Generator"),
        ("generator", {"_target_": 5}, "model.generator"),
        ("discriminator", {"_target_": 5}, "5"),
    ],
)
def test_a_file_to_begin_from_says_parameters_of_its_networks_and_nothing_else(
    network, said, named, ckpt, monkeypatch
):
    path, state = ckpt
    monkeypatch.setenv("HOME", "/a/secret")
    state["recipe"]["model"][network] |= said
    torch.save(state, path)
    with pytest.raises((ConfigError, CheckpointError, UntrustedError)) as refused:
        words_of([f"init='{path}'", "data=synthetic"])
    assert named in str(refused.value)
    assert "/a/secret" not in str(refused.value)


@pytest.mark.parametrize("model", [None, 5, [], {}, {"generator": 5}, {"generator": {}}])
def test_a_file_to_begin_from_that_describes_no_network_is_refused(model, ckpt):
    path, state = ckpt
    state["recipe"]["model"] = model
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="describes no model"):
        words_of([f"init='{path}'"])


def test_a_recipe_that_is_none_is_refused_wherever_a_file_is_opened(ckpt):
    path, state = ckpt
    state["recipe"] = 5
    torch.save(state, path)
    for use in (lambda: words_of([f"init='{path}'"]), lambda: resume_words([f"ckpt='{path}'"])):
        with pytest.raises(CheckpointError, match="recipe is 5 and should be a mapping"):
            use()


@pytest.mark.parametrize("key", ["init", "ckpt"])
@pytest.mark.parametrize("value", [5, 10**12, True, ["a"], {"a": 1}])
def test_a_file_to_go_on_from_has_a_name(key, value, tmp_path):
    config = composed("train", TINY, tmp_path)
    OmegaConf.update(config, key, value)
    with pytest.raises(ConfigError, match=rf"{key}=.* should be the name of a file"):
        check_config(config, "train")
