"""Scores from the command line's configs: while a run trains, after it, and on kept statistics."""

import csv

import pytest
from composing import composed
from hydra.core.global_hydra import GlobalHydra

from ganlab.config import ConfigError
from ganlab.features import Classifier
from ganlab.metrics import Suite
from ganlab.run import evaluate, statistics, train
from ganlab.systems.checkpoint import load_checkpoint

DATA = ["data=synthetic", "data.resolution=32", "data.channels=1", "data.num=60"]
SUITE = ["metrics.num_real=50", "metrics.num_fake=50", "~metrics.metrics.kid"]
TINY = [
    *("model=dcgan", "model.generator.width=4", "model.discriminator.width=4", "callbacks=none"),
    *("data.batch_size=8", "checkpoint_every_kimg=0.016", "score_every_kimg=0.016"),
]
FID, PRECISION = "fid50_classifier", "precision50_k3_classifier"


pytestmark = pytest.mark.usefixtures("own_cache")


def trained(directory, kimg, *words):
    words = [*DATA, *SUITE, *TINY, f"kimg={kimg}", *words]
    return train(composed("train", words, directory))


def logged(directory, metric):
    """Images seen -> score, from the curves on disk."""
    with (directory / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row.get(metric)]
    return {int(float(row["images_seen"])): float(row[metric]) for row in rows}


@pytest.fixture
def scripted(monkeypatch):
    """Let the suite find these values instead, one at each scoring: FID, precision."""
    values = []
    plain = Suite.compute

    def compute(self):
        return {**plain(self), **dict(zip((FID, PRECISION), values.pop(0), strict=True))}

    monkeypatch.setattr(Suite, "compute", compute)
    return values


def best(directory):
    return load_checkpoint(directory / "checkpoints" / "best.ckpt")["images_seen"]


@pytest.mark.parametrize(
    ("words", "at"), [([], 32), ([f"scores.monitor={PRECISION}"], 48)], ids=["fid", "precision"]
)
def test_best_is_the_checkpoint_of_the_best_monitored_score(tmp_path, scripted, words, at):
    scripted += [(5.0, 0.1), (3.0, 0.3), (4.0, 0.9), (6.0, 0.2)]
    result = trained(tmp_path, 0.064, *words)
    assert scripted == []
    assert logged(tmp_path, FID) == {16: 5.0, 32: 3.0, 48: 4.0, 64: 6.0}
    assert best(tmp_path) == at
    assert {record["images_seen"] for record in result["scores"]} == {64}  # of the final generator


def test_a_resumed_run_keeps_its_best_until_it_is_beaten(tmp_path, scripted):
    last = f"ckpt={tmp_path}/checkpoints/last.ckpt"
    scripted += [(5.0, 0.1), (3.0, 0.3)]
    trained(tmp_path, 0.032)
    assert best(tmp_path) == 32
    scripted += [(4.0, 0.1), (3.5, 0.3)]
    trained(tmp_path, 0.064, last)
    assert best(tmp_path) == 32
    scripted += [(2.0, 0.1), (9.0, 0.3)]
    trained(tmp_path, 0.096, last)
    assert best(tmp_path) == 80
    assert scripted == []


def test_the_best_of_another_metric_is_forgotten_whichever_way_it_came_to_be(tmp_path, scripted):
    """A best precision of 0.9 beats no FID: `best.ckpt` is of the new metric from then on."""
    last = f"ckpt={tmp_path}/checkpoints/last.ckpt"
    scripted += [(5.0, 0.1), (3.0, 0.9)]
    trained(tmp_path, 0.032, f"scores.monitor={PRECISION}")
    scripted += [(8.0, 0.1), (7.0, 0.1)]
    with pytest.warns(UserWarning, match=f"is of {FID} now; {PRECISION} 0.9 is forgotten"):
        trained(tmp_path, 0.064, last)
    assert best(tmp_path) == 64
    scripted += [(1.0, 0.3), (9.0, 0.2)]
    trained(tmp_path, 0.096, last, f"scores.monitor={PRECISION}")
    assert best(tmp_path) == 80, "0.3 is compared with no FID"
    scripted += [(1.0, 0.2), (1.0, 0.25)]
    trained(tmp_path, 0.128, last, f"scores.monitor={PRECISION}")
    assert best(tmp_path) == 80, "0.3 is still the best precision"


def test_scores_and_callbacks_of_one_run_are_of_one_kind(tmp_path, scripted):
    last = f"ckpt={tmp_path}/checkpoints/last.ckpt"
    watched = [word for word in TINY if word != "callbacks=none"] + ["callbacks.sample_grid.num=8"]
    both = [*DATA, *SUITE, *watched]
    scripted += [(5.0, 0.1), (3.0, 0.9)]
    train(composed("train", [*both, "kimg=0.032"], tmp_path))
    changed = ["scores.seed=3", "callbacks.sample_grid.num=4"]
    with pytest.raises(ConfigError) as refused:
        train(composed("train", [*both, *changed, "kimg=0.064", last], tmp_path))
    assert "scores.seed: 0 -> 3; callbacks.sample_grid.num: 8 -> 4" in str(refused.value)
    free = ["score_every_kimg=0.064", "sample_every_kimg=0.016", "~callbacks.health"]
    scripted += [(5.0, 0.1)]
    train(composed("train", [*both, *free, "kimg=0.064", last], tmp_path))
    scripted += [(5.0, 0.1), (5.0, 0.1)]
    train(composed("train", [*both, *changed, "kimg=0.096", last, "resume=force"], tmp_path))


