"""StyleGAN's configs: rows of a ladder differ by what they name, norms are a choice, both train."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import composing
import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from ganlab.cli import conf_dir, one_line
from ganlab.config import differences
from ganlab.run import build_system, check_config, evaluate, rebuild_system, recipe, train
from ganlab.systems.checkpoint import load_checkpoint

CONF = conf_dir()
NORMS = sorted(path.stem for path in (CONF / "model" / "norm").glob("*.yaml"))
LADDER = [f"karras2019/{row}" for row in "abcdef"]
TABLE = [f"tan2020/{path.stem}" for path in sorted((CONF / "experiment/tan2020").glob("*.yaml"))]
ROWS_OF_TABLE_1 = ("celeba", "no_mapping", "traditional_input", "no_noise", "no_blur", "no_style")

# Parts of the config that a step of table 1 touches; a prefix stands for all below it.
STEPS = {
    "a": {
        "kimg",
        "model.kimg",
        "model.generator.blur",
        "model.discriminator.blur",
        "model.loss._target_",
        "model.penalties.",
        "model.growth.first_level",
        "model.growth.learning_rates.",
    },
    "b": {
        "model.generator.mapping_layers",
        "model.generator.style",
        "model.generator.norm._target_",
    },
    "c": {"model.generator.input"},
    "d": {"model.generator.noise"},
    "e": {"model.mixing_probability"},
}
# Modules that a step adds or takes away, by the end of their name and by kind.
MODULES = {
    "a": {("blocks", "Blur")},
    "b": {
        ("mapping", "EqualizedLinear"),
        ("mapping", "LeakyReLU"),
        ("style", "StyleModulation"),
        ("affine", "EqualizedLinear"),
        ("norm", "PixelNorm"),
        ("norm", "InstanceNorm"),
    },
    "c": {("dense", "EqualizedConv2d")},
    "d": {("noise", "NoiseInjection")},
    "e": set(),
}
TABLE_SETTINGS = {
    "in": set(),
    "celeba": {"data.", "model.generator.", "model.discriminator.", "model.growth.", "model.pen"},
    "no_mapping": {"model.generator.mapping_layers"},
    "traditional_input": {"model.generator.input"},
    "no_noise": {"model.generator.noise"},
    "no_blur": {"model.generator.blur", "model.discriminator.blur"},
    "no_style": {
        "model.generator.style",
        "model.generator.input",
        "model.mixing_probability",
    },
    "pn": {"model.generator.norm._target_"},
    "pin": {"model.generator.norm._target_"},
}
TINY = [
    "data=synthetic",
    "data.num=64",
    "data.resolution=32",
    "data.batch_size=8",
    "kimg=0.04",
    "log_every_kimg=0.008",
    "sample_every_kimg=0.04",
    "checkpoint_every_kimg=0.04",
    "scores=null",
]
TINY_MODEL = [
    "model.generator.latent_dim=8",
    "model.generator.style_dim=8",
    "model.generator.width=4",
    "model.discriminator.width=4",
    "model.generator.max_width=8",
    "model.discriminator.max_width=8",
    "model.growth.stable_kimg=0.008",
    "model.growth.fade_kimg=0.016",
    "model.growth.batch_sizes=null",
]


pytestmark = pytest.mark.usefixtures("hydra_is_clean")


def composed(*overrides, directory="unused"):
    return composing.composed("train", overrides, directory)


def settings_of(*overrides):
    return check_config(composed(*overrides), "train")


def build_row(name):
    with torch.device("meta"):
        return build_system(settings_of(f"experiment={name}"))


def leaves(system):
    """(name, kind) of every module without children, and of every parent that it stands in."""
    return {
        (f"{network}.{name}", type(module).__name__)
        for network in ("generator", "discriminator")
        for name, module in getattr(system, network).named_modules()
        if not isinstance(module, torch.nn.Sequential | torch.nn.Identity)
    }


def changed_keys(row, other):
    before, after = settings_of(f"experiment={row}"), settings_of(f"experiment={other}")
    return {line.split(":")[0] for line in differences(before, after)}


@pytest.mark.parametrize(("lower", "upper"), list(pairwise(LADDER)), ids=lambda name: name[-1])
def test_rows_of_the_ladder_differ_by_the_settings_they_name(lower, upper):
    expected, found = STEPS[lower[-1]], changed_keys(lower, upper)
    strangers = {key for key in found if not key.startswith(tuple(expected))}
    assert not strangers
    assert all(any(key.startswith(name) for key in found) for name in expected)


@pytest.mark.parametrize(("lower", "upper"), list(pairwise(LADDER)), ids=lambda name: name[-1])
def test_rows_of_the_ladder_differ_by_the_modules_they_name(lower, upper):
    """A module counts by its kind and the part of the network that it stands in."""
    expected = MODULES[lower[-1]]
    found = leaves(build_row(lower)) ^ leaves(build_row(upper))

    def named(name, kind):
        return {(part, kind) for part in name.split(".")} & expected

    strangers = {(name, kind) for name, kind in found if not named(name, kind)}
    assert not strangers
    assert set().union(*(named(*each) for each in found)) == expected


@pytest.mark.parametrize("name", TABLE)
def test_rows_of_tan_et_al_differ_from_the_vanilla_network_by_the_settings_they_name(name):
    expected = TABLE_SETTINGS[name.split("/")[1]]
    found = changed_keys("karras2019/f", name)
    assert not {key for key in found if not key.startswith(tuple(expected))}
    assert all(any(key.startswith(part) for key in found) for part in expected)


def test_table_1_of_tan_et_al_is_complete():
    assert {f"tan2020/{row}" for row in (*ROWS_OF_TABLE_1, "pn")} <= set(TABLE)


def test_another_data_set_has_the_same_channels_at_the_same_sizes():
    vanilla, celeba = build_row("tan2020/in"), build_row("tan2020/celeba")
    widths = celeba.generator.widths
    assert widths == {size: vanilla.generator.widths[size] for size in (4, 8, 16, 32, 64, 128)}


@pytest.mark.parametrize("name", ["karras2019/f", "karras2019/a"])
def test_complete_rows_are_as_large_as_published(name):
    """26.2M for the style-based generator, 23.1M for the traditional one and for D."""
    system = build_row(name)
    sizes = [
        sum(p.numel() for p in n.parameters()) for n in (system.generator, system.discriminator)
    ]
    assert [round(size / 1e6, 1) for size in sizes] == [26.2 if name[-1] == "f" else 23.1, 23.1]


QUICK = (
    "karras2019/a",
    "karras2019/f",
    "tan2020/pin",
)  # the ladder's ends, and a norm of the table


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in LADDER + TABLE
    ],
)
def test_every_row_trains_and_restores(name, tmp_path):
    overrides = [f"experiment={name}", *TINY, *TINY_MODEL, "callbacks=none"]
    result = train(composed(*overrides, directory=tmp_path))
    assert (result["status"], result["images_seen"]) == ("done", 40)
    last = tmp_path / "checkpoints" / "last.ckpt"
    system = rebuild_system(load_checkpoint(last), [])
    latents = system.generator.sample_latents(2, torch.Generator().manual_seed(0))
    assert system.generator_ema(latents).isfinite().all()
    again = train(composed(*overrides, "kimg=0.056", f"ckpt={last}", directory=tmp_path))
    assert (again["status"], again["images_seen"]) == ("done", 56)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.generator.style=false"], "same image of every latent"),
        (["model.generator.input=z"], "input must be one of"),
        (["model.generator.latent_dim=32", "model.generator.input=latent"], "must equal style_dim"),
    ],
)
def test_a_meaningless_combination_is_refused(overrides, message):
    with pytest.raises(Exception, match=message):
        recipe("stylegan", *overrides)


@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_is_a_choice(norm):
    system = recipe("stylegan", f"model/norm={norm}", *TINY_MODEL)
    latents = system.generator.sample_latents(2, torch.Generator().manual_seed(0))
    assert system.generator_ema(latents).isfinite().all()


def test_the_norms_of_the_papers_are_there():
    assert set(NORMS) >= {"in", "pn", "pin", "switchable", "none"}


@pytest.mark.slow
def test_a_grid_of_norms_trains_every_one(tmp_path):
    command = [sys.executable, "train.py", "-m", "model=stylegan", "model/norm=in,pn,pin,none"]
    options = [*TINY, *TINY_MODEL, "callbacks=none", f"hydra.sweep.dir={tmp_path}"]
    options.append("hydra.sweep.subdir=${hydra:job.num}")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [*command, *options, "kimg=0.008"],
        cwd=CONF.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    results = [json.loads(path.read_text()) for path in tmp_path.rglob("result.json")]
    assert [result["status"] for result in results] == ["done"] * 4


def has_norm(path):
    defaults = OmegaConf.load(path).get("defaults", [])
    return any(isinstance(each, DictConfig) and "norm" in each for each in defaults)


def test_a_model_without_a_norm_says_so():
    with pytest.raises(Exception, match="model/norm") as caught:
        composed("model=dcgan", "model/norm=pin")
    said = one_line(caught.value)
    listed = [path for path in sorted((CONF / "model").glob("[!_]*.yaml")) if has_norm(path)]
    having = ", ".join(path.stem for path in listed)
    assert "stylegan" in having.split(", ")
    assert said == f"this model has no choice of model/norm; those that have: {having}"


def test_pin_stays_in_the_unit_interval_and_its_run_leaves_the_histogram(tmp_path):
    config = composed(
        "model=stylegan",
        "model/norm=pin",
        *TINY,
        *TINY_MODEL,
        "model.growth.fade_kimg=0.008",
        "model.generator_optimizer.lr=0.5",
        "callbacks.sample_grid.num=4",
        "callbacks.health.num=4",
        directory=tmp_path,
    )
    assert train(config)["status"] == "done"
    system = rebuild_system(load_checkpoint(tmp_path / "checkpoints" / "last.ckpt"), [])
    rho = torch.cat([p for n, p in system.generator.named_parameters() if n.endswith("rho")])
    assert rho.min() >= 0
    assert rho.max() <= 1
    assert ((rho == 0) | (rho == 1)).any(), "at this learning rate some must have been clipped"
    assert rho.any()
    drawn = np.load(tmp_path / "figures" / "rho.npz")
    averaged = system.generator_ema.points
    for size in ("4x4", "8x8", "16x16", "32x32"):
        expected = torch.cat([averaged[f"{size}/{i}/norm"].rho for i in (0, 1)])
        assert np.array_equal(drawn[f"{size}/rho"], expected.detach().numpy())
        assert drawn[f"{size}/share"].sum() == pytest.approx(1)
    assert (tmp_path / "figures" / "rho.png").stat().st_size > 1000
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    last = dict(zip(rows[0].split(","), rows[-1].split(","), strict=True))
    mean = float(np.mean(drawn["8x8/rho"]))
    assert float(last["rho/8x8"]) == pytest.approx(mean, rel=1e-5)


def test_a_run_without_rho_leaves_no_histogram(tmp_path):
    from ganlab.report.rho import rho_by_resolution

    assert rho_by_resolution(recipe("stylegan", *TINY_MODEL).generator) == {}
    assert rho_by_resolution(recipe("dcgan").generator) == {}


def test_a_grown_run_is_evaluated_from_its_checkpoint_alone(tmp_path):
    train(
        composed("model=stylegan", *TINY, *TINY_MODEL, "callbacks=none", directory=tmp_path / "run")
    )
    last = Path(tmp_path / "run" / "checkpoints" / "last.ckpt")
    config = composing.composed(
        "evaluate", [f"ckpt={last}", "study=samples", "study.num=4"], tmp_path / "samples"
    )
    assert evaluate(config)["status"] == "done"
