"""Every key of every study with values that it cannot have, on a checkpoint that fits it.

As `test_values.py` for training: a run, or one line that names the key.
"""

import sys
from pathlib import Path

import pytest
from composing import composed
from fuzzing import drawn, problem, tiny

from ganlab.run import evaluate, train

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
from compare_checkouts import MODELS, STUDIES, make_inputs

ONE_PROCESS = {name: words for name, words in STUDIES.items() if "trainer=ddp" not in words}
FITTING = {"timeline": ["study.latents=0:2"]}  # the tiny run's grids are two images wide
SWEPT = ("study", "metrics", "data", "trainer", "seed")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A tiny checkpoint of each model that studies look at, made when one is asked for."""
    folder = tmp_path_factory.mktemp("runs")
    make_inputs(folder / "inputs")
    return folder


def checkpoint(runs, model):
    place = runs / "runs" / model
    if not place.exists():
        options = [word for word in MODELS[model].split() if "/" in word.partition("=")[0]]
        assert train(tiny(model, place, "data.num=60", *options))["status"] == "done"
    return place / "checkpoints" / "last.ckpt"


@pytest.fixture
def bench(runs, monkeypatch, hydra_is_clean):
    monkeypatch.setenv("GANLAB_CACHE", str(runs / "cache"))
    monkeypatch.chdir(runs)
    monkeypatch.setattr("ganlab.runs.outcome.write_report", lambda directory: None)
    return runs


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", sorted(ONE_PROCESS))
def test_a_sample_of_values_runs_or_is_refused_by_its_key(name, bench):
    model, *words = ONE_PROCESS[name].split()
    words = [f"ckpt={checkpoint(bench, model)}", *words, *FITTING.get(name, [])]
    config = composed("evaluate", words, bench / "run")
    share = drawn(config, 0.05, seed=0, sections=SWEPT)
    found = [problem(evaluate, config, key, value) for key, value in share]
    assert not list(filter(None, found))
