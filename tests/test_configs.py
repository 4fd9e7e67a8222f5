"""Every config composes; every recipe trains, samples, checkpoints, restores, evaluates."""

import re
from pathlib import Path

import composing
import pytest
import torch
from omegaconf import OmegaConf

from ganlab.cli import conf_dir
from ganlab.config import ConfigError, check
from ganlab.run import build_study, build_system, check_config, evaluate, recipe, train
from ganlab.runs.classes import count_classes
from ganlab.runs.settings import check_top_level

CONF = conf_dir()
SMOKE = [line for line in (Path(__file__).parent / "smoke.txt").read_text().split() if line]


def options(group):
    """Names of a group's public configs, nested ones as `folder/name`."""
    paths = (
        sorted((CONF / group).rglob("*.yaml"))
        if "/" in group
        else sorted((CONF / group).glob("*.yaml"))
    )
    return [p.stem for p in paths if not p.name.startswith("_")]


def experiments():
    folder = CONF / "experiment"
    return [str(p.relative_to(folder).with_suffix("")) for p in sorted(folder.rglob("[!_]*.yaml"))]


MODELS = options("model")
TRAINED = [m for m in MODELS if "Pretrained" not in (CONF / "model" / f"{m}.yaml").read_text()]
TRAIN_GROUPS = [
    "data",
    "features",
    "metrics",
    "model",
    *sorted(f"model/{path.name}" for path in (CONF / "model").iterdir() if path.is_dir()),
    "callbacks",
    "trainer",
    "logger",
]
EVALUATE_GROUPS = ["data", "features", "metrics", "study", "trainer"]


pytestmark = pytest.mark.usefixtures("hydra_is_clean")


def composed(name, overrides, directory="unused"):
    """A config as the command line makes it, outside Hydra's own run."""
    return composing.composed(name, overrides, directory)


def settings_of(name, overrides):
    """Resolved where values are given; mandatory ones may stay open."""
    settings = OmegaConf.to_container(count_classes(composed(name, overrides)), resolve=True)
    check_top_level(settings, name)
    check(settings)
    return settings


def choosing(group):
    """The words that choose a model with a choice of this group, where the default one has none."""
    _, _, part = group.partition("/")
    listed = re.compile(rf"^ *- (override )?{part}:", re.MULTILINE)
    if not part or listed.search((CONF / "model" / "_gan.yaml").read_text()):
        return []
    having = (path for path in sorted((CONF / "model").glob("[!_]*.yaml")))
    return [f"model={next(p.stem for p in having if listed.search(p.read_text()))}"]


@pytest.mark.parametrize(
    ("group", "option"), [(group, option) for group in TRAIN_GROUPS for option in options(group)]
)
def test_every_option_of_train_composes_and_fits_its_signature(group, option):
    settings_of("train", [*choosing(group), f"{group}={option}"])


@pytest.mark.parametrize(
    ("group", "option"), [(group, option) for group in EVALUATE_GROUPS for option in options(group)]
)
def test_every_option_of_evaluate_composes_and_fits_its_signature(group, option):
    extra = [] if group in ("data", "features") else ["data=fashion_mnist"]
    if group == "data":
        extra = ["features=classifier"]
    if group == "features":
        extra = ["data=fashion_mnist"]
    settings_of("evaluate", [f"{group}={option}", "ckpt=x", *extra])


@pytest.mark.parametrize(
    ("study", "key"), [("scores", "metrics"), ("artifact_detection", "study.suite")]
)
def test_a_suite_knows_by_which_keys_its_images_are_counted(study, key):
    words = [f"study={study}", "ckpt=x", "data=synthetic", "features=classifier"]
    settings = OmegaConf.to_container(composed("evaluate", words), resolve=True)
    assert build_study(settings).scoring.suite.key == key


