import csv

import numpy as np
import pytest
import torch
from layer_oracles import labels_at, small
from PIL import Image
from safetensors.torch import load_file
from scipy import stats
from study_toys import ConvGenerator, Data, System, suite, trainer

from ganlab.sampling import Sampler
from ganlab.studies import ActivationRates, Study
from ganlab.studies.neurons.activation_rates import histograms, rate_table, shares
from ganlab.studies.neurons.rate_count import PARTIAL, rate_seed_of
from ganlab.studies.neurons.rates import FILE, Rates, activation_rates
from ganlab.systems.conditioning import Labels

RATES = {"4x4/0": torch.tensor([0.0, 0.0, 0.1, 0.3, 0.31, 0.9, 0.95, 1.0], dtype=torch.float64)}


def run(question, generator=None):
    study = Study(question)
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
            "rate > 0.3": 4 / 8,
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
    expected = activation_rates(Sampler(generator, seed, batch_size=4), range(25))
    found = Rates.load(tmp_path)
    assert (found.num_latents, found.seed) == (25, seed)
    assert all(torch.equal(found.rates[name], rate) for name, rate in expected.items())
    assert study.findings.result.generator == found.generator
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
    assert {record["noise"] for record in study.records} == {"fixed"}


def test_doubtful_neurons_are_tabulated(tmp_path):
    generator = ConvGenerator()
    generator.second.weight.data[2], generator.second.bias.data[2] = 0.0, 5e-6  # near 0, always
    study = ActivationRates(directory=tmp_path, num_latents=25, confidence=0.9)
    rates = run(study, generator).findings.result
    with (tmp_path / "table.csv").open() as file:
        rows = {row["layer"]: row for row in csv.DictReader(file)}
    assert float(rows["4x4/1"]["near 0"]) == float((rates.near_zero["4x4/1"] > 0).double().mean())
    assert rates.near_zero["4x4/1"][2].unique().tolist() == [25]
    found = []
    for name, rate in rates.rates.items():
        tests = [stats.binomtest(round(25 * each), 25) for each in rate.flatten().tolist()]
        ends = [test.proportion_ci(0.9, "wilson") for test in tests]
        held = [bool(end.low <= 0.3 < end.high) for end in ends]
        assert float(rows[name]["undecided"]) == sum(held) / len(held)
        found += held
    assert set(found) == {True, False}
    assert torch.equal(load_file(tmp_path / FILE)["4x4/1.near_zero"], rates.near_zero["4x4/1"])
    assert "4x4/1.high" in load_file(tmp_path / FILE)
    run(ActivationRates(directory=tmp_path / "plain", num_latents=25, near_zero=False), generator)
    assert "near 0" not in (tmp_path / "plain" / "table.csv").read_text()


class Failing(ConvGenerator):
    """Stops, as a kill would, before it makes image number `fuse`."""

    _fuse, _made = 10**9, 0  # not public: how a network is built belongs to its digest

    def forward(self, latents, condition=None):
        if self._made + len(latents) > self._fuse:
            raise KeyboardInterrupt
        self._made += len(latents)
        return super().forward(latents)


@pytest.mark.parametrize(("num", "fuse"), [(25, 17), (24, 20), (24, 3)])
def test_a_run_that_was_stopped_goes_on(tmp_path, capsys, num, fuse):
    """Batches of 4, kept every 8 latents: what was counted is not counted again."""
    options = {"num_latents": num, "batch_size": 4, "save_every": 7, "layers": [0, 2]}
    whole = run(ActivationRates(directory=tmp_path / "whole", **options), Failing())
    generator, directory = Failing(), tmp_path / "stopped"
    study = ActivationRates(directory=directory, **options)
    probe = 1  # one more image tells the layers' shapes
    generator._fuse = fuse + probe
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(study, generator)
    kept = fuse // 8 * 8
    assert (directory / PARTIAL).exists() == (kept > 0)
    generator._fuse, generator._made = 10**9, 0
    again = run(ActivationRates(directory=directory, **options), generator)
    assert generator._made == num - kept + probe
    assert (f"go on after {kept} latents" in capsys.readouterr().err) == (kept > 0)
    assert not (directory / PARTIAL).exists()
    for name, rate in whole.findings.result.rates.items():
        assert torch.equal(again.findings.result.rates[name], rate)
        assert torch.equal(
            again.findings.result.near_zero[name], whole.findings.result.near_zero[name]
        )
    run(ActivationRates(directory=directory, **options), generator)
    seen = num - kept + 2 * probe  # one image more tells what shapes a file should have
    assert generator._made == seen, "rates that are there are not counted again"


def test_counts_of_something_else_are_left_alone(tmp_path):
    options = {"directory": tmp_path, "num_latents": 24, "batch_size": 4, "save_every": 8}
    generator = Failing()
    generator._fuse = 20
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(ActivationRates(layers=[0], **options), generator)
    other = ConvGenerator(seed=1)
    found = run(ActivationRates(layers=[0], **options), other).findings.result
    expected = activation_rates(Sampler(other, rate_seed_of(0, None), batch_size=4), range(24), [0])
    assert torch.equal(found.rates["4x4/0"], expected["4x4/0"])


def test_conditions_come_from_the_system(tmp_path):
    generator = small("labels")
    system = System(generator)
    system.conditioner = Labels(3)
    study = Study(ActivationRates(directory=tmp_path, num_latents=9))
    trainer(study).test(system, Data(), verbose=False)
    seed = rate_seed_of(0, None)
    expected = activation_rates(Sampler(generator, seed, condition_at=labels_at), range(9))
    assert all(
        torch.equal(study.findings.result.rates[name], rate) for name, rate in expected.items()
    )


def test_random_noise_is_said(tmp_path):
    generator = small("stylegan2")
    study = run(ActivationRates(directory=tmp_path, num_latents=9, noise="random"), generator)
    seed = rate_seed_of(0, None)
    expected = activation_rates(Sampler(generator, seed, noise="random"), range(9))
    assert all(
        torch.equal(study.findings.result.rates[name], rate) for name, rate in expected.items()
    )
    assert Rates.load(tmp_path).noise == "random"
    assert "noise random" in (tmp_path / "table.md").read_text()
    with pytest.raises(ValueError, match=r"study\.noise=random needs a generator with noise"):
        run(ActivationRates(noise="random", num_latents=2))


def test_the_random_state_is_that_of_a_test_without_a_study():
    states = []
    for callbacks in ([], [Study(ActivationRates(suite=suite(), num_latents=5))]):
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
        ({"save_every": 0}, "study.save_every=0"),
        ({"noise": "loud"}, "study.noise must be fixed or random"),
        ({"confidence": 1.0}, "study.confidence must be between 0 and 1"),
        ({"rate_seed": 0}, "study.rate_seed=0 is the seed of the scored latents"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ActivationRates(**options)
