"""Every choice of loggers and callbacks composes and builds, from the project's own YAML."""

import errno
import inspect
import os
import re
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import composing
import pytest
from hydra import compose, initialize_config_dir

from ganlab import callbacks
from ganlab.callbacks import RhoHistogram
from ganlab.callbacks.observer import tolerate
from ganlab.config import ConfigError, build, resolve
from ganlab.loggers import CSVLog, Guarded
from ganlab.networks import stylegan
from ganlab.nn.norm import PixelInstanceNorm
from ganlab.run import build_all, train
from ganlab.runs.recipes import check_config

ROOT = Path(__file__).parents[1]

PRIMARY = """
hydra: {searchpath: ["file://%s"]}
defaults: [_self_, {logger: csv}, {callbacks: none}]
run_dir: %s
log_every_kimg: 1.0
sample_every_kimg: 4.0
"""


@pytest.fixture
def composed(tmp_path):
    def compose_with(*overrides):
        (tmp_path / "primary.yaml").write_text(PRIMARY % (ROOT / "conf", tmp_path))
        with initialize_config_dir(str(tmp_path), version_base="1.3"):
            return compose("primary", overrides=list(overrides))

    return compose_with


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("csv", {"csv"}),
        ("wandb", {"csv", "wandb"}),
        ("tensorboard", {"csv", "tensorboard"}),
        ("mlflow", {"csv", "mlflow"}),
        ("[wandb,mlflow]", {"csv", "mlflow", "wandb"}),
        ("[csv,wandb]", {"csv", "wandb"}),
        ("[csv,tensorboard]", {"csv", "tensorboard"}),
        ("[wandb,tensorboard]", {"csv", "tensorboard", "wandb"}),
    ],
)
def test_any_choice_of_loggers_writes_the_csv_too(composed, tmp_path, choice, names):
    settings = resolve(composed(f"logger={choice}"))["logger"]
    assert set(settings) == names
    if "mlflow" in names:
        pytest.importorskip("mlflow", reason="pip install 'ganlab[mlflow]'")
    loggers = {name: build(node, "logger") for name, node in settings.items()}
    assert isinstance(loggers["csv"], CSVLog)
    assert Path(loggers["csv"].save_dir) == tmp_path
    assert all(isinstance(loggers[name], Guarded) for name in names - {"csv"})


def test_the_default_callbacks_are_built_from_their_config(composed, tmp_path):
    nodes = resolve(composed("callbacks=default"))["callbacks"]
    pictures = ["sample_grid", "scales", "reconstructions"]
    ours = ["progress", "throughput", "health", "rho", "metrics_log"]
    assert [name for name in nodes if name in (*pictures, *ours)] == [*pictures, *ours]
    assert list(nodes)[-1] == "metrics_log"
    built = {name: build(node, "callbacks") for name, node in nodes.items()}
    assert built["sample_grid"].directory == tmp_path / "samples"
    assert {built[name].every_images for name in pictures} == {4000}
    assert {built[name].every_images for name in ours} == {1000}


def test_every_callback_of_the_package_is_among_the_default_ones(composed):
    """But the one that asks for images that are held out, which most data have none of."""
    nodes = resolve(composed("callbacks=default"))["callbacks"]
    parts = {name: getattr(callbacks, name) for name in callbacks.__all__}
    kinds = {f"ganlab.callbacks.{name}" for name, part in parts.items() if inspect.isclass(part)}
    assert {node["_target_"] for node in nodes.values()} == kinds - {"ganlab.callbacks.Overfitting"}


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in (ROOT / "conf/logger").glob("*.yaml"))
)
def test_every_logger_writes_the_csv_too_and_fails_no_run(composed, name):
    if name in ("mlflow", "trackio"):
        pytest.importorskip(name, reason=f"pip install 'ganlab[{name}]'")
    built = {
        key: build(node, "logger")
        for key, node in resolve(composed(f"logger={name}"))["logger"].items()
    }
    assert isinstance(built.pop("csv"), CSVLog)
    assert all(isinstance(logger, Guarded) for logger in built.values())


@pytest.mark.parametrize("name", ["mlflow", "trackio"])
def test_without_a_trackers_package_the_error_names_the_extra(tmp_path, name):
    if find_spec(name) is not None:
        pytest.skip("it is installed here")
    words = [f"logger={name}", "data=synthetic"]
    settings = check_config(composing.composed("train", words, tmp_path), "train")
    with pytest.raises((ConfigError, ImportError), match=rf"pip install 'ganlab\[{name}\]'"):
        build_all(settings, "logger")


def test_nobody_watches_with_callbacks_none(composed):
    assert not composed("callbacks=none").get("callbacks")


@pytest.mark.parametrize(
    ("key", "target", "said"),
    [
        ("callbacks.x", "ganlab.studies.Findings", "Findings is no Callback"),
        ("callbacks.x", "ganlab.studies.Samples", "Samples asks a trained generator"),
        ("scores", "ganlab.metrics.FrechetDistance", "FrechetDistance is no Callback"),
        ("scores", "ganlab.studies.RealOrFake", "RealOrFake asks a trained generator"),
    ],
)
def test_what_no_trainer_can_hold_is_refused_by_its_key(tmp_path, key, target, said):
    words = ["scores=null", f"++{key}={{_target_: {target}}}", "callbacks=none", "data=synthetic"]
    with pytest.raises(ConfigError, match=rf"^{re.escape(key)}: {said}.*leave it out"):
        train(composing.composed("train", words, tmp_path))


def test_a_node_without_settings_is_refused_without_a_list_of_them():
    text = r"callbacks cannot be built: .* missing .* 'extractor'"
    with pytest.raises(ConfigError, match=text):
        build({"_target_": "ganlab.studies.NearestNeighbours"}, "callbacks")


@pytest.mark.parametrize(("number", "advice"), [(errno.ENOSPC, True), (errno.EACCES, False)])
def test_a_picture_that_was_not_written_is_told_with_what_helps_alone(number, advice):
    with pytest.warns(UserWarning, match=r"x\.png was not written") as told, tolerate("x.png"):
        raise OSError(number, os.strerror(number))
    assert ("free some" in str(told[0].message)) is advice


def test_a_histogram_of_rho_that_finds_no_folder_costs_itself(tmp_path):
    sizes = {"resolution": 8, "channels": 1, "latent_dim": 4, "style_dim": 4, "width": 4}
    generator = stylegan.Generator(**sizes, mapping_layers=1, norm=PixelInstanceNorm)
    system = SimpleNamespace(generator_ema=generator, images_seen=8, complete=True)
    (tmp_path / "figures").touch()
    with pytest.warns(UserWarning, match=r"figures/rho\.png was not written"):
        RhoHistogram(tmp_path, 0.001).observe(
            SimpleNamespace(is_global_zero=True, loggers=[]), system
        )
