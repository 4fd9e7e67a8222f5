"""Curves of a grid by row."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import grid_curves

CURVES = {  # row, seed -> (images seen, value) of each line
    ("none", 0): [(5024, 0.1), (10016, 0.2)],
    ("none", 1): [(5024, 0.3), (10016, 0.6), (15008, 9.0)],
    ("ada", 0): [(5024, 0.0), (10016, 0.0)],
}


def grid(place, size=500):
    cells = {}
    for number, ((row, seed), points) in enumerate(CURVES.items()):
        cell = place / f"cell-{number}"
        cell.mkdir(parents=True)
        lines = [f"{at},{value},{number if row == 'ada' else ''}" for at, value in points]
        text = "\n".join(["images_seen,overfitting,augment/p", *lines, "20000,,"])
        (cell / "metrics.csv").write_text(text + "\n")
        (cell / "result.json").write_text(json.dumps({"commit": "abc", "seed": seed}))
        cells[cell.name] = {
            "experiment": f"few/{row}",
            "num": size if number else 500,
            "seed": seed,
        }
    facts = {"command": "train", "axes": ["experiment", "num", "seed"], "cells": cells}
    (place / "grid.json").write_text(json.dumps(facts))
    return place


def test_a_line_is_the_mean_of_the_seeds_where_all_have_a_value(tmp_path, monkeypatch):
    picture, numbers = tmp_path / "x.png", tmp_path / "x.json"
    words = [str(grid(tmp_path / "grid")), "experiment", str(picture), str(numbers)]
    monkeypatch.setattr(sys, "argv", ["grid_curves.py", *words, "overfitting", "augment/p"])
    grid_curves.main()
    found = json.loads(numbers.read_text())
    assert found["overfitting"]["none"] == {
        "5": {"mean": pytest.approx(0.2), "low": 0.1, "high": 0.3},
        "10": {"mean": pytest.approx(0.4), "low": 0.2, "high": 0.6},
    }
    assert list(found["augment_p"]) == ["ada"]
    assert (found["command"], found["commit"], found["seed"]) == ("train", "abc", [0, 1])
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_cells_that_differ_in_more_than_row_and_seed_are_refused(tmp_path):
    with pytest.raises(SystemExit, match="differ in more than experiment and seed"):
        grid_curves.rows_of(grid(tmp_path, size=100), "experiment")
