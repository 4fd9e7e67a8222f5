"""Runs of one row differ in seeds alone: whatever else differs is a column, named shortly."""

import pytest
from grids import cell, ended, grid_of

from ganlab.grid.page import publish
from ganlab.grid.records import collect
from ganlab.grid.table import Choice, grid_table

MODELS = {
    "dcgan": {"width": 64, "lr": 0.1, "norm": {"eps": 1e-8}, "batch": 16},
    "progan": {"depth": 5, "lr": 0.2, "norm": {"eps": 1e-5}, "batch": 16},
}


def run(grid, seed, fid, model="dcgan", choices=None, **config):
    """A finished cell of a grid that swept its seed alone."""
    made = {"seed": seed, "kimg": 1, "model": MODELS[model], **config}
    chosen = {"model": model, "data": "faces", "hydra/launcher": "local", **(choices or {})}
    ended(cell(grid, {"seed": seed}, made, choices=chosen), scores={"fid1k": fid})


def two_commands(grid, **other):
    """Seeds 0 and 1 of one command, 2 and 3 of another that fixes something else."""
    for seed in range(4):
        run(grid, seed, 10.0 + seed if seed < 2 else 90.0 + seed, **(other if seed > 1 else {}))
    return grid


def table_of(*grids):
    return grid_table(collect(grids), Choice())


def test_one_name_continued_with_another_model_is_two_rows(tmp_path):
    table = table_of(two_commands(tmp_path, model="progan"))
    assert table.columns == ["model", "fid1k", "n"]
    assert [(row["model"], row["fid1k"], row["n"]) for row in table.rows] == [
        ("dcgan", 10.5, 2),
        ("progan", 92.5, 2),
    ]


@pytest.mark.parametrize(
    ("other", "column", "values"),
    [
        ({"kimg": 2}, "kimg", [1, 2]),
        ({"choices": {"data": "rooms"}, "data": {"name": "rooms"}}, "data", ["faces", "rooms"]),
        ({"data": {"sizes": [8, 16]}}, "sizes", ["", "[8, 16]"]),
        ({"data": {"flip": True}, "scores": {"flip": True}}, "flip", ["", "True"]),  # a copy
        ({"choices": {"model/norm": "pin"}, "model": "progan"}, "model", ["dcgan", "progan"]),
    ],
)
def test_the_difference_is_one_column_with_a_short_name(tmp_path, other, column, values):
    table = table_of(two_commands(tmp_path, **other))
    assert table.columns == [column, "fid1k", "n"]
    assert [row[column] for row in table.rows] == [str(value) for value in values]


def test_every_difference_is_named(tmp_path):
    other = {"model": "progan", "kimg": 2, "choices": {"data": "rooms"}, "data": {"name": "rooms"}}
    table = table_of(two_commands(tmp_path, **other))
    assert table.columns == ["model", "data", "kimg", "fid1k", "n"]
    assert len(table.rows) == 2


def test_a_group_within_the_model_goes_before_its_settings(tmp_path):
    for seed, norm in enumerate(["in", "in", "pin", "pin"]):
        model = {"generator": {"norm": {"_target_": norm, norm: 1.0}}}
        made = cell(tmp_path, {"seed": seed}, {"model": model}, choices={"model/norm": norm})
        ended(made, scores={"fid1k": seed})
    assert table_of(tmp_path).columns == ["norm", "fid1k", "n"]


def test_an_experiment_stands_for_the_keys_it_sets(tmp_path):
    for seed, name in enumerate(["e", "e", "f", "f"]):
        made = {"model": {"blur": name == "f", "mixing": 0.9 if name == "f" else 0.0}}
        made = cell(tmp_path, {"seed": seed}, made, choices={"experiment": name, "model": "x"})
        ended(made, scores={"fid1k": seed})
    assert table_of(tmp_path).columns == ["experiment", "fid1k", "n"]


def test_what_differs_inside_one_model_is_named_too(tmp_path):
    for seed, (model, lr) in enumerate([("a", 0.1), ("b", 0.1), ("b", 0.2)]):
        made = cell(tmp_path, {"seed": seed}, {"model": {"name": model, "lr": lr}})
        made.choices["model"] = model
        ended(made, scores={"fid1k": seed})
    table = table_of(tmp_path)
    assert table.columns == ["model", "lr", "fid1k"]
    assert [(row["model"], row["lr"]) for row in table.rows] == [
        ("a", "0.1"),
        ("b", "0.1"),
        ("b", "0.2"),
    ]


def test_manner_seeds_and_places_of_its_own_tell_nothing_apart(tmp_path):
    for seed in range(4):
        free = {"trainer": {"devices": seed}, "logger": {"csv": {"x": seed}}, "ckpt": f"{seed}"}
        place = {"study_of": {"directory": str(tmp_path / f"seed-{seed}" / "samples")}}
        free |= {"model": {"seed": seed}, "data": {"cache_dir": f"/{seed}"}}
        made = cell(tmp_path, {"seed": seed}, {**free, **place}, choices={"trainer": str(seed)})
        ended(made, scores={"fid1k": seed})
    table = table_of(tmp_path)
    assert table.columns == ["fid1k", "n"]
    assert table.rows[0]["n"] == 4


def test_evaluations_of_other_checkpoints_are_other_rows(tmp_path):
    for seed, ckpt in enumerate(["a.ckpt", "a.ckpt", "b.ckpt"]):
        made = {"study": {"name": "scores"}, "ckpt": ckpt}
        ended(cell(tmp_path, {"seed": seed}, made, "evaluate"), scores={"fid1k": seed})
    table = table_of(tmp_path)
    assert [(row["ckpt"], row["n"]) for row in table.rows] == [("a.ckpt", 2), ("b.ckpt", 1)]


def test_two_grids_with_the_same_cells_are_told_apart_in_table_page_and_curves(tmp_path):
    grids = [grid_of(tmp_path / name, ["seed"], [{"seed": 0}]) for name in ("one", "two")]
    for grid, model in zip(grids, MODELS, strict=True):
        run(grid, 0, 10.0, model)
        text = "images_seen,loss/generator\n1000,1\n2000,2\n"
        (grid / "seed-0" / "metrics.csv").write_text(text)
    assert [row["model"] for row in table_of(*grids).rows] == ["dcgan", "progan"]
    publish(grids)
    page = (grids[0] / "merged.html").read_text()
    chart = page[page.index('<svg class="chart"') :]
    for label in ("one/seed-0", "two/seed-0"):
        assert label in chart[: chart.index("</svg>")]
        assert page.count(label) > 1  # among the cells too
    assert "<td>progan</td>" in page.replace(' class="text"', "")
