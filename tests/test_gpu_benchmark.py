"""The benchmark of GPUs does everything on toys without one; nothing here is timed."""

import importlib.util
import json
from argparse import Namespace
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))  # as where a script is run: they import each other
    spec = importlib.util.spec_from_file_location("gpu", FOLDER / "gpu.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.usefixtures("hydra_is_clean")
def test_every_part_runs_on_toys(gpu, tmp_path):
    gpu.main(["--device", "cpu", "--small", "--out", str(tmp_path / "gpu.json")])
    result = json.loads((tmp_path / "gpu.json").read_text())
    parts = result["parts"]
    assert list(parts) == list(gpu.PARTS)
    for part in gpu.TRAININGS:
        assert parts[part]["seconds_per_kimg"] > 0, part
        assert parts[part]["steps"] % gpu.CYCLE == 0
    assert len(parts["stylegan2_256"]["top_ten"]) == 10
    assert parts["rates"]["rates_over_sampling"] > 0
    assert parts["overhead"]["framework_over_bare"] > 0


def test_the_parts_have_their_time_and_are_under_nine_minutes(gpu):
    assert gpu.TOTAL < 9 * 60
    for part in gpu.PARTS:
        answer = gpu.in_child(part, Namespace(device="cuda", small=False), left=5.0)
        assert "no time was left" in answer["left_out"]


@pytest.mark.slow
def test_a_part_that_fails_says_why(gpu):
    if torch.cuda.is_available():
        pytest.skip("here it would not fail")
    answer = gpu.in_child("rates", Namespace(device="cuda", small=False), left=200.0)
    assert "cuda" in answer["left_out"].lower()
    assert "\n" not in answer["left_out"]
