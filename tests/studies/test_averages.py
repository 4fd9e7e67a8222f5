"""Other lengths of a run's averages, from its kept checkpoints: rebuilt, scored, refused."""

import csv
import io

import numpy as np
import pytest
import torch
from composing import composed

from ganlab.run import evaluate, rebuild_system, train
from ganlab.studies import Averages
from ganlab.studies.averages import averages_of, rebuilt
from ganlab.systems.checkpoint import load_checkpoint
from ganlab.systems.power_averages import combination, exponent

TINY = [
    *("model=vanilla", "model.generator.hidden=[8]", "model.discriminator.hidden=[8]"),
    *("data=synthetic", "data.resolution=8", "data.channels=1", "data.num=60", "kimg=0.064"),
    *("data.batch_size=8", "callbacks=none", "scores=null", "checkpoint_every_kimg=null"),
]
SCORES = ["metrics.num_real=50", "metrics.num_fake=50", "~metrics.metrics.kid"]

pytestmark = pytest.mark.usefixtures("own_cache", "hydra_is_clean")


def run_of(directory, *words):
    assert train(composed("train", [*TINY, *words], directory))["status"] == "done"
    return directory / "checkpoints" / "last.ckpt"


@pytest.fixture(scope="module")
def last(tmp_path_factory):
    """A run with averages of two lengths at four times."""
    directory = tmp_path_factory.mktemp("averaged") / "run"
    return run_of(directory, "model/power_averages=two", "keep_every_kimg=0.016")


def kept(last):
    paths = [*sorted((last.parent / "kept").glob("*.ckpt")), last]
    return {int(load_checkpoint(path)["images_seen"]): path for path in paths}


def test_a_length_that_was_kept_is_rebuilt_as_it_stands(last):
    files = kept(last)
    assert list(files) == [16, 32, 48, 64]
    generator = rebuild_system(load_checkpoint(last), []).generator
    found = rebuilt(files, generator, [0.05, 0.1])
    for length, state in averages_of(last).items():
        made, error = found[length]
        assert error == pytest.approx(0, abs=1e-6)
        for name, value in made.state_dict().items():
            torch.testing.assert_close(value, state[name], rtol=1e-5, atol=1e-6)


def test_another_length_is_the_sum_of_all_that_were_kept(last):
    files = kept(last)
    generator = rebuild_system(load_checkpoint(last), []).generator
    made, error = rebuilt(files, generator, [0.08])[0.08]
    times, gammas = np.repeat(list(files), 2), [exponent(0.05), exponent(0.1)] * 4
    weights, expected = combination(times, gammas, 64.0, exponent(0.08))
    assert error == expected > 0
    states = [state for path in files.values() for state in averages_of(path).values()]
    for name, value in made.named_parameters():
        total = sum(w * state[name].double() for w, state in zip(weights, states, strict=True))
        torch.testing.assert_close(value.double(), total, rtol=1e-5, atol=1e-6)


def test_each_length_is_scored_beside_the_ordinary_average(last, tmp_path):
    words = [f"ckpt={last}", "study=averages", "study.lengths=[0.05,0.08]", *SCORES]
    result = evaluate(composed("evaluate", words, tmp_path))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text())))
    assert [row["length"] for row in rows] == ["ordinary", "0.05", "0.08"]
    assert rows[0]["error"] == ""
    told = {r.get("intervention"): r for r in result["scores"] if r["metric"].startswith("fid")}
    assert list(told) == [None, "power average 0.05", "power average 0.08"]
    name = told[None]["metric"]
    assert [float(row[name]) for row in rows] == [r["value"] for r in told.values()]
    drawn = np.load(tmp_path / "figures" / "averages.npz")
    assert drawn[name].tolist() == [float(row[name]) for row in rows[1:]]
    assert drawn["ordinary"] == float(rows[0][name])


def test_a_run_that_kept_none_is_told_how(tmp_path):
    ckpt = run_of(tmp_path / "plain")
    words = [f"ckpt={ckpt}", "study=averages", *SCORES]
    with pytest.raises(ValueError, match="model/power_averages=two keep_every_kimg="):
        evaluate(composed("evaluate", words, tmp_path / "study"))


def test_checkpoints_of_another_run_are_refused(last, tmp_path):
    other = run_of(tmp_path, "model/power_averages=two", "seed=7")
    with pytest.raises(ValueError, match=r"another run than ckpt \(seed 7, not 0\)"):
        Averages(checkpoints=str(other), ckpt=str(last)).files(64)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [([], "each once"), ([0.1, 0.1], "each once"), ([0.5], r"study\.lengths: .* at most 0\.28")],
)
def test_lengths_that_cannot_be_are_refused_by_their_key(lengths, message):
    with pytest.raises(ValueError, match=message):
        Averages(lengths=lengths)
