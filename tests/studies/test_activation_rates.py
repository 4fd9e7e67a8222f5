import csv

import numpy as np
import pytest
import torch
from PIL import Image
from study_toys import ConvGenerator, Data, System, suite, trainer

from ganlab.studies import ActivationRates
from ganlab.studies.activation_rates import rate_seed_of
from ganlab.studies.rate_report import histograms, rate_table, shares
from ganlab.studies.rates import Rates, activation_rates

RATES = {"4x4/0": torch.tensor([0.0, 0.0, 0.1, 0.3, 0.31, 0.9, 0.95, 1.0], dtype=torch.float64)}


def run(study, generator=None):
    trainer(study).test(System(generator or ConvGenerator()), Data(), verbose=False)
    return study


def test_table_columns_are_the_authors():
    table = rate_table(Rates(RATES, 10, 1, "ab"), ["4x4/0"], 0.3)
    assert table.rows == [
        {
            "layer": "4x4/0",
            "neurons": 8,
            "mean rate": pytest.approx(3.56 / 8),
            "rate = 0": 2 / 8,
            "0 < rate ≤ 0.3": 2 / 8,
            "0 < rate ≤ 0.1": 1 / 8,
            "rate ≥ 0.9": 3 / 8,
        }
    ]


def test_shares_sum_to_one_and_histograms_to_the_shares():
    part = shares(RATES["4x4/0"], 0.3)
    assert part == {"dead": 2 / 8, "LR": 2 / 8, "HR": 4 / 8}
    numbers = histograms(RATES, 0.3)
    for group, share in part.items():
        assert numbers[f"4x4/0/{group}"].sum() == pytest.approx(share)
    low, high = numbers["4x4/0/LR"], numbers["4x4/0/HR"]
    assert low.nonzero()[0].max() <= high.nonzero()[0].min()
    assert high[-1] == 1 / 8  # a rate of 1 is in the last bin


def test_the_study_writes_what_it_counted(tmp_path):
    generator = ConvGenerator()
    study = run(
        ActivationRates(directory=tmp_path, num_latents=25, batch_size=4, seed=6), generator
    )
    seed = rate_seed_of(6, None)
    expected = activation_rates(generator, range(25), seed, batch_size=4)
    found = Rates.load(tmp_path)
    assert (found.num_latents, found.seed) == (25, seed)
    assert all(torch.equal(found.rates[name], rate) for name, rate in expected.items())
    assert study.rates.generator == found.generator
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["layer"] for row in rows] == ["4x4/0", "4x4/1", "8x8/0"]
    assert [float(row["mean rate"]) for row in rows] == [float(r.mean()) for r in expected.values()]
    assert float(rows[1]["rate = 0"]) >= 1 / 4  # one of four channels is dead, one always active
    assert float(rows[1]["rate ≥ 0.9"]) >= 1 / 4
    with np.load(tmp_path / "figures" / "activation_rates.npz") as numbers:
        counts = histograms(expected, 0.3)
        assert all((numbers[name] == values).all() for name, values in counts.items())
    assert Image.open(tmp_path / "figures" / "activation_rates.png").width > 300


def test_layers_and_rate_are_options(tmp_path):
    run(ActivationRates(directory=tmp_path, num_latents=5, layers=[2], rate=0.5))
    assert list(Rates.load(tmp_path).rates) == ["8x8/0"]
    assert "0 < rate ≤ 0.5" in (tmp_path / "table.csv").read_text()


def test_with_a_suite_the_generator_is_scored_too(tmp_path):
    study = run(ActivationRates(suite=suite(), directory=tmp_path, num_latents=5))
    assert {record["metric"] for record in study.records} >= {"fid20_of24_classifier"}


def test_the_random_state_is_that_of_a_test_without_a_study():
    states = []
    for callbacks in ([], [ActivationRates(suite=suite(), num_latents=5)]):
        torch.manual_seed(1)
        trainer(*callbacks).test(System(ConvGenerator()), Data(), verbose=False)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_the_counted_latents_are_others_than_the_scored_ones():
    seeds = [rate_seed_of(seed, None) for seed in range(50)]
    assert len(set(seeds)) == 50
    assert not set(seeds) & set(range(50))
    assert rate_seed_of(seeds[0], None) != seeds[0]
    assert rate_seed_of(0, 9) == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 1.5}, r"study.rate must be in \[0, 1\], got 1.5"),
        ({"num_latents": 0}, "study.num_latents must be at least 1"),
        ({"rate_seed": 0}, "study.rate_seed=0 is the seed of the scored latents"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ActivationRates(**options)
