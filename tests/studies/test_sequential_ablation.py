import csv
import math

import numpy as np
import pytest
import torch
from PIL import Image
from study_toys import ConvGenerator, Data, System, small_dcgan, suite, trainer

from ganlab.nn.randomness import keyed_generator, latents_at
from ganlab.studies import ActivationRates, SequentialAblation
from ganlab.studies.ablation import ablate, low_rate
from ganlab.studies.ablation_grid import (
    Ablation,
    Outcome,
    ablation_edits,
    ablation_rows,
    neuron_masks,
    share_chosen,
)
from ganlab.studies.ablation_report import grid_table
from ganlab.studies.activation_rates import rate_seed_of
from ganlab.studies.rates import Rates, activation_rates, digest
from ganlab.studies.sampling import generate, images_at

NUM, SEED, RATE_SEED = 12, 3, 4
LOW, HIGH, RANDOM = Ablation("low", 0.3), Ablation("high", 0.3), Ablation("random", None, 0.3)


@pytest.fixture(scope="module")
def generator():
    return small_dcgan()


@pytest.fixture(scope="module")
def rates(generator):
    return activation_rates(generator, range(40), RATE_SEED, batch_size=NUM)


@torch.no_grad()
def explicit_ablation(generator, rates, kind, layers, include_dead=True, rate=0.3, share=0.3):
    """Algorithm 1 for DCGAN as a loop over its own modules: no hook, no forward, no mask."""
    x = latents_at(generator, range(NUM), SEED)[:, :, None, None]
    for name, stage in generator.stages.items():
        x = stage.activation(stage.norm(stage.convolution(x)))
        if f"{name}/0" in layers:
            x = x.clone()
            for image, index in zip(x, range(NUM), strict=True):
                silence(
                    image, rates[f"{name}/0"], kind, (index, f"{name}/0"), include_dead, rate, share
                )
    return generator.to_image(x).tanh()


def silence(image, rates, kind, address, include_dead, rate, share):
    """Set the chosen activated neurons of one feature map to zero, one at a time."""
    active = [n for n in np.ndindex(*image.shape) if image[n] > 0]
    if kind == "random":
        rng = keyed_generator("ablation", SEED, *address)
        draws = torch.rand(image.numel(), generator=rng, dtype=torch.float64).view(image.shape)
        chosen = sorted(active, key=lambda n: float(draws[n]))[: round(share * len(active))]
    elif kind == "low":
        chosen = [n for n in active if rates[n] <= rate and (include_dead or rates[n] > 0)]
    else:
        chosen = [n for n in active if rates[n] > rate]
    for n in chosen:
        image[n] = 0.0


SETS = [("2x2/0",), ("8x8/0",), ("2x2/0", "4x4/0"), ("2x2/0", "4x4/0", "16x16/0")]


@pytest.mark.parametrize("layers", SETS)
@pytest.mark.parametrize("include_dead", [True, False])
@pytest.mark.parametrize("ablation", [LOW, HIGH, RANDOM])
def test_ablation_is_that_of_an_explicit_loop(generator, rates, ablation, include_dead, layers):
    expected = explicit_ablation(generator, rates, ablation.kind, layers, include_dead)
    edits = ablation_edits(ablation, rates, layers, SEED, include_dead)
    found = images_at(generator, range(NUM), SEED, edits=edits)
    assert torch.equal(found, expected)
    assert not torch.equal(found, images_at(generator, range(NUM), SEED))


@pytest.mark.parametrize("layer", range(4))
def test_never_active_neurons_change_nothing_on_the_counted_latents(generator, rates, layer):
    name = list(generator.layers)[layer]
    dead = {name: ablate(rates[name] == 0)}
    assert (rates[name] == 0).any()
    for batch in (range(NUM), range(NUM, 2 * NUM)):
        plain = images_at(generator, batch, RATE_SEED)
        assert torch.equal(images_at(generator, batch, RATE_SEED, edits=dead), plain)


def test_sequential_ablation_of_one_layer_is_single_ablation(generator, rates):
    sequential = ablation_edits(LOW, rates, ["4x4/0"], SEED)
    single = {"4x4/0": ablate(low_rate(rates["4x4/0"], 0.3))}
    assert torch.equal(
        images_at(generator, range(NUM), SEED, edits=sequential),
        images_at(generator, range(NUM), SEED, edits=single),
    )


