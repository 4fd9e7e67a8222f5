"""Condense a run, or a grid, into one file that the docs can link to: results and tables.

    python scripts/docs_result.py outputs/faces/sequential_ablation docs/results/faces_ablation.json
    python scripts/docs_result.py outputs/multirun/norms docs/results/norms.json

Kept are command, commit, seed, versions and scores, of a grid those of each cell but those of
interventions, which its tables have, the options that say of how many its numbers are (`n`), and
every table as `tables.<file>.<row>.<column>`: names are lower case, and whatever is no letter or
digit is `_`, so that row `LR R = 0.3` of column `4x4/0, 8x8/0` in table.csv is
`tables.table.lr_r_0_3.4x4_0_8x8_0`. Rows that share their first cell are told apart by their
second: `lr_r_0_3__4x4_0`.
"""

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

DROPPED = ("config", "exit_code", "overrides")  # long, or said by the command already


def key(name: str) -> str:
    """`LR R = 0.3` -> `lr_r_0_3`."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def number(text: str) -> float | str | None:
    """A cell as a number where it is one; None where it is empty."""
    try:
        return float(text)
    except ValueError:
        return text or None


def table(path: Path) -> dict[str, dict[str, Any]]:
    """Row -> column -> value of one csv."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    first, *others = list(rows[0])
    alone = len({row[first] for row in rows}) == len(rows)
    found = {}
    for row in rows:
        name = key(row[first]) if alone else f"{key(row[first])}__{key(row[others[0]] or '')}"
        found[name] = {key(column): number(value) for column, value in row.items()}
        if len(found[name]) < len(row):
            raise ValueError(f"{path}: two of the columns {', '.join(row)} have one key")
    if len(found) < len(rows):
        raise ValueError(f"{path}: two rows have one key")
    return found


def counts(options: dict[str, Any]) -> dict[str, int]:
    """The options of a study that say of how many, and how many latents it names."""
    latents = options.get("latents")
    named = isinstance(latents, str) and ":" not in latents  # so that none are drawn
    unused = {"num_shown", *(["num_samples"] if named else [])}
    found = {
        name: value
        for name, value in options.items()
        if (name == "moments" or name.startswith("num")) and type(value) is int
        if name not in unused
    }
    if isinstance(latents, list):
        found["latents"] = len(latents)
    elif ends := re.fullmatch(r"(\d+):(\d+)", str(latents)):
        found["latents"] = int(ends[2]) - int(ends[1])
    return found


def condensed(run: Path) -> dict[str, Any]:
    """What is kept of a run directory."""
    result: dict[str, Any] = json.loads((run / "result.json").read_text())
    kept = {name: value for name, value in result.items() if name not in DROPPED}
    kept["n"] = counts(result.get("config", {}).get("study") or {})
    kept["tables"] = {key(path.stem): table(path) for path in sorted(run.glob("*.csv"))}
    return kept


def condensed_grid(grid: Path) -> dict[str, Any]:
    """What is kept of a grid's directory; its commits and seeds are those of its finished cells."""
    facts = json.loads((grid / "grid.json").read_text())
    paths = {name: grid / name / "result.json" for name in facts["cells"]}
    cells = {name: condensed(path.parent) for name, path in paths.items() if path.is_file()}
    for cell in cells.values():
        cell["scores"] = [each for each in cell["scores"] if not each.get("intervention")]
    kept = ("status", "command", "commit", "seed", "images_seen", "seconds", "scores")
    return {
        "command": facts["command"],
        "commit": ", ".join(sorted({str(cell["commit"]) for cell in cells.values()})),
        "seed": sorted({cell["seed"] for cell in cells.values()}),
        "cells": {
            key(name): {each: cell.get(each) for each in kept} for name, cell in cells.items()
        },
        "tables": {key(path.stem): table(path) for path in sorted(grid.glob("*.csv"))},
    }


def main() -> None:
    """Condense the run or grid named first into the file named second."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source = Path(sys.argv[1])
    kept = condensed_grid(source) if (source / "grid.json").is_file() else condensed(source)
    Path(sys.argv[2]).write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
