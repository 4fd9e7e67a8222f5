import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def kept(tmp_path):
    result = {"command": "python x.py", "commit": "abc", "seed": 0, "config": {"a": 1}}
    (tmp_path / "result.json").write_text(json.dumps(result))
    (tmp_path / "table.csv").write_text('ablation,"4x4/0, 8x8/0"\nLR R = 0.3,29.61\nnone,\n')
    (tmp_path / "cells.csv").write_text("ablation,layers,fid\nLR,4x4/0,1.5\nLR,8x8/0,2.5\n")
    return script("docs_result").condensed(tmp_path)


def test_tables_are_kept_under_linkable_keys(kept):
    assert kept["tables"]["table"]["lr_r_0_3"]["4x4_0_8x8_0"] == 29.61
    assert kept["tables"]["table"]["none"]["4x4_0_8x8_0"] is None
    assert kept["tables"]["cells"]["lr__8x8_0"]["fid"] == 2.5
    assert "config" not in kept


def test_the_docs_can_link_to_them(kept, tmp_path):
    (tmp_path / "kept.json").write_text(json.dumps(kept))
    page = tmp_path / "page.md"
    page.write_text("[29.6](kept.json#tables.table.lr_r_0_3.4x4_0_8x8_0)")
    assert script("docs_check").problems([page]) == []
    page.write_text("[29.7](kept.json#tables.table.lr_r_0_3.4x4_0_8x8_0)")
    assert len(script("docs_check").problems([page])) == 1


def test_of_a_grid_every_cell_and_the_table_are_kept(tmp_path):
    cells = {"norm-in+seed-0": {"seed": 0}, "norm-in+seed-1": {"seed": 1}, "norm-pn+seed-0": {}}
    (tmp_path / "grid.json").write_text(json.dumps({"command": "python x.py", "cells": cells}))
    for seed in (0, 1):  # the third never ran
        (tmp_path / f"norm-in+seed-{seed}").mkdir()
        result = {"command": f"python x.py seed={seed}", "commit": "abc", "seed": seed}
        result |= {"scores": [{"metric": "fid", "value": 4.0}], "config": {}}
        (tmp_path / f"norm-in+seed-{seed}/result.json").write_text(json.dumps(result))
    (tmp_path / "table.csv").write_text("norm,fid,fid std,n\nin,4.0,0.0,2\n")
    kept = script("docs_result").condensed_grid(tmp_path)
    assert (kept["command"], kept["commit"], kept["seed"]) == ("python x.py", "abc", [0, 1])
    assert list(kept["cells"]) == ["norm_in_seed_0", "norm_in_seed_1"]
    assert kept["cells"]["norm_in_seed_1"]["scores"][0]["value"] == 4.0
    assert kept["tables"]["table"]["in"] == {"norm": "in", "fid": 4.0, "fid_std": 0.0, "n": 2.0}


def test_scores_of_interventions_and_counts_are_kept(tmp_path):
    scores = [
        {"metric": "fid", "value": 4.0, "n_fake": 1000},
        {"metric": "fid", "value": 3.0, "n_fake": 1300, "intervention": "LR R = 0.3"},
    ]
    study = {"num_latents": 4000, "num_shown": 12, "num_samples": 9, "latents": "0:128", "k": 3}
    result = {"command": "python x.py", "commit": "abc", "seed": 0, "scores": scores}
    (tmp_path / "result.json").write_text(json.dumps({**result, "config": {"study": study}}))
    kept = script("docs_result").condensed(tmp_path)
    assert kept["scores"] == scores
    assert kept["n"] == {"num_latents": 4000, "num_samples": 9, "latents": 128}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"moments": 7, "latents": [3, 17]}, {"moments": 7, "latents": 2}),
        ({"num_samples": 9, "num": 2, "latents": "outputs/detection"}, {"num": 2}),
        ({"num": None, "num_real": 2.5, "latents": None}, {}),
    ],
)
def test_options_that_say_of_how_many(options, expected):
    assert script("docs_result").counts(options) == expected