def test_low_and_high_together_silence_every_activated_neuron(generator, rates):
    layer = ["2x2/0"]
    masks = [neuron_masks(ablation, rates, layer)["2x2/0"] for ablation in (LOW, HIGH)]
    assert (masks[0] ^ masks[1]).all()
    assert 0 < share_chosen({"2x2/0": masks[0]}) < 1
    both = {"2x2/0": ablate(masks[0] | masks[1])}
    silent = {"2x2/0": lambda x: x.clamp(max=0)}
    assert torch.equal(
        images_at(generator, range(NUM), SEED, edits=both),
        images_at(generator, range(NUM), SEED, edits=silent),
    )


def test_a_rate_that_selects_nothing_changes_nothing(generator, rates):
    everything = Ablation("high", 1.0), Ablation("low", 0.0)
    for ablation, include_dead in zip(everything, (True, False), strict=True):
        edits = ablation_edits(ablation, rates, list(rates), SEED, include_dead)
        found = images_at(generator, range(NUM), SEED, edits=edits)
        assert torch.equal(found, images_at(generator, range(NUM), SEED))


def test_random_ablation_does_not_depend_on_the_batch():
    generator = ConvGenerator()
    edits = ablation_edits(RANDOM, {}, ["4x4/0", "8x8/0"], SEED)
    whole, parts = (
        torch.cat([*generate(generator, range(NUM), SEED, batch_size=n, edits=edits)])
        for n in (NUM, 5)
    )
    assert torch.allclose(whole, parts, atol=1e-5)


