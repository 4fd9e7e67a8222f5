"""Every key of every study with values that it cannot have, on a checkpoint that fits it.

As `test_values.py` for training: a run, or one line that names the key.
"""

import random
import shutil
import sys
from pathlib import Path

import pytest
from fuzzing import NASTY, altered, conf_dir, keys, tiny, verdict
from hydra import compose, initialize_config_dir
from omegaconf import open_dict

from ganlab.checks.ranges import shown
from ganlab.cli import register_resolvers
from ganlab.run import evaluate, train

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
from compare_checkouts import STUDIES, make_inputs

ONE_PROCESS = {name: words for name, words in STUDIES.items() if "trainer=ddp" not in words}
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
        assert train(tiny(model, place, "data.num=60"))["status"] == "done"
    return place / "checkpoints" / "last.ckpt"


def composed(runs, name):
    model, *words = ONE_PROCESS[name].split()
    ckpt = checkpoint(runs, model)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("evaluate", [f"ckpt={ckpt}", *words])
    with open_dict(config):
        config.run_dir = str(runs / "run")
    return config


@pytest.fixture
def bench(runs, monkeypatch, hydra_is_clean):
    register_resolvers()
    monkeypatch.setenv("GANLAB_CACHE", str(runs / "cache"))
    monkeypatch.chdir(runs)
    monkeypatch.setattr("ganlab.runs.ending.write_report", lambda directory: None)
    return runs


def problem(config, key, value, bench):
    shutil.rmtree(bench / "run", ignore_errors=True)
    said = verdict(evaluate, altered(config, key, value), key)
    return None if said in ("runs", "refused") else f"{key}={shown(value)}: {said}"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", sorted(ONE_PROCESS))
def test_a_sample_of_values_runs_or_is_refused_by_its_key(name, bench):
    config = composed(bench, name)
    swept = [key for key in keys(config) if key.split(".")[0] in SWEPT]
    every = [(key, value) for key in swept for value in NASTY]
    share = random.Random(0).sample(every, len(every) // 20)
    found = [problem(config, key, value, bench) for key, value in share]
    assert not list(filter(None, found))
