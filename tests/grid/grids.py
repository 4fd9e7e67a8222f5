"""Grids on disk, made by hand: what a table, a plan or a page is read from."""

import json

from ganlab.grid import cell as cells
from ganlab.grid.cell import Cell
from ganlab.grid.naming import cell_name
from ganlab.report.results import write_result

STAMP = {
    "n_real": 1000,
    "n_fake": 1000,
    "extractor": "classifier",
    "extractor_sha256": "a" * 64,
    "resize": "bilinear",
    "truncation": None,
    "ema": True,
    "seed": 0,
    "images_seen": 64,
}


def cell(grid, values, config=None, kind="train", choices=None, inputs=None):
    directory = grid / cell_name(values)
    directory.mkdir(parents=True, exist_ok=True)
    settings = {"run_dir": str(directory), "kimg": 0.064, "ckpt": None, "seed": 0, **(config or {})}
    words = [f"{key}={value}" for key, value in values.items()]
    return Cell(kind, grid.name, values, words, choices or {}, settings, inputs or {})


def ended(made, state="done", scores=None, error=None, images_seen=64, **stamp):
    """Write a cell as its process would have left it."""
    made.write()
    cells.write_attempt(made.directory, state=state, error=error)
    if state in ("done", "interrupted"):
        records = [
            {"metric": metric, "value": value, **STAMP, **stamp}
            for metric, value in (scores or {}).items()
        ]
        result = {"status": state, "images_seen": images_seen, "seconds": 12.5, "scores": records}
        write_result(made.directory, {**result, "config": made.config})
    return made


def grid_of(path, axes, values, **table):
    """`grid.json` of a grid with these cells."""
    path.mkdir(parents=True, exist_ok=True)
    named = {cell_name(each): each for each in values}
    facts = {"name": path.name, "kind": "train", "command": "python train.py -m", "axes": axes}
    (path / "grid.json").write_text(json.dumps({**facts, "cells": named, "table": table}))
    return path
