import csv

import numpy as np
import pytest
import torch
from layer_oracles import condition_of, labels_at, small, walk
from study_toys import ConvGenerator, Data, Projection, System, suite, trainer

from ganlab.metrics import frechet_distance
from ganlab.nn.ablation import ablate_units
from ganlab.nn.randomness import latents_at
from ganlab.sampling import Sampler
from ganlab.studies import Study, UnitAblation
from ganlab.studies.neurons.rate_count import rate_seed_of
from ganlab.studies.neurons.rates import activation_rates
from ganlab.systems.conditioning import Conditioner

SEED = 3
RATE_SEED = rate_seed_of(SEED, None)


def run(question, generator=None):
    study, system = Study(question), System(generator or ConvGenerator())
    trainer(study).test(system, Data(), verbose=False)
    return study


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_each_step_is_scored_as_by_hand(tmp_path):
    generator, layer = ConvGenerator(), "4x4/0"
    options = {"suite": suite(), "seed": SEED, "batch_size": 20, "directory": tmp_path}
    study = run(UnitAblation(**options, units=[4, 0, 2], layer=0, num_shown=2), generator)
    assert [step.num for step in study.findings.result[1]] == [0, 1, 2, 3]
    for step in study.findings.result[1]:
        edits = {layer: ablate_units([4, 0, 2][: step.num])}
        by_hand = suite()
        by_hand.update(Data().dataset.float() / 127.5 - 1, real=True)
        by_hand.update(Sampler(generator, SEED).batch(range(20), edits), real=False)
        assert step.values == pytest.approx(by_hand.compute(), rel=1e-4)
        maps = walk_first(generator, range(20))
        gone = maps[:, [4, 0, 2][: step.num]]
        assert step.silenced == pytest.approx(float((gone > 0).sum() / (maps > 0).sum()))
    table = rows_of(tmp_path / "table.csv")
    assert [row["units"] for row in table] == ["0", "1", "2", "3"]
    assert [row["added"] for row in table] == ["", "4", "0", "2"]
    assert float(table[0]["recognized"]) == float(table[0]["spread kept"]) == 1
    with np.load(tmp_path / "figures" / "unit_ablation.npz") as numbers:
        assert numbers["units"].tolist() == [0, 1, 2, 3]
        assert numbers["order"].tolist() == [4, 0, 2]
        metric = "fid20_of24_classifier"
        scores = [step.values[metric] for step in study.findings.result[1]]
        assert numbers[metric].tolist() == scores
    with np.load(tmp_path / "figures" / "units.npz") as numbers:
        assert list(numbers) == ["indices", "all units", "without 1", "without 2", "without 3"]
    assert [r.get("intervention") for r in study.records[::3]] == [
        None, *(f"{num} units of 4x4/0 by given" for num in (1, 2, 3))
    ]  # fmt: skip


def walk_first(generator, indices):
    first = generator.first(latents_at(generator, indices, SEED)).view(-1, 5, 4, 4)
    return generator.activations[0](first).detach()


def test_units_go_by_rate_lowest_first():
    generator = ConvGenerator()
    rates = activation_rates(Sampler(generator, RATE_SEED), range(30), [1])["4x4/1"]
    means = rates.flatten(1).mean(1).tolist()
    order = sorted(range(4), key=means.__getitem__)
    study = run(UnitAblation(seed=SEED, num_latents=30, layer=1, latents=[0]), generator)
    assert study.findings.result[0].order == order
    assert study.findings.result[0].order[0] == 0  # dead
    assert study.findings.result[0].order[-1] == 1  # always active
    study = run(UnitAblation(seed=SEED, num_latents=30, layer=1, latents=[0], descending=True))
    assert study.findings.result[0].order[0] == 1


def test_units_go_by_magnitude_highest_first():
    generator = ConvGenerator()
    options = {"seed": SEED, "layer": 0, "latents": [0], "ranking": "magnitude"}
    upper = [0.0, 0.0, 0.5, 1.0]
    study = run(UnitAblation(**options, region=upper, ranked_on=[5, 8]), generator)
    expected = walk_first(generator, [5, 8])[:, :, :2].abs().mean((0, 2, 3))
    assert study.findings.result[0].order == expected.argsort(descending=True).tolist()
    assert torch.allclose(study.findings.result[0].values.float(), expected)
    drawn = run(UnitAblation(**options, num_ranked=6), generator)
    maps = generator.first(latents_at(generator, range(6), RATE_SEED)).view(-1, 5, 4, 4)
    expected = generator.activations[0](maps).abs().mean((0, 2, 3))
    assert torch.allclose(drawn.findings.result[0].values.float(), expected)