@pytest.mark.parametrize("experiment", experiments())
def test_every_experiment_composes_and_its_networks_build_on_the_meta_device(experiment):
    settings = settings_of("train", [f"experiment={experiment}"])
    with torch.device("meta"):
        system = build_system({**settings, "allow_targets": []})
    assert sum(parameter.numel() for parameter in system.generator.parameters()) > 0
    if (settings["metrics"]["num_fake"] or 0) >= 10_000:  # a published protocol
        assert settings["features"]["_target_"] == "ganlab.features.Inception"


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        (["data=emoji"], "EfficientNetLite0"),
        (["data=folder"], "EfficientNetLite0"),
        (["data=folder", "features=inception"], "Inception"),
        (["data=emoji", "features=classifier"], "Classifier"),
        (["data=fashion_mnist"], "Classifier"),
        (["experiment=karras2018/celebahq1024", "features=imagenet"], "EfficientNetLite0"),
    ],
)
def test_colour_data_are_scored_by_imagenet_unless_other_features_are_named(words, chosen):
    assert composed("train", words).features._target_ == f"ganlab.features.{chosen}"


def test_smoke_overrides_touch_size_and_length_only():
    """They must never stand for another method: resolution, width, batch and kimg, nothing else."""
    allowed = ("resolution", "width", "hidden", "batch_size", "kimg", "num", "num_real", "num_fake")
    keys = [override.split("=")[0].lstrip("+") for override in SMOKE]
    assert all(key.rsplit(".", 1)[-1] in allowed or key.endswith("_kimg") for key in keys), keys


def smoke(name, directory):
    """The smoke overrides that apply to a model, on synthetic images."""
    model = settings_of("train", [f"model={name}"])["model"]
    known = {
        f"model.{part}.{key}"
        for part in model
        if isinstance(model[part], dict)
        for key in model[part]
    }
    kept = [o for o in SMOKE if not o.startswith("model.") or o.split("=")[0] in known]
    return [f"model={name}", "data=synthetic", *kept, "callbacks.progress.every_kimg=0.016"]


@pytest.mark.parametrize("name", TRAINED)
def test_every_model_trains_samples_checkpoints_restores_and_evaluates(name, tmp_path, monkeypatch):
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "cache"))
    result = train(composed("train", smoke(name, tmp_path), tmp_path / "run"))
    assert result["status"] == "done"
    assert result["images_seen"] == 32
    values = {record["metric"]: record["value"] for record in result["scores"]}
    assert values
    assert all(value == value for value in values.values())
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    again = train(
        composed("train", [*smoke(name, tmp_path), f"ckpt={last}", "kimg=0.048"], tmp_path / "run")
    )
    assert again["images_seen"] == 48
    overrides = [f"ckpt={last}", "study=scores", "metrics.num_real=100", "metrics.num_fake=100"]
    scored = evaluate(composed("evaluate", overrides, tmp_path / "scores"))
    assert scored["status"] == "done"
    assert {record["images_seen"] for record in scored["scores"]} == {48}
    assert list((tmp_path / "run" / "samples").glob("*.png"))
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize("name", sorted(set(MODELS) - set(TRAINED)))
def test_a_model_that_only_makes_images_says_so_when_it_is_to_be_trained(name, tmp_path):
    with pytest.raises(ConfigError, match=r"not trained here.*ckpt=<file>.*another model"):
        train(composed("train", smoke(name, tmp_path), tmp_path / "run"))


@pytest.mark.parametrize("name", MODELS)
def test_recipe_gives_a_module_for_a_notebook(name):
    system = recipe(name, "data=synthetic", "data.resolution=32")
    latents = system.generator_ema.sample_latents(2, torch.Generator().manual_seed(0))
    images = system.generator_ema(latents)
    images = images[-1] if isinstance(images, list) else images
    assert images.shape[0] == 2
    assert images.shape[-1] == 32


def test_checked_config_is_plain(tmp_path):
    settings = check_config(composed("train", ["data=synthetic"], tmp_path), "train")
    assert type(settings["model"]["generator_optimizer"]["betas"]) is list
