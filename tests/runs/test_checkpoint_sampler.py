"""`data=generated`: any checkpoint's samples as a data set, in one process and in two."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from composing import composed

from ganlab.report.images import to_uint8
from ganlab.run import evaluate, train
from ganlab.runs.checkpoint_sampler import CheckpointSampler
from ganlab.runs.recipes import open_checkpoint, rebuild_system
from ganlab.sampling import Sampler
from ganlab.systems.checkpoint import CheckpointError

ROOT = Path(__file__).parents[2]
TINY = ["model=dcgan", "model.generator.width=2", "model.discriminator.width=2", "scores=null"]
TINY += ["kimg=0.016", "data.batch_size=8", "callbacks=none", "data.resolution=32"]


def trained(directory, *overrides):
    config = composed("train", [*TINY, *overrides], directory)
    return train(config)


@pytest.fixture
def ckpt(own_cache, tmp_path):
    trained(tmp_path / "first", "data=synthetic", "data.num=40", "data.channels=1")
    return tmp_path / "first" / "checkpoints" / "last.ckpt"


def test_painted_images_are_those_of_the_averaged_generator(ckpt):
    before = torch.get_rng_state()
    painter = CheckpointSampler(str(ckpt))
    assert torch.equal(torch.get_rng_state(), before)
    painted = painter.paint(range(3, 6), seed=1)
    generator = rebuild_system(open_checkpoint(ckpt), []).generator_ema
    expected = to_uint8(Sampler(generator, 1).batch(range(3, 6))).permute(0, 2, 3, 1).numpy()
    assert painter.shape == (32, 32, 1)
    assert np.array_equal(painted, expected)


def test_a_model_trains_on_a_generators_samples(ckpt, own_cache, tmp_path):
    result = trained(
        tmp_path / "second", "data=generated", f"data.ckpt={ckpt}", "data.num=24", "data.channels=1"
    )
    assert result["status"] == "done"
    assert result["data_source"]["num"] == 24
    assert result["data_source"]["ckpt"] == str(ckpt)
    stored = np.load(next((own_cache / "generated").glob("*.npy")))
    generator = rebuild_system(open_checkpoint(ckpt), []).generator_ema
    expected = to_uint8(Sampler(generator, 0).batch(range(24))).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(stored, expected)
    assert str(ckpt) in (tmp_path / "second" / "report.html").read_text()


def test_scores_against_a_generators_own_samples_say_so_and_are_of_other_latents(
    ckpt, own_cache, tmp_path
):
    words = [
        f"ckpt={ckpt}",
        "data=generated",
        f"data.ckpt={ckpt}",
        "data.num=24",
        "data.channels=1",
    ]
    words += ["data.resolution=32", "features=classifier", "metrics.num_real=24"]
    words += ["metrics.num_fake=20", "~metrics.metrics.kid"]
    study = ["study=sequential_ablation", "study.latents=0:20", "study.num_artifacts=20"]
    study += ["study.num_latents=20", "study.layer_sets=[[0]]", "study.rates=[0.3]"]

    def scored(name, *more):
        evaluate(composed("evaluate", [*words, *more], tmp_path / name))
        return json.loads((tmp_path / name / "result.json").read_text())["scores"]

    told = "this generator itself, latents 0-23 of seed 1"
    records = scored("ablated", "data.latent_seed=1", *study)
    assert {record["own"] for record in records} == {"latents 0-23 of seed 1"}
    assert records[0]["metric"] == "fid20_of24_own_classifier"
    assert all(told in (tmp_path / f"ablated/{name}.md").read_text() for name in ("table", "cells"))
    with pytest.raises(ValueError, match=r"data\.latent_seed=0: .*data\.latent_seed=1 gives other"):
        scored("itself", "data.latent_seed=0")
    other = trained(
        tmp_path / "other", "data=synthetic", "data.num=40", "data.channels=1", "seed=1"
    )
    assert other["status"] == "done"
    of_another = f"data.ckpt={tmp_path}/other/checkpoints/last.ckpt"
    assert "own" not in scored("another", of_another)[0]["metric"]


def test_a_missing_checkpoint_is_named(own_cache, tmp_path):
    with pytest.raises(CheckpointError, match=r"no such file"):
        trained(tmp_path / "run", "data=generated", "data.ckpt=nowhere.ckpt")


@pytest.mark.slow
def test_two_processes_share_one_set(ckpt, own_cache, tmp_path):
    run = tmp_path / "two"
    words = ["data=generated", f"data.ckpt={ckpt}", "data.num=24", "data.channels=1"]
    words += ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    done = subprocess.run(
        [sys.executable, "train.py", *TINY, *words, f"hydra.run.dir={run}"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((run / "result.json").read_text())["status"] == "done"
    kept = sorted(path.suffix for path in (own_cache / "generated").iterdir())
    assert kept == [".json", ".npy"]