def test_rows_are_in_the_order_of_table_1():
    labels = [row.label for row in ablation_rows(["random", "high", "low"], [0.5, 0.3, 0.5], 0.25)]
    assert labels == ["LR R = 0.5", "LR R = 0.3", "HR R = 0.5", "HR R = 0.3", "random 25%"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": ["lo"]}, r"study.kinds must be some of low, high, random, got \['lo'\]"),
        ({"kinds": []}, "study.kinds"),
        ({"rates": []}, "study.rates is empty"),
        ({"rates": [0.3, 1.2]}, r"study.rates must be in \[0, 1\], got 1.2"),
        ({"rate": -1}, "study.rates"),
        ({"random_share": 30}, "study.random_share"),
        ({"layer_sets": [0, 1]}, "study.layer_sets must be a list of lists"),
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
    assert study.layer_sets == [[1]]


def outcome(ablation, layers, value):
    return Outcome(ablation, layers, {"fid10k": value}, 0.5, 0.25)


def test_best_is_marked_per_column_and_overall():
    cells = [
        outcome(LOW, ("a",), 30.0),
        outcome(LOW, ("a", "b"), 28.0),
        outcome(HIGH, ("a",), 25.0),
        outcome(HIGH, ("a", "b"), math.nan),
    ]
    text = grid_table(cells, {"fid10k": 40.0}, "fid10k").markdown()
    assert text.count("**") == 4
    assert "**25.00**" in text
    assert "**28.00**" in text
    assert "best overall: HR R = 0.3 on a, fid10k 25; without ablation: 40" in text
    worse = grid_table(cells, {"fid10k": 20.0}, "fid10k").markdown()
    assert "fid10k 25; not better than without ablation: 20" in worse


def run(study, generator=None, data=None):
    study_trainer = trainer(study)
    study_trainer.test(System(generator or ConvGenerator()), data or Data(), verbose=False)
    return study


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_one_evaluation_scores_the_whole_grid(tmp_path):
    options = {"suite": suite(), "seed": SEED, "directory": tmp_path, "batch_size": 7}
    study = run(
        SequentialAblation(**options, num_latents=30, layer_sets=[[0], ["4x4/1", 0]], num_shown=3)
    )
    assert [(o.ablation.label, o.column) for o in study.outcomes] == [
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
    for row, found in zip(cells[1:], study.outcomes, strict=True):
        assert float(row["silenced"]) == found.silenced
        assert float(row["fid20_of24_classifier"]) == found.values["fid20_of24_classifier"]
    assert {p.suffix for p in tmp_path.glob("table.*")} == {".csv", ".md", ".tex"}


def test_cells_are_scored_and_counted_as_by_hand(tmp_path):
    generator, layers = ConvGenerator(), ("4x4/0", "8x8/0")
    study = run(
        SequentialAblation(
            suite=suite(), seed=SEED, num_latents=30, rate=0.3, layers=[0, 2], batch_size=20
        ),
        generator,
    )
    rates = activation_rates(generator, range(30), rate_seed_of(SEED, None), layers)
    reals = Data().dataset.float() / 127.5 - 1
    for found, ablation in zip(study.outcomes, (LOW, HIGH, RANDOM), strict=True):
        edits = ablation_edits(ablation, rates, layers, SEED)
        by_hand = suite()
        by_hand.update(reals, real=True)
        by_hand.update(images_at(generator, range(20), SEED, edits=edits), real=False)
        assert found.values == pytest.approx(by_hand.compute(), rel=1e-4)
    low, high, chance = (found.silenced for found in study.outcomes)
    assert chance == pytest.approx(0.3, abs=0.01)
    assert 0 < low < high < 1
    assert study.outcomes[0].chosen + study.outcomes[1].chosen == pytest.approx(1)
    assert study.outcomes[2].chosen is None


def test_without_a_suite_nothing_is_scored_and_reals_are_not_read(tmp_path):
    study = run(SequentialAblation(directory=tmp_path, num_latents=9, num_counted=9, num_shown=2))
    assert study.records == []
    table = rows_of(tmp_path / "table.csv")
    assert list(table[0]) == ["ablation", "4x4/0", "4x4/0, 4x4/1"]
    assert float(table[-1]["4x4/0"]) == pytest.approx(0.3, abs=0.02)


def test_the_figure_shows_the_same_latents_before_and_after(tmp_path):
    generator = ConvGenerator()
    run(SequentialAblation(directory=tmp_path, num_latents=9, num_counted=3, rate=0.3, num_shown=4))
    with np.load(tmp_path / "figures" / "ablation.npz") as numbers:
        assert list(numbers) == ["indices", "original", "LR R = 0.3", "HR R = 0.3", "random 30%"]
        plain = images_at(generator, range(4), 0)
        pixels = ((plain.clamp(-1, 1) + 1) * 127.5).round().numpy().astype(np.uint8)
        assert (numbers["original"] == pixels).all()
        assert (numbers["LR R = 0.3"] != pixels).any()
        assert numbers["indices"].tolist() == [0, 1, 2, 3]
    assert Image.open(tmp_path / "figures" / "ablation.png").width > 4 * 64


def test_a_file_of_rates_is_taken_up_when_it_matches(tmp_path, monkeypatch):
    counted = tmp_path / "counted"
    run(ActivationRates(directory=counted, num_latents=9))
    forbidden = "ganlab.studies.activation_rates.activation_rates"
    monkeypatch.setattr(forbidden, lambda *a: pytest.fail("counted again"))
    run(SequentialAblation(rates_file=counted, num_latents=9, num_counted=3))
    run(ActivationRates(directory=counted, num_latents=9))
    for changed, message in (
        ({"num_latents": 10}, "num_latents is 9, not 10"),
        ({"num_latents": 9, "rate_seed": 8}, "rate_seed is .*, not 8"),
    ):
        study = SequentialAblation(rates_file=counted, num_counted=3, **changed)
        with pytest.raises(ValueError, match=f"study.rates_file=.* cannot be used: {message}"):
            run(study)
    with pytest.raises(ValueError, match="they belong to another generator"):
        run(SequentialAblation(rates_file=counted, num_latents=9), ConvGenerator(seed=1))


def test_rates_in_the_directory_that_do_not_match_are_counted_anew(tmp_path):
    run(ActivationRates(directory=tmp_path, num_latents=9))
    other = ConvGenerator(seed=1)
    run(SequentialAblation(directory=tmp_path, num_latents=9, num_counted=3, num_shown=1), other)
    assert Rates.load(tmp_path).generator == digest(other)


def test_a_layer_the_network_lacks_is_named():
    with pytest.raises(ValueError, match="no layer 7; this network has 0 = 4x4/0"):
        run(SequentialAblation(layers=[0, 7], num_latents=3))


def test_what_cannot_work_is_refused_before_anything_is_scored(tmp_path):
    counted = run(ActivationRates(directory=tmp_path, num_latents=9)).directory
    for wrong in ({"layers": [7]}, {"rates_file": counted, "num_latents": 10}):
        study, data = SequentialAblation(suite=suite(), **wrong), Data()
        with pytest.raises(ValueError, match="study"):
            run(study, data=data)
        assert data.served == 0
