"""docs/extending.md and the package it shows: commands run, members do what they say."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import composing
import pytest
import torch
from torch import nn

from ganlab.run import evaluate, generator_of, train
from ganlab.runs.recipes import ConfigError

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text()
PACKAGE = ROOT / "examples" / "ganlab_rings"
RINGS = ["hydra.searchpath=[pkg://ganlab_rings.conf]", "allow_targets=[ganlab_rings]"]
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
(NOTEBOOK,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

SCORED = "metrics.num_real=20 metrics.num_fake=20 metrics.metrics.kid.subset_size=10"
TRAINED = (
    f"data.num=60 data.batch_size=16 {SCORED} callbacks.sample_grid.num=4 callbacks.health.num=4"
)
NARROW = (
    "model.generator.width=4 model.generator.max_width=8 model.generator.style_dim=8 "
    "model.generator.latent_dim=8 model.discriminator.width=4 model.discriminator.max_width=8"
)
SMALL = {  # by what a command says
    "study=radial_profile": "study.num=20",
    "study=activation_rates": "study.num_latents=20",
    "metrics=rings": SCORED,
}


@pytest.fixture
def rings(monkeypatch, own_cache):
    """The package on Python's path."""
    monkeypatch.syspath_prepend(str(PACKAGE))


def composed(name, directory, *words):
    return composing.composed(name, [*RINGS, *words], directory)


def smaller(line):
    """A command of the page for tens of images."""
    if line.startswith("python train.py"):
        line = re.sub(r"kimg=(\d+)", lambda found: f"kimg={int(found[1]) / 2000}", line)
        length = "" if " kimg=" in line else "kimg=0.016"
        return f"{line} {TRAINED} {length} {NARROW if 'stylegan' in line else ''}"
    if line.startswith("python evaluate.py"):
        return " ".join([line, *(words for said, words in SMALL.items() if said in line)])
    return line


def commands(place):
    """The page's commands for a package that is installed, or for one that is a folder."""
    other = "export PYTHONPATH" if place == "installed" else "pip install"
    lines = [line for block in BLOCKS for line in block.splitlines()]
    return [smaller(line) for line in lines if not line.startswith(other)]


