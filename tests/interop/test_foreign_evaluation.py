"""Other projects' checkpoints behind the commands: evaluated, looked into, never trained on."""

import json
import sys

import numpy as np
import pytest
import torch
from composing import composed
from PIL import Image

from ganlab.__main__ import layers
from ganlab.config import ConfigError
from ganlab.nn.randomness import latents_at
from ganlab.run import evaluate
from ganlab.runs.recipes import open_checkpoint, rebuild_system, resume_words
from ganlab.systems.checkpoint import CheckpointError

pytestmark = pytest.mark.usefixtures("own_cache")


def evaluated(ckpt, directory, *overrides):
    config = composed("evaluate", [f"ckpt={ckpt}", *overrides], directory)
    return evaluate(config)


def test_samples_are_the_networks_images_and_the_record_has_the_source(tiny, tmp_path):
    path, network = tiny
    result = evaluated(path, tmp_path / "run", "study=samples", "study.num=3")
    assert result["status"] == "done"
    assert result["scores"] == []
    kept = json.loads((tmp_path / "run" / "result.json").read_text())
    assert kept["source"]["file"] == str(path)
    assert len(kept["source"]["sha256"]) == 64
    space = rebuild_system(open_checkpoint(path), []).generator_ema
    with torch.no_grad():
        expected = network(latents_at(space, [2], seed=0)[:, :, None, None])[0]
    stored = np.asarray(Image.open(tmp_path / "run" / "samples" / "000002.png"), float)
    wanted = (expected.permute(1, 2, 0).numpy() + 1) * 127.5
    assert np.abs(stored - wanted).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("study", ["activation_rates", "sequential_ablation"])
def test_neuron_studies_need_no_data_and_the_report_says_so(tiny, tmp_path, study):
    few = ["study.num_latents=12"]
    found = ["study.num_samples=12", "study.num_artifacts=4"]
    few += found if study == "sequential_ablation" else []
    result = evaluated(tiny[0], tmp_path / "run", f"study={study}", *few)
    assert result["status"] == "done"
    assert (tmp_path / "run" / "table.csv").exists()
    page = (tmp_path / "run" / "report.html").read_text()
    assert "no real images" in page
    assert tiny[0].name in page


def test_scores_without_reals_are_refused_with_the_way_out(tiny, tmp_path):
    with pytest.raises(ConfigError, match=r"data\.path=<folder> data\.resolution=64"):
        evaluated(tiny[0], tmp_path / "run", "study=scores")


def test_scores_with_reals_of_the_users_are_made(tiny, tmp_path):
    data = ["data=synthetic", "data.num=100", "data.resolution=64", "features=classifier"]
    counts = ["metrics.num_real=100", "metrics.num_fake=100"]
    result = evaluated(tiny[0], tmp_path / "run", "study=scores", *data, *counts)
    assert result["scores"]
    assert all(record["n_real"] == 100 for record in result["scores"])


def test_reals_of_another_size_are_refused(tiny, tmp_path):
    with pytest.raises(ConfigError, match=r"data\.resolution=32"):
        evaluated(tiny[0], tmp_path / "run", "data=synthetic", "data.resolution=32")


def test_training_on_from_a_named_file_is_refused():
    with pytest.raises(CheckpointError, match=r"data=generated data\.ckpt=faces"):
        resume_words(["ckpt=faces"])


def test_the_layers_command_reads_it(tiny, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ganlab", f"ckpt={tiny[0]}"])
    layers()
    assert "| 3 | 32x32/0 | 2 x 32 x 32 | 2048 |" in capsys.readouterr().out


def test_a_file_of_no_known_format_lists_those_there_are(tmp_path):
    torch.save({"weights": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"not written by ganlab .* tutorial's is read"):
        open_checkpoint(tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"no such file$"):
        open_checkpoint(tmp_path / "missing.pth")
