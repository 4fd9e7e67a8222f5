"""Two processes together find what one finds."""

import csv

import numpy as np
import pytest
import torch
from circle_toys import made
from lightning import Callback
from study_toys import ConvGenerator, Data, System, suite, trainer

from ganlab.nn.digest import digest
from ganlab.nn.ranks import share
from ganlab.sampling import Sampler
from ganlab.studies import (
    ActivationRates,
    ArtifactDetection,
    CircularArtifacts,
    SequentialAblation,
    Study,
    UnitAblation,
)
from ganlab.studies.neurons.counting import Counting, Key, save_partial
from ganlab.studies.neurons.detection import read_ranking
from ganlab.studies.neurons.rate_count import PARTIAL
from ganlab.studies.neurons.rates import Rates

SCORES = ("silenced", "fid19_of23_classifier", "recall19_of23_k3_classifier")
COMPARED = ("silenced", "distance", "spread kept", "recognized")


class Differing(Callback):
    """Ranks whose running statistics differ, as batch norm's do, before they score together."""

    def on_test_start(self, trainer, pl_module):
        pl_module.statistics = torch.nn.BatchNorm1d(3)
        pl_module.statistics.running_mean.fill_(trainer.global_rank + 1)
        share(pl_module.statistics.buffers())
        assert pl_module.statistics.running_mean.tolist() == [1, 1, 1]


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def studies(folder):
    """Odd counts, so that the ranks' shares differ in size; more ranks than some have items."""
    grid = {"num_latents": 21, "rate": 0.3, "layer_sets": [[0, 2]], "num_shown": 2}
    found = {"num_samples": 41, "num_artifacts": 19}
    ranked = {"layer": 0, "num_ranked": 31, "num_top": 5, "steps": [1, 2]}
    counted = {"num_latents": 21, "save_every": 5, "batch_size": 2}
    ends = {"num_samples": 41, "num": 7, "num_shown": 3, **counted}
    questions = [
        ActivationRates(directory=folder / "rates", **counted),
        ArtifactDetection(suite=suite(23, 7), directory=folder / "found", **ends),
        SequentialAblation(suite=suite(23, 19), directory=folder / "grid", **grid, **found),
        UnitAblation(suite=suite(23, 19), directory=folder / "fid", ranking="fid", **ranked),
        UnitAblation(directory=folder / "one", latents=[5], ranking="magnitude", **ranked),
    ]
    return [Study(question) for question in questions]


@pytest.mark.slow
def test_ranks_share_one_study(tmp_path):
    for name, devices in (("one", {}), ("two", {"devices": 2, "strategy": "ddp_spawn"})):
        all_studies = studies(tmp_path / name)
        trainer(Differing(), *all_studies, **devices).test(
            System(ConvGenerator()), Data(23), verbose=False
        )
    for folder in ("grid", "rates"):
        one, two = (Rates.load(tmp_path / name / folder) for name in ("one", "two"))
        assert one.generator == two.generator
        assert all(torch.equal(one.rates[name], two.rates[name]) for name in one.rates)
        near = [one.near_zero[n] + two.near_zero[n] for n in one.near_zero]
        assert not any(each.any() for each in near), "so that equal rates are no luck"
    for folder in ("grid", "found"):
        rankings = [read_ranking(tmp_path / name / folder) for name in ("one", "two")]
        assert rankings[0] == rankings[1]
    for table, columns, count in (
        ("found/table", ("LR neurons", "fid7_of23_classifier", "recall7_of23_k3_classifier"), 3),
        ("grid/cells", SCORES, 4),
        ("grid/repair", COMPARED, 4),
        ("fid/table", (*SCORES, "distance", "spread kept"), 3),
        ("one/table", ("silenced",), 3),
    ):
        first, second = (rows_of(tmp_path / name / f"{table}.csv") for name in ("one", "two"))
        assert len(first) == len(second) == count
        for a, b in zip(first, second, strict=True):
            assert [a[c] for c in list(a)[:2]] == [b[c] for c in list(b)[:2]]
            assert [float(a[c]) for c in columns] == pytest.approx(
                [float(b[c]) for c in columns], rel=1e-4, abs=1e-6
            )


@pytest.mark.slow
def test_two_ranks_go_on_from_the_counts_that_one_kept(tmp_path):
    """Kept counts of none, which cannot be right, show that they are not counted once more."""
    generator, question = ConvGenerator(), ActivationRates(directory=tmp_path, num_latents=21)
    counting = Counting(Sampler(generator, question.count.counted_seed), list(generator.layers))
    none = {name: torch.zeros(shape).long() for name, shape in counting.active.shapes.items()}
    key = Key(digest(generator), counting.sampler.seed, tuple(none), near_zero=True)
    near = {name: count.clone() for name, count in none.items()}
    save_partial(tmp_path / PARTIAL, key, none, near, 10)
    study, ranks = Study(question), {"devices": 2, "strategy": "ddp_spawn"}
    trainer(study, **ranks).test(System(generator), Data(23), verbose=False)
    counting.feed(range(10, 21))
    for name, rate in Rates.load(tmp_path).rates.items():
        assert torch.equal((rate * 21).round(), counting.rates()[name] * 11)


@pytest.mark.slow
def test_ranks_look_for_artifacts_together(tmp_path):
    found = {}
    for name, devices in (("one", {}), ("two", {"devices": 2, "strategy": "ddp_spawn"})):
        options = {
            "num_images": 9,
            "levels": 1.2,
            "batch_size": 2,
            "num_traced": 2,
            "figures": False,
        }
        study = Study(CircularArtifacts(directory=tmp_path / name, **options))
        trainer(study, **devices).test(System(made()), Data(23), verbose=False)
        with np.load(tmp_path / name / "artifacts.npz") as file:
            found[name] = dict(file)
    for key, value in found["one"].items():
        if value.dtype.kind == "f":
            assert found["two"][key] == pytest.approx(value, abs=1e-3)
        else:
            assert found["two"][key].tolist() == value.tolist()
    assert 0 < found["one"]["affected"].sum() < 9
