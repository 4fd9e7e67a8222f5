"""Files of an earlier commit open, go on to the bit, are evaluated, and its half-done grid ends."""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import composing
import pytest
import torch
from omegaconf import OmegaConf

from ganlab.grid.cell import read_cell
from ganlab.run import evaluate, generator_of, train
from ganlab.runs.recipes import resume_words
from ganlab.sampling import Sampler
from ganlab.studies import Rates

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "tests" / "files" / "7bef205"
KNOWN = json.loads((KEPT / "digests.json").read_text())
MODELS = ("vanilla", "progan", "stylegan2", "vae")

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(autouse=True)
def one_thread():
    """As the digests were made: sums over several threads round otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def kept(tmp_path):
    with tarfile.open(KEPT / "kept.tar.xz") as files:
        files.extractall(tmp_path / "kept", filter="data")
    return tmp_path / "kept"


def tensors(node, name):
    if isinstance(node, torch.Tensor):
        yield name, node
    elif isinstance(node, dict | list | tuple):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, each in items:
            yield from tensors(each, f"{name}.{key}")


def digest(path):
    """As digests.json has it."""
    checkpoint, found = torch.load(path, weights_only=True), hashlib.sha256()
    for key in ("state_dict", "optimizer_states"):
        for name, value in sorted(tensors(checkpoint[key], key)):
            found.update(name.encode())
            found.update(value.contiguous().numpy().tobytes())
    return found.hexdigest()


def assert_known(name, path):
    """Equal to the bit, where this machine rounds as the one that wrote the digests."""
    here = {"torch": torch.__version__, "cpu": torch.backends.cpu.get_cpu_capability()}
    if here != {key: KNOWN[key] for key in here}:
        pytest.skip(f"digests are of {KNOWN['torch']} on {KNOWN['cpu']}, this is {here}")
    assert digest(path) == KNOWN["sha256"][name]


def composed(name, directory, words):
    return composing.composed(name, words, directory)


@pytest.mark.parametrize("name", MODELS)
def test_a_checkpoint_goes_on_as_its_own_commit_did(name, kept, tmp_path, capsys):
    words = resume_words([f"ckpt={kept / name}.ckpt", "kimg=0.04"])
    assert "model=" + name in words
    assert capsys.readouterr().err == ""
    ended = train(composed("train", tmp_path / "run", words))
    assert (ended["status"], ended["images_seen"]) == ("done", 40)
    assert_known(name, tmp_path / "run" / "checkpoints" / "last.ckpt")


@pytest.mark.parametrize("name", MODELS)
def test_a_checkpoint_is_opened_and_evaluated(name, kept, tmp_path):
    ckpt = kept / f"{name}.ckpt"
    images = Sampler(generator_of(ckpt)).images(range(2))
    assert images.isfinite().all()
    words = [f"ckpt={ckpt}", "study=samples", "study.num=4"]
    assert evaluate(composed("evaluate", tmp_path / "samples", words))["status"] == "done"


def test_its_rates_are_those_counted_today(kept, tmp_path):
    words = [f"ckpt={kept / 'stylegan2.ckpt'}", "study=activation_rates", "study.num_latents=40"]
    evaluate(composed("evaluate", tmp_path / "anew", words))
    with pytest.warns(UserWarning, match="no checksum"):
        before = Rates.load(kept / "rates")
    after = Rates.load(tmp_path / "anew")
    assert (before.seed, before.num_latents) == (after.seed, after.num_latents)
    assert before.rates.keys() == after.rates.keys()
    assert all(torch.equal(before.rates[name], after.rates[name]) for name in before.rates)


@pytest.mark.filterwarnings("ignore:.*no checksum")
def test_its_rates_are_used(kept, tmp_path):
    words = [f"ckpt={kept / 'stylegan2.ckpt'}", "study=artifact_detection", "study.suite=null"]
    words += ["study.num_latents=40", f"study.rates_file={kept / 'rates'}", "study.rate=0.3"]
    words += ["study.num_samples=8", "study.num=2", "study.num_shown=2"]
    with pytest.warns(UserWarning, match="written by an earlier version"):
        assert evaluate(composed("evaluate", tmp_path / "found", words))["status"] == "done"


@pytest.mark.slow
def test_a_half_done_grid_is_completed(kept):
    cell = read_cell(kept / "grid" / "seed-1")
    words = [word for word in cell.overrides if not word.startswith(("seed=", "kimg="))]
    grid = [f"hydra.sweep.dir={kept / 'grid'}", "seed=0,1,2", "kimg=0.024"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-m", "ganlab", "train", "-m", *words, *grid],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 done already, 1 to continue" in ran.stdout + ran.stderr
    for seed in range(3):
        config = OmegaConf.load(kept / "grid" / f"seed-{seed}" / "cell.yaml").config
        assert config.seed == seed
        assert_known(f"seed-{seed}", kept / "grid" / f"seed-{seed}" / "checkpoints" / "last.ckpt")
