"""Two processes together find what one finds."""

import csv

import pytest
import torch
from study_toys import ConvGenerator, Data, System, suite, trainer

from ganlab.studies import SequentialAblation
from ganlab.studies.rates import Rates


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_ranks_share_one_study(tmp_path):
    """Odd counts, so that the ranks' shares differ in size."""
    options = {"num_latents": 21, "rate": 0.3, "layer_sets": [[0, 2]], "num_shown": 2}
    for name, devices in (("one", {}), ("two", {"devices": 2, "strategy": "ddp_spawn"})):
        study = SequentialAblation(
            suite=suite(num_real=23, num_fake=19), directory=tmp_path / name, **options
        )
        trainer(study, **devices).test(System(ConvGenerator()), Data(23), verbose=False)
    one, two = (Rates.load(tmp_path / name) for name in ("one", "two"))
    assert one.generator == two.generator
    assert all(torch.equal(one.rates[name], two.rates[name]) for name in one.rates)
    cells = [rows_of(tmp_path / name / "cells.csv") for name in ("one", "two")]
    assert len(cells[0]) == len(cells[1]) == 4
    for first, second in zip(*cells, strict=True):
        assert first["ablation"] == second["ablation"]
        for column in ("silenced", "fid19_of23_classifier", "recall19_of23_k3_classifier"):
            assert float(first[column]) == pytest.approx(float(second[column]), rel=1e-4)