def test_units_go_by_the_score_of_their_images():
    generator = ConvGenerator()
    options = {"seed": SEED, "layer": 0, "latents": "0:9", "num_ranked": 30, "num_top": 6}
    study = run(UnitAblation(**options, suite=suite(), ranking="fid"), generator)
    latents = latents_at(generator, range(30), RATE_SEED)
    maps = generator.activations[0](generator.first(latents).view(-1, 5, 4, 4))
    images = Sampler(generator, RATE_SEED).batch(range(30))
    reals = Projection()(Data().dataset.float() / 127.5 - 1)["features"].double()
    for unit in range(5):
        best = maps[:, unit].amax((1, 2)).argsort(descending=True)[:6]
        chosen = Projection()(images[best])["features"].double()
        moments = [m for x in (reals, chosen) for m in (x.mean(0), x.T.cov())]
        expected = float(frechet_distance(*moments))
        assert float(study.findings.result[0].values[unit]) == pytest.approx(expected, rel=1e-3)
    assert (
        study.findings.result[0].order
        == study.findings.result[0].values.argsort(descending=True).tolist()
    )


def test_a_random_order_is_the_same_every_time():
    found = [run(UnitAblation(seed=s, ranking="random", latents=[0])) for s in (1, 1, 2)]
    orders = [study.findings.result[0].order for study in found]
    assert orders[0] == orders[1]
    assert sorted(orders[0]) == list(range(5))
    assert orders[0] != orders[2]


def test_without_reals_what_is_left_of_the_variety_is_drawn(tmp_path):
    options = {"directory": tmp_path, "latents": "0:9", "ranking": "random"}
    study = run(UnitAblation(**options, extractor=Projection(), steps=[5]))
    assert study.records == []
    with np.load(tmp_path / "figures" / "unit_ablation.npz") as numbers:
        assert numbers["spread kept"][0] == 1
    run(UnitAblation(**options, steps=[5]))
    with np.load(tmp_path / "figures" / "unit_ablation.npz") as numbers:
        assert numbers["silenced"].tolist() == [0, 1]


def test_conditional_generators_are_told_their_classes():
    generator, layer = small("labels"), 2
    system = System(generator)
    system.conditioner = type("Labels", (Conditioner,), {"at": staticmethod(labels_at)})()
    name = list(generator.layers)[layer]
    options = {"ranking": "magnitude", "ranked_on": [0, 1, 2], "latents": "0:3"}
    study = Study(UnitAblation(seed=SEED, layer=layer, **options))
    trainer(study).test(system, Data(), verbose=False)
    latents = latents_at(generator, range(3), SEED)
    maps = walk(generator, latents, condition=condition_of("labels")(range(3)))[1][name]
    assert torch.allclose(
        study.findings.result[0].values.float(), maps.abs().mean((0, 2, 3)), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ranking": "size"}, "study.ranking must be rate, magnitude, fid, random, or study.units"),
        ({"ranking": "given"}, "study.ranking must be"),
        ({"ranking": "fid"}, "study.ranking=fid compares with reals"),
        ({"suite": suite(), "ranking": "fid", "num_ranked": 9, "num_top": 10}, "study.num_top=10"),
        ({"region": [0, 0, 2, 1]}, "study.region"),
        ({"steps": [0]}, "study.steps must be numbers of units from 1"),
        ({"steps": []}, "study.steps"),
        ({"ranked_on": [-1]}, "study.ranked_on"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        UnitAblation(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": [5]}, r"study.units must be different units of 4x4/0, from 0 to 4, got \[5\]"),
        ({"units": [1, 1]}, "study.units must be different units"),
        ({"units": []}, "study.units must be different units"),
        ({"steps": [6]}, "study.steps goes to 6, but there are 5 units"),
        ({"layer": "9x9/0"}, "no layer 9x9/0"),
    ],
)
def test_what_the_layer_lacks_is_refused_before_anything_is_scored(options, message):
    data = Data()
    study = Study(UnitAblation(**options, suite=suite(), num_latents=3))
    with pytest.raises(ValueError, match=message):
        trainer(study).test(System(ConvGenerator()), data, verbose=False)
    assert data.served == 0
