"""Sweeps that compare norms: each cell is what its name says, and the table has the incidence."""

import json

import composing
import pytest
from omegaconf import OmegaConf

from ganlab.cli import conf_dir
from ganlab.grid.records import CellRecord, scores_of
from ganlab.grid.table import Choice, grid_table
from ganlab.run import evaluate, train

ROWS = sorted(path.stem for path in (conf_dir() / "experiment" / "norms").glob("[!_]*.yaml"))
TINY = [
    *("data=synthetic", "data.num=48", "data.resolution=16", "data.batch_size=16", "kimg=0.032"),
    *("sample_every_kimg=0.032", "checkpoint_every_kimg=0.032", "log_every_kimg=0.032"),
    *("model.generator.width=4", "model.generator.max_width=8"),
    *("model.discriminator.width=4", "model.discriminator.max_width=8"),
    *("metrics.num_real=24", "metrics.num_fake=24", "~metrics.metrics"),
    "+metrics.metrics={fid: {_target_: ganlab.metrics.FrechetDistance}}",
    *("callbacks.circles.num_images=20", "callbacks.circles.levels={8x8: 1.05, 16x16: 1.1}"),
]


pytestmark = pytest.mark.usefixtures("own_cache")


def composed(name, directory, *overrides):
    return composing.composed(name, overrides, directory)


@pytest.mark.parametrize("row", ROWS)
def test_a_cell_trains_the_norm_it_is_named_after(row, tmp_path):
    """The sweep's own choice of experiment, for its keys, does not win over the cell's."""
    config = composed("train", tmp_path, "sweep=norms", f"experiment=norms/{row}")
    generator = OmegaConf.to_container(config.model.generator)
    norm = conf_dir() / "model" / "norm" / f"{row}.yaml"
    if norm.is_file():
        assert generator["_target_"] == "ganlab.networks.stylegan.Generator"
        assert generator["norm"]["_target_"] == OmegaConf.load(norm)._target_
    else:  # a model's name
        assert generator["_target_"] == f"ganlab.networks.{row}.Generator"
    assert config.callbacks.circles.num_images == 2000
    assert config.kimg == composed("train", tmp_path, "sweep=norms").kimg


@pytest.mark.parametrize("sweep", ["norms", "tan2020_table1"])
def test_levels_of_sweeps_and_of_the_study_are_the_same(sweep, tmp_path):
    """So that a table and a study of one of its cells agree."""
    circles = composed("train", tmp_path, f"sweep={sweep}").callbacks.circles
    study = composed("evaluate", tmp_path, "study=circular_artifacts", "ckpt=x").study
    for key in ("num_images", "levels", "threshold", "persistence"):
        assert circles[key] == study[key]


def test_the_table_has_the_incidence_beside_fid_and_the_paper(tmp_path):
    """And the study finds in a cell's checkpoint what the cell said at its end."""
    records = []
    for row in ("in", "stylegan2"):
        directory = tmp_path / row
        config = composed("train", directory, "sweep=norms", f"experiment=norms/{row}", *TINY)
        result = json.loads(json.dumps(dict(train(config)), default=str))
        assert result["status"] == "done"
        values = {"experiment": f"norms/{row}"}
        records.append(CellRecord(directory, values, "done", scores=scores_of(result)))
    choice = Choice.of(OmegaConf.to_container(config.grid.table))
    table = grid_table(records, choice)
    names = ["artifact_incidence20", "artifact_incidence20_low", "artifact_incidence20_high"]
    assert table.columns[:4] == ["experiment", *names]
    assert table.columns[4].startswith("fid24")
    assert [row["circular artifacts (paper)"] for row in table.rows] == ["yes", "no"]
    assert all(0 <= row[names[1]] <= row[names[0]] <= row[names[2]] <= 1 for row in table.rows)
    notes = " ".join(table.notes)
    assert "after the style" in notes
    assert "after the activation" in notes  # StyleGAN2's are marked as read otherwise
    for record in records:
        evaluation = composed(
            "evaluate",
            tmp_path / "evaluate" / record.name,
            f"ckpt={record.directory}/checkpoints/last.ckpt",
            "study=circular_artifacts",
            *("study.num_images=20", "study.levels={8x8: 1.05, 16x16: 1.1}", "study.figures=false"),
            *("study.num_traced=2", "study.num_worst=2"),
        )
        found = {s["metric"]: s["value"] for s in evaluate(evaluation)["scores"]}
        told = {s["metric"]: s["value"] for s in record.scores if s["metric"] in names}
        assert found == pytest.approx(told)