def test_best_holds_the_generator_that_was_scored(tmp_path):
    """The same scores, from the file alone, as the training logged at that moment."""
    trained(tmp_path / "run", 0.048)
    scores = logged(tmp_path / "run", FID)
    assert len(set(scores.values())) == 3
    at = best(tmp_path / "run")
    assert scores[at] == min(scores.values())
    words = [f"ckpt={tmp_path}/run/checkpoints/best.ckpt", *SUITE]
    result = evaluate(composed("evaluate", words, tmp_path / "scores"))
    found = {record["metric"]: record["value"] for record in result["scores"]}
    assert found[FID] == pytest.approx(scores[at], rel=1e-6)


@pytest.mark.parametrize("flip", ["false", "true"])
def test_after_data_stats_no_run_passes_a_real_through_the_extractor(tmp_path, monkeypatch, flip):
    seen, plain = [], Classifier.forward

    def forward(self, images):
        seen.append(len(images))
        return plain(self, images)

    monkeypatch.setattr(Classifier, "forward", forward)
    words = [*DATA, f"data.flip={flip}", "~metrics.metrics.kid", "metrics.num_fake=50"]
    words += ["metrics.num_real=null"]
    path, found = statistics(composed("train", words, tmp_path))
    assert path.is_file()
    assert not found
    assert sum(seen) == (120 if flip == "true" else 60)
    assert statistics(composed("train", words, tmp_path)) == (path, True)
    seen.clear()
    result = train(composed("train", [*words, *TINY, "kimg=0.016"], tmp_path / "run"))
    assert sum(seen) == 50  # the generated ones
    words = [f"ckpt={tmp_path}/run/checkpoints/last.ckpt", *words[len(DATA) + 1 :]]
    again = evaluate(composed("evaluate", words, tmp_path / "scores"))
    assert sum(seen) == 100
    records = [*result["scores"], *again["scores"]]
    assert {record["n_real"] for record in records} == {120 if flip == "true" else 60}
    assert len(list(path.parent.iterdir())) == 1


def test_data_stats_without_scores_is_a_mistake(tmp_path):
    for word in ("scores=null", "scores.suite=null"):
        with pytest.raises(ConfigError, match="nothing to compute"):
            statistics(composed("train", [*DATA, word], tmp_path))


def test_the_command_prints_the_file_and_reuses_it(tmp_path, monkeypatch, capsys):
    from ganlab.__main__ import main

    monkeypatch.chdir(tmp_path)
    lines = []
    for _ in range(2):
        GlobalHydra.instance().clear()
        monkeypatch.setattr("sys.argv", ["ganlab", "data", "stats", *DATA, *SUITE])
        main()
        lines.append(capsys.readouterr().out.strip())
    (file,) = (tmp_path / "cache" / "reals").iterdir()
    assert lines == [str(file), f"{file} (it was there already)"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache"]


def test_weights_that_are_missing_are_told_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("ganlab.features.weights._reachable", lambda url: False)
    told = r"no weights at .* MB\) there, or name .* features=classifier, which needs no file"
    for features in ("inception", "vgg16"):
        with pytest.raises(FileNotFoundError, match=told):
            trained(tmp_path / "run", 0.016, f"features={features}")
    assert not (tmp_path / "run").exists()


def test_scores_on_the_held_out_side_are_those_that_an_evaluation_on_it_finds(tmp_path):
    """Equal values and names, of reals none of which was trained on; the protocol says so."""
    emoji = ["data=emoji", "data.split=train", "data.num=60", "data.resolution=32"]
    words = [*emoji, "data.channels=1", "features=classifier", "kimg=0.016"]
    apart = trained(tmp_path / "held_out", "0.016", *words, "scores.unseen=true")
    ckpt = f"ckpt={tmp_path}/held_out/checkpoints/last.ckpt"
    other = ["study=scores", "data=emoji", "data.split=test", *emoji[3:], *words[4:6], *SUITE]
    after = evaluate(composed("evaluate", [ckpt, *other], tmp_path / "after"))
    assert values_of(apart) == pytest.approx(values_of(after), rel=1e-6)
    own = ["study=scores", *emoji, *words[4:6], *SUITE, "study.unseen=true"]
    again = evaluate(composed("evaluate", [ckpt, *own], tmp_path / "again"))
    assert values_of(apart) == pytest.approx(values_of(again), rel=1e-6)
    assert {record["unseen"] for each in (apart, again) for record in each["scores"]} == {True}
    own = trained(tmp_path / "own", "0.016", *words)
    assert values_of(own).keys() == values_of(apart).keys()
    assert values_of(own)[FID] != pytest.approx(values_of(apart)[FID], rel=1e-3)
    assert not any("unseen" in record for record in own["scores"])


def values_of(result):
    return {record["metric"]: record["value"] for record in result["scores"]}


def test_data_without_a_held_out_side_is_refused_before_anything_is_trained(tmp_path):
    message = r"unseen=true needs .*data=synthetic has no side that is held out"
    with pytest.raises(ValueError, match=message):
        trained(tmp_path, "0.016", "scores.unseen=true")
    assert not (tmp_path / "checkpoints").exists()