@pytest.fixture
def desk(tmp_path):
    """A folder to work in as the page does, and its environment."""
    shutil.copytree(PACKAGE, tmp_path / "examples" / "ganlab_rings")
    for name in ("train.py", "evaluate.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    tools = tmp_path / "tools"
    tools.mkdir()
    offline = f"--no-index --no-deps --no-build-isolation --target {tmp_path / 'site'}"
    for name, words in {"python": '"$@"', "pip": f'-m pip "$@" {offline} -q'}.items():
        (tools / name).write_text(f"#!/bin/bash\nexec {sys.executable} {words}\n")
        (tools / name).chmod(0o755)
    own = {"GANLAB_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    return tmp_path, {**os.environ, **own, "PATH": path, "PYTHONPATH": str(tmp_path / "site")}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("place", ["installed", "folder"])
def test_every_command_of_the_page_runs_and_then_its_notebook(place, desk):
    folder, environment = desk
    (folder / "notebook.py").write_text(NOTEBOOK)
    script = "\n".join(["set -euxo pipefail", *commands(place), "python notebook.py"])
    ran = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "| fc/1 | 64 |" in ran.stdout
    results = {
        str(path.parent.relative_to(folder)): json.loads(path.read_text())
        for path in folder.rglob("result.json")
    }
    assert {result["status"] for result in results.values()} == {"done"}
    assert results["runs/rings"]["images_seen"] == results["runs/folder"]["images_seen"] + 16 == 48
    assert "asymmetry20_pixels" in {score["metric"] for score in results["runs/scores"]["scores"]}
    assert {f"outputs/multirun/norms/norm-{norm}" for norm in ("in", "layer")} <= set(results)
    assert (folder / "runs/profile/figures/profile.png").is_file()
    where = folder / ("site" if place == "installed" else "examples") / "ganlab_rings"
    assert where.is_dir()


def test_a_package_trains_resumes_and_is_studied(rings, tmp_path):
    words = ["experiment=rings", *TRAINED.split(), "callbacks=none", "scores=null"]
    words = [word for word in words if not word.startswith(("callbacks.", "metrics."))]
    run, last = tmp_path / "run", tmp_path / "run" / "checkpoints" / "last.ckpt"
    train(composed("train", run, *words, "kimg=0.016"))
    again = train(composed("train", run, *words, "kimg=0.032", f"ckpt={last}"))
    assert (again["status"], again["images_seen"]) == ("done", 32)
    words = [f"ckpt={last}", "study=radial_profile", "study.num=20", "study.num_knots=5"]
    assert evaluate(composed("evaluate", tmp_path / "study", *words))["status"] == "done"
    assert len((tmp_path / "study" / "table.csv").read_text().splitlines()) == 6
    assert (tmp_path / "study" / "figures" / "profile.png").is_file()
    with pytest.raises(ConfigError, match=r"own package: allow_targets=\[ganlab_rings\]"):
        generator_of(last)
    assert generator_of(last, allow_targets=["ganlab_rings"]).latent_dim == 16


def test_every_config_of_the_package_composes_in_its_group(rings, tmp_path):
    from ganlab.config import check, resolve

    configs = PACKAGE / "ganlab_rings" / "conf"
    found = {path.relative_to(configs).with_suffix("") for path in configs.rglob("*.yaml")}
    assert {path.parts[0] for path in found} == {"data", "model", "metrics", "study", "experiment"}
    for path in found:
        name, more = "evaluate" if path.parts[0] == "study" else "train", []
        if name == "evaluate":
            more = ["ckpt=x", "data=rings", "features=classifier"]
        elif path.parent.name == "norm":
            more = ["model=stylegan"]
        config = composed(name, tmp_path, *more, f"{path.parent}={path.name}")
        check(resolve(config), ["ganlab_rings"])


def test_images_of_the_model_and_of_the_data_set_are_round(rings):
    from ganlab_rings.data import rings as data_set
    from ganlab_rings.metrics import Asymmetry
    from ganlab_rings.networks import Generator

    data = data_set(num=6, resolution=16, channels=1)
    data.setup()
    reals = data.dataset.images(range(6)) / 127.5 - 1
    assert list(data.dataset.class_names) == ["one ring", "two rings", "three rings"]
    fakes = Generator(16)(torch.randn(4, 16)).detach()
    slope = torch.linspace(-1, 1, 16).expand(2, 1, 16, 16)  # odd: turning takes all of it away
    for images, expected in ((reals, 0.0), (fakes, 0.0), (slope, 1.0)):
        score = Asymmetry()
        score.update(images, real=False)
        assert score.compute()["asymmetry"] == pytest.approx(expected, abs=1e-6)


def test_the_norm_is_that_of_torch_and_looks_at_one_sample(rings):
    from ganlab_rings.norms import LayerNorm

    x = torch.randn(3, 4, 5, 5).double() * torch.arange(1, 4)[:, None, None, None] + 1
    expected = nn.functional.layer_norm(x, (4, 5, 5), eps=1e-8)
    torch.testing.assert_close(LayerNorm(4)(x), expected)


def test_profiles_of_a_function_of_the_distance_are_that_function(rings):
    """Linear in the distance, it is what linear interpolation is exact for."""
    from ganlab_rings.radial import distances, hats, profiles

    linear = (1 - distances(64))[None, None].double()
    knots = torch.linspace(1, 1 - 2**0.5, 9)
    exact = knots.double() @ hats(64, 9).double()
    torch.testing.assert_close(exact, linear.flatten(), atol=1e-5, rtol=0)
    radius, step = 1 - knots[1:6], 2**0.5 / 8  # of rings that are whole
    expected = 1 - (radius + step**2 / (6 * radius))  # a ring has more pixels on its outer side
    found = profiles(linear, 9)[0, 0, 1:6].float()
    torch.testing.assert_close(found, expected, atol=0.005, rtol=0)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((\.\.?/[^)#]+)", PAGE))))
def test_every_link_of_the_page_is_there(link):
    assert (ROOT / "docs" / link).exists()
