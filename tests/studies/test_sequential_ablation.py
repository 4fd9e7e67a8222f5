import csv

import numpy as np
import pytest
import torch
from layer_oracles import small
from study_toys import ConvGenerator, Data, Projection, System, suite, trainer

from ganlab.metrics.repair import repair
from ganlab.nn.digest import digest
from ganlab.sampling import Sampler
from ganlab.studies import ActivationRates, SequentialAblation, Study
from ganlab.studies.neurons.ablation import Ablation, ablation_edits
from ganlab.studies.neurons.ablation_report import PAPER_ROWS
from ganlab.studies.neurons.rate_count import rate_seed_of
from ganlab.studies.neurons.rates import Rates, activation_rates

SEED = 3
LOW, HIGH, RANDOM = Ablation("low", 0.3), Ablation("high", 0.3), Ablation("random", share=0.3)
LATENTS = "0:20"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": ["lo"]}, r"study.kinds must be some of low, high, random, got \['lo'\]"),
        ({"kinds": []}, "study.kinds"),
        ({"rates": [], "kinds": ["low"]}, "study.rates is empty"),
        ({"rates": [0.3, 1.2]}, r"study.rates must be in \[0, 1\], got 1.2"),
        ({"rate": -1}, "study.rates"),
        ({"random_share": 30}, "study.random_share"),
        ({"layer_sets": [0, 1]}, "study.layer_sets must be a list of lists"),
        ({"quantiles": [2]}, "study.quantiles"),
        ({"high_rates": [2]}, "study.high_rates"),
        (
            {"latents": [1, 1]},
            r"study.latents needs latent indices from 0, each once, got \[1, 1\]",
        ),
        ({"num_artifacts": 10, "num_samples": 9}, "study.num_artifacts=10 must be from 1 to"),
        ({"detection_rate": 2}, "study.detection_rate"),
        ({"num_shown": 0}, "study.num_shown"),
        ({"num_latents": 0}, "study.num_latents"),
        ({"seed": 7, "rate_seed": 7}, "study.rate_seed=7"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        SequentialAblation(**options)


def test_shorthands_stand_for_one_value():
    study = SequentialAblation(rate=0.2, layers=1)
    assert [row.label for row in study.ablations] == ["LR R = 0.2", "HR R = 0.2", "random 30%"]
    assert study.named_sets == [[1]]


def run(question, generator=None, data=None):
    study = Study(question)
    study_trainer = trainer(study)
    study_trainer.test(System(generator or ConvGenerator()), data or Data(), verbose=False)
    return study


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_one_evaluation_scores_the_whole_grid(tmp_path):
    options = {"suite": suite(), "seed": SEED, "directory": tmp_path, "batch_size": 7}
    options |= {"num_latents": 30, "rates": [0.3, 0.5], "latents": LATENTS, "num_shown": 3}
    study = run(SequentialAblation(**options, layer_sets=[[0], ["4x4/1", 0]]))
    assert [(o.ablation.label, o.column) for o in study.findings.result] == [
        (label, column)
        for label in ("LR R = 0.3", "LR R = 0.5", "HR R = 0.3", "HR R = 0.5", "random 30%")
        for column in ("4x4/0", "4x4/0, 4x4/1")
    ]
    assert len(study.records) == 11 * 3  # FID, precision and recall of the baseline and ten cells
    assert [r.get("intervention") for r in study.records[:4]] == [None] * 3 + [
        "LR R = 0.3 on 4x4/0"
    ]
    table = rows_of(tmp_path / "table.csv")
    assert list(table[0]) == ["ablation", "None", "4x4/0", "4x4/0, 4x4/1"]
    assert {row["None"] for row in table} == {str(study.records[0]["value"])}
    cells = rows_of(tmp_path / "cells.csv")
    assert len(cells) == 11
    for row, found in zip(cells[1:], study.findings.result, strict=True):
        assert float(row["silenced"]) == found.silenced
        assert float(row["fid20_of24_classifier"]) == found.values["fid20_of24_classifier"]
    assert {p.suffix for p in tmp_path.glob("table.*")} == {".csv", ".md", ".tex"}


def test_cells_are_scored_counted_and_compared_as_by_hand(tmp_path):
    generator, layers, latents = ConvGenerator(), ("4x4/0", "8x8/0"), [3, 14, 15, 9, 2, 6, 5]
    study = run(
        SequentialAblation(
            suite=suite(), seed=SEED, num_latents=30, rate=0.3, layers=[0, 2], batch_size=20,
            latents=latents,
        ),
        generator,
    )  # fmt: skip
    rates = activation_rates(Sampler(generator, rate_seed_of(SEED, None)), range(30), layers)
    reals = Data().dataset.float() / 127.5 - 1
    plain = Sampler(generator, SEED).batch(latents)
    for found, ablation in zip(study.findings.result, (LOW, HIGH, RANDOM), strict=True):
        edits = ablation_edits(ablation, rates, layers, SEED)
        images = Sampler(generator, SEED).batch(latents, edits)
        by_hand = suite(num_fake=7)
        by_hand.update(reals, real=True)
        by_hand.update(images, real=False)
        assert found.values == pytest.approx(by_hand.compute(), rel=1e-4)
        features = [Projection()(each)["features"] for each in (plain, images)]
        expected = vars(repair(*features))
        assert vars(found.repair) == pytest.approx(expected, rel=1e-4)
    low, high, chance = (found.silenced for found in study.findings.result)
    assert chance == pytest.approx(0.3, abs=0.01)
    assert 0 < low < high < 1
    assert study.findings.result[0].chosen + study.findings.result[1].chosen == pytest.approx(1)
    assert study.findings.result[2].chosen is None


def test_none_is_the_score_of_the_same_latents(tmp_path):
    options = {"suite": suite(), "num_latents": 9, "rate": 0.3, "layers": [0], "seed": SEED}
    study = run(SequentialAblation(**options, latents=[40, 41, 42, 43, 44], directory=tmp_path))
    by_hand = suite(num_fake=5)
    by_hand.update(Data().dataset.float() / 127.5 - 1, real=True)
    by_hand.update(Sampler(ConvGenerator(), SEED).batch(range(40, 45)), real=False)
    scores = {r["metric"]: r["value"] for r in study.records if "intervention" not in r}
    assert scores == pytest.approx(by_hand.compute(), rel=1e-4)
    assert {r["n_fake"] for r in study.records} == {5}
    assert {r["noise"] for r in study.records} == {"fixed"}


def test_without_reals_images_are_compared_with_themselves_alone(tmp_path):
    options = {"directory": tmp_path, "num_latents": 9, "latents": "0:9", "num_shown": 2}
    study = run(SequentialAblation(**options, extractor=Projection(), layers=[0]))
    assert study.records == []
    assert float(rows_of(tmp_path / "table.csv")[-1]["4x4/0"]) == pytest.approx(0.3, abs=0.02)
    found = rows_of(tmp_path / "repair.csv")
    assert [row["ablation"] for row in found] == ["None", *(a.label for a in PAPER_ROWS)]
    assert float(found[0]["spread kept"]) == float(found[0]["recognized"]) == 1
    assert float(found[0]["distance"]) == 0 < float(found[1]["distance"])
    assert "nothing is scored" in (tmp_path / "repair.md").read_text()


def test_without_an_extractor_the_report_says_so(tmp_path):
    options = {"directory": tmp_path, "num_latents": 9, "latents": "0:3"}
    run(SequentialAblation(**options, layers=[0]))
    assert "no extractor" in (tmp_path / "table.md").read_text()
    assert not (tmp_path / "repair.csv").exists()


def test_one_image_for_all_shows_as_a_replacement(tmp_path):
    """All neurons of a layer off leaves what biases alone make."""
    options = {"directory": tmp_path, "num_latents": 9, "latents": "0:9", "layers": [0]}
    study = run(
        SequentialAblation(**options, rate=1, kinds=["low"], extractor=Projection()), Relu()
    )
    (cell,) = study.findings.result
    assert cell.chosen == cell.silenced == 1
    assert cell.repair.spread == cell.repair.spread_kept == pytest.approx(0, abs=1e-6)
    assert cell.repair.spread_before > 0
    assert cell.repair.recognized == pytest.approx(1 / 9)
    assert "every neuron: LR R = 1 on 4x4/0" in (tmp_path / "table.md").read_text()


class Relu(ConvGenerator):
    """Without negative values that would pass the ablation."""

    def __init__(self):
        super().__init__()
        self.activations[0] = torch.nn.ReLU()


def test_the_figure_shows_the_same_latents_before_and_after(tmp_path):
    generator, latents = ConvGenerator(), [7, 5, 6, 1]
    options = {"num_latents": 9, "rate": 0.3, "latents": latents, "layers": [0, 1]}
    run(SequentialAblation(directory=tmp_path, **options, num_shown=3))
    rates = activation_rates(Sampler(generator, rate_seed_of(0, None)), range(9), [0, 1])
    rows = {"not ablated": None}
    rows |= {a.label: ablation_edits(a, rates, list(rates), 0) for a in (LOW, HIGH, RANDOM)}
    with np.load(tmp_path / "figures" / "ablation.npz") as numbers:
        assert list(numbers) == ["indices", *rows]
        assert numbers["indices"].tolist() == latents[:3]
        for label, edits in rows.items():
            images = Sampler(generator, 0).batch(latents[:3], edits)
            pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().numpy().astype(np.uint8)
            assert (numbers[label] == pixels).all()


def test_table_1_takes_one_layer_of_each_size():
    study = SequentialAblation()
    bench = Study(study).bench(trainer(), System(small("stylegan2")))
    names = [f"{size}x{size}/0" for size in (4, 8, 16)]
    a, b, c = names
    assert study.sets_of(bench) == [(a,), (b,), (c,), (a, b), (a, b, c)]
    assert "are left out" in " ".join(study.notes(bench, [], [1] * 5, 3))


@pytest.mark.parametrize(
    ("kind", "scored", "shown"),
    [("stylegan2", True, True), ("stylegan2", False, False), ("dcgan", True, False)],
)
def test_the_paper_is_shown_beside_scores_of_its_own_network_alone(tmp_path, kind, scored, shown):
    options = {"num_latents": 5, "latents": "0:5", "rate": 0.3, "layers": [0], "num_shown": 1}
    options |= {"suite": suite() if scored else None, "directory": tmp_path}
    run(SequentialAblation(**options), small(kind), Data(channels=1))
    assert (tmp_path / "paper.csv").exists() == shown


def test_a_file_of_rates_is_taken_up_when_it_matches(tmp_path, monkeypatch):
    counted = tmp_path / "counted"
    run(ActivationRates(directory=counted, num_latents=9))
    forbidden = "ganlab.studies.neurons.rate_count.Counting"
    monkeypatch.setattr(forbidden, lambda *a: pytest.fail("counted again"))
    run(SequentialAblation(rates_file=counted, num_latents=9, latents=[1]))
    run(ActivationRates(directory=counted, num_latents=9))
    for changed, message in (
        ({"num_latents": 10}, "num_latents is 9, not 10"),
        ({"num_latents": 9, "rate_seed": 8}, "rate_seed is .*, not 8"),
    ):
        study = SequentialAblation(rates_file=counted, latents=[1], **changed)
        with pytest.raises(ValueError, match=f"study.rates_file=.* cannot be used: {message}"):
            run(study)
    with pytest.raises(ValueError, match="they belong to another generator"):
        run(SequentialAblation(rates_file=counted, num_latents=9), ConvGenerator(seed=1))


def test_rates_in_the_directory_that_do_not_match_are_counted_anew(tmp_path):
    run(ActivationRates(directory=tmp_path, num_latents=9))
    other = ConvGenerator(seed=1)
    run(SequentialAblation(directory=tmp_path, num_latents=9, latents=[1], num_shown=1), other)
    assert Rates.load(tmp_path).generator == digest(other)


def test_a_layer_the_network_lacks_is_named():
    with pytest.raises(ValueError, match="no layer 7; this network has 0 = 4x4/0"):
        run(SequentialAblation(layers=[0, 7], num_latents=3))


def test_what_cannot_work_is_refused_before_anything_is_scored(tmp_path):
    counted = run(ActivationRates(directory=tmp_path, num_latents=9)).question.directory
    for wrong in ({"layers": [7]}, {"rates_file": counted, "num_latents": 10}):
        study, data = SequentialAblation(suite=suite(), **wrong), Data()
        with pytest.raises(ValueError, match="study"):
            run(study, data=data)
        assert data.served == 0
