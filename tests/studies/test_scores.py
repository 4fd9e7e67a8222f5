import csv
import math

import numpy as np
import pytest
import torch
from lightning import Callback
from PIL import Image
from study_toys import ConvGenerator, Data, Log, Projection, System, suite, trainer
from torch.utils.data import DataLoader

from ganlab.data.batch import Batch
from ganlab.metrics import FrechetDistance, Suite
from ganlab.networks import progan
from ganlab.nn.growing import Stage
from ganlab.sampling import Sampler
from ganlab.scoring.directions import better, chosen_monitor, direction
from ganlab.studies import Findings, Question, Samples, Scores, Study

FID = "fid20_of24_classifier"


def by_hand(generator, seed=0, data=None):
    scored = suite()
    scored.update((data or Data()).dataset.float() / 127.5 - 1, real=True)
    scored.update(Sampler(generator, seed).batch(range(20)), real=False)
    return scored.compute()


def fit(scores, kimg=0.1, batch=10, generator=None, **options):
    log, system = Log(), System(generator or ConvGenerator(), kimg, batch)
    trainer(*([scores] if scores else []), logger=log, **options).fit(system, Data())
    return system, log


# In training


class Growth(Callback):
    """Lets the averaged generator stand at half its size for the first images."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        pl_module.generator_ema.grow_to(Stage(0 if pl_module.images_seen < 40 else 1))


def test_scores_of_smaller_images_say_so_and_are_not_the_best(monkeypatch):
    """The early ones would win: what they are compared by is set so."""
    made = progan.Generator(8, 1, 6, 4, 8)
    values = {20: 1.0, 40: 2.0, 60: 9.0, 80: 8.0, 100: 8.5}
    system, scores = System(made, 0.1), Scores(suite(), every_kimg=0.02)
    kept = {}

    original = scores.score

    def score(trainer, pl_module, title):
        return original(trainer, pl_module, title) | {FID: values[pl_module.images_seen]}

    class Note(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if pl_module.images_seen in values:
                sizes = {record.get("size") for record in scores.records}
                kept[pl_module.images_seen] = scores.improved, *sizes

    monkeypatch.setattr(scores, "score", score)
    trainer(Growth(), scores, Note()).fit(system, Data())
    small = "4 of 8 px"
    assert kept == {20: (True, small), 40: (False, small), 60: (True, None), 80: (True, None),
                    100: (False, None)}  # fmt: skip
    assert scores.best == 8.0


@pytest.mark.parametrize(("every", "batch", "kimg"), [(30, 10, 0.1), (25, 10, 0.1), (7, 10, 0.05)])
def test_scoring_fires_at_each_crossing_and_at_the_end(every, batch, kimg):
    _, log = fit(Scores(suite(), every_kimg=every / 1000), kimg, batch)
    seen = range(batch, round(kimg * 1000) + 1, batch)
    expected = [n for n in seen if n // every > (n - batch) // every]
    if every >= batch:
        assert len(expected) == round(kimg * 1000) // every
    last = round(kimg * 1000)
    assert [step for step, _ in log.rows] == expected + [last] * (last not in expected)


def test_without_a_clock_only_the_end_is_scored():
    scores = Scores(suite())
    _, log = fit(scores)
    assert [step for step, _ in log.rows] == [100]
    assert scores.latest == log.rows[0][1] == pytest.approx(by_hand(ConvGenerator()), rel=1e-4)
    assert [record["images_seen"] for record in scores.records] == [100] * 3
    assert scores.monitor == FID
    assert scores.best == scores.latest[FID]


def test_a_run_stopped_before_its_length_is_not_scored_at_its_end():
    system, log = fit(Scores(suite()), limit_train_batches=2, max_epochs=1)
    assert system.images_seen == 20
    assert log.rows == []


def test_training_feels_nothing_of_the_scores():
    random_states, draws = [], []
    for scores in (None, Scores(suite(), every_kimg=0.02)):
        torch.manual_seed(4)
        system, _ = fit(scores)
        random_states.append(torch.get_rng_state())
        draws.append(system.draws)
    assert torch.equal(*random_states)
    assert draws[0] == draws[1]
    assert len(set(draws[0])) == 10


def test_reals_are_read_once(tmp_path):
    data, scores = Data(), Scores(suite(), every_kimg=0.02)
    extractor = scores.scoring.suite.extractor
    trainer(scores).fit(System(ConvGenerator(), 0.1), data)
    assert data.served == 2  # the training's own loader, and the reals once for five scorings
    assert extractor.checked == extractor.prepared == 1
    cached = Data()
    cached.content_key = "abc"
    trainer(Scores(suite())).fit(System(ConvGenerator(), 0.1), cached)
    assert cached.served == 2
    again = Scores(suite())
    trainer(again).fit(System(ConvGenerator(), 0.1), cached)
    assert cached.served == 3  # statistics came from the file
    assert again.latest == pytest.approx(scores.latest)


class Changing(System):
    """Gets a new averaged generator with each batch, in the order of `seeds`."""

    seeds = (3, 1, 2, 0)

    def training_step(self, batch, batch_idx):
        super().training_step(batch, batch_idx)
        self.generator_ema = ConvGenerator(self.seeds[batch_idx % 4])


def test_improved_speaks_of_this_very_batch():
    flags, values = [], []

    class Watch(Scores):
        def on_train_batch_end(self, *args):
            super().on_train_batch_end(*args)
            flags.append(self.improved)
            values.append(self.latest.get(FID))

    scores = Watch(suite(), every_kimg=0.02)
    trainer(scores).fit(Changing(ConvGenerator(), 0.08), Data())
    expected = {n: by_hand(ConvGenerator(Changing.seeds[n % 4]))[FID] for n in (1, 3, 5, 7)}
    assert flags[::2] == [False] * 4
    best = math.inf
    for n, value in expected.items():
        assert values[n] == pytest.approx(value, rel=1e-4)
        assert flags[n] == (value < best * (1 - 1e-4))
        best = min(best, value)
    assert scores.best == pytest.approx(best, rel=1e-4)
    assert not scores.improved  # the end was scored in the last batch already


def test_state_survives_a_checkpoint(tmp_path):
    scores = Scores(suite())
    log, system = Log(), System(ConvGenerator(), 0.1)
    first = trainer(scores, logger=log)
    first.fit(system, Data())
    first.save_checkpoint(tmp_path / "last.ckpt")
    torch.load(tmp_path / "last.ckpt", weights_only=True)  # plain values only
    resumed = Scores(suite())
    resumed.load_state_dict(scores.state_dict())
    assert (resumed.best, resumed.monitor, resumed.scored_at) == (scores.best, FID, 100)
    assert (resumed.latest, resumed.records) == (scores.latest, scores.records)
    other = Scores(suite(), monitor="precision20_of24_k3_classifier")
    other.load_state_dict(scores.state_dict())
    assert other.best is None


# At test


def test_a_test_pass_scores_the_plain_generator(tmp_path):
    data, generator = Data(), ConvGenerator()
    scores = Scores(suite(), seed=5, batch_size=7, directory=tmp_path)
    trainer(scores).test(System(generator), data, verbose=False)
    expected = by_hand(generator, 5)
    assert {r["metric"]: r["value"] for r in scores.records} == pytest.approx(expected, rel=1e-4)
    assert {(r["n_real"], r["n_fake"], r["seed"]) for r in scores.records} == {(24, 20, 5)}
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1
    assert all(float(rows[0][r["metric"]]) == r["value"] for r in scores.records)


def test_reals_are_the_suites_choice_in_any_order():
    chosen = suite(num_real=10)
    values = []
    for order in (torch.arange(24), torch.randperm(24)):
        scores = Scores(suite(num_real=10))
        data = Data()
        data.loader = data.test_dataloader = lambda d=data, o=order: reordered(d, o)
        trainer(scores).test(System(ConvGenerator()), data, verbose=False)
        values.append(scores.latest)
    chosen.update(Data().dataset[chosen.real_indices(24)].float() / 127.5 - 1, real=True)
    chosen.update(Sampler(ConvGenerator(), 0).batch(range(20)), real=False)
    assert values[0] == pytest.approx(values[1], rel=1e-4)
    assert values[0] == pytest.approx(chosen.compute(), rel=1e-4)


def reordered(data, order):
    batches = [Batch(data.dataset[rows], None, rows) for rows in order.split(7)]
    return DataLoader(batches, batch_size=None)


def test_too_little_data_is_refused_before_any_work():
    for method in ("fit", "test"):
        with pytest.raises(ValueError, match=r"metrics.num_real=24.*the data has 23"):
            getattr(trainer(Scores(suite())), method)(System(ConvGenerator()), Data(23))


def test_as_many_as_there_are_are_scored_where_nobody_asked_for_more(capsys):
    scores = Scores(Suite(Projection(), {"fid": FrechetDistance()}, 24, 24, reducible=24))
    trainer(scores).test(System(ConvGenerator()), Data(23), verbose=False)
    (record,) = scores.records
    assert (record["metric"], record["n_real"], record["n_fake"]) == ("fid23_classifier", 23, 23)
    assert "the data has 23 images, fewer than 24" in capsys.readouterr().err


def test_weights_that_are_not_there_are_reported_at_once():
    scores, data = Scores(suite()), Data()

    def missing():
        raise FileNotFoundError("no weights")

    scores.scoring.suite.extractor.preflight = missing
    with pytest.raises(FileNotFoundError, match="no weights"):
        scores.preflight()
    with pytest.raises(FileNotFoundError, match="no weights"):
        trainer(scores).fit(System(ConvGenerator()), data)
    assert data.served == 0


def test_a_study_scores_its_interventions_on_the_baselines_latents():
    class Twice(Question):
        def run(self, bench):
            again = bench.score("again")
            black = bench.score("black", edits={"8x8/0": torch.zeros_like})
            bench.record(black, intervention="black")
            return Findings(result=(bench.baseline, again, black))

    study = Study(Twice(suite=suite()))
    trainer(study).test(System(ConvGenerator()), Data(), verbose=False)
    baseline, again, found = study.findings.result
    assert again == baseline
    expected = suite()
    expected.update(Data().dataset.float() / 127.5 - 1, real=True)
    expected.update(
        Sampler(ConvGenerator(), 0).batch(range(20), {"8x8/0": torch.zeros_like}), real=False
    )
    assert found == pytest.approx(expected.compute(), rel=1e-4)
    assert found[FID] != pytest.approx(baseline[FID], rel=1e-2)
    assert [record.get("intervention") for record in study.records] == [None] * 3 + ["black"] * 3


def test_a_question_is_checked_once_it_is_known_how_many_images_there_are():
    seen = []

    class Careful(Question):
        def check(self, bench):
            seen.append((bench.suite.num_real, bench.scoring.num_fake))

        def run(self, bench):
            return Findings()

    metrics = {"fid": FrechetDistance()}
    asked = Suite(Projection(), metrics, 10_000, 10_000, reducible=10_000)
    trainer(Study(Careful(suite=asked))).test(System(ConvGenerator()), Data(), verbose=False)
    assert seen == [(24, 24)]


class Leaning(FrechetDistance):
    """A score of which neither less nor more is better."""

    undirected = ("leaning",)
    higher_is_better = None


def test_a_score_that_improves_neither_way_is_no_best_and_is_told_to_nobody():
    scores = Scores(Suite(Projection(), {"leaning": Leaning()}, 24, 20), every_kimg=0.02)
    told = []

    class Note(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            told.append((scores.newest, scores.improved))

    trainer(scores, Note()).fit(System(ConvGenerator(), 0.04), Data())
    assert scores.latest.keys() == {"leaning20_of24_classifier"}
    assert scores.best is None
    assert told == [(None, False)] * 4


# What is better


def test_lower_distances_and_higher_shares_are_better():
    assert better("fid10k", 1.0, 2.0)
    assert not better("kid10k", 2.0, 2.0)
    assert better("precision10k_k3", 0.9, 0.8)
    assert better("recall10k_k3", 0.1, None)
    assert not better("fid10k", math.nan, None)
    assert not better("precision10k_k3", math.inf, None)
    assert not better("fid10k", -math.inf, 2.0)
    with pytest.raises(ValueError, match="monitor=beauty"):
        direction("beauty")


def test_the_first_fid_is_monitored_unless_another_is_asked_for():
    names = ["kid10k", "fid10k", "fid50k"]
    assert chosen_monitor(names, None) == "fid10k"
    assert chosen_monitor(names[:1], None) == "kid10k"
    assert chosen_monitor(names, "fid50k") == "fid50k"
    with pytest.raises(
        ValueError,
        match=r"monitor=fid5k is not computed; did you mean fid50k\?; there are kid10k, fid10k",
    ):
        chosen_monitor(names, "fid5k")


@pytest.mark.parametrize("every", [0, -1, 0.0001])
def test_a_clock_that_never_ticks_is_refused(every):
    with pytest.raises(ValueError, match="every_kimg"):
        Scores(suite(), every_kimg=every)


# study=samples


def test_samples_are_files_by_address(tmp_path):
    generator = ConvGenerator()
    study = Study(Samples(directory=tmp_path, indices=[4, 11], seed=2, batch_size=1))
    trainer(study).test(System(generator), Data(), verbose=False)
    assert [p.name for p in sorted((tmp_path / "samples").iterdir())] == [
        "000004.png",
        "000011.png",
    ]
    expected = ((Sampler(generator, 2).batch([4, 11]) + 1) * 127.5).round().squeeze(1).numpy()
    for index, image in zip((4, 11), expected, strict=True):
        file = Image.open(tmp_path / "samples" / f"{index:06d}.png")
        assert (np.abs(np.asarray(file).astype(int) - image) <= 1).all()
        assert file.text["index"] == str(index)
    assert (tmp_path / "figures" / "samples.png").is_file()
    for wrong in ({"num": 0}, {"indices": [-1]}, {"num_shown": 0}):
        with pytest.raises(ValueError, match=r"study\.num"):
            Samples(directory=tmp_path, **wrong)
