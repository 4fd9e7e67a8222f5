"""Curves of a grid by row: the mean over its seeds, and the band of its smallest and largest.

    python scripts/grid_curves.py outputs/multirun/few_images experiment \
        docs/images/few_images.png docs/results/few_images_curves.json overfitting augment/p

draws a panel a column of metrics.csv, a line a value of the swept key that is named second, and
writes the lines: `<column>.<row>.<kimg>.mean`, `.low` and `.high`. Cells that differ in another key
than the seed are refused.
"""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from docs_result import key

from ganlab.report import figures

Curve = dict[int, float]  # thousands of images -> value


def curve(cell: Path, column: str) -> Curve:
    """Of one training; nothing where it has no such column."""
    with (cell / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get(column)]
    return {round(float(row["images_seen"]) / 1000): float(row[column]) for row in rows}


def over_seeds(curves: list[Curve]) -> dict[int, dict[str, float]]:
    """Mean, smallest and largest where all have a value."""
    shared = sorted(set.intersection(*map(set, curves)))
    found = {at: [each[at] for each in curves] for at in shared}
    return {
        at: {"mean": float(np.mean(values)), "low": min(values), "high": max(values)}
        for at, values in found.items()
    }


def rows_of(grid: Path, axis: str) -> dict[str, list[Path]]:
    """Row -> its finished cells, one a seed."""
    facts = json.loads((grid / "grid.json").read_text())
    rows: dict[str, list[Path]] = {}
    others = set()
    for name, values in facts["cells"].items():
        others.add(tuple(values[each] for each in facts["axes"] if each not in (axis, "seed")))
        if (grid / name / "result.json").is_file():
            rows.setdefault(str(values[axis]).rpartition("/")[2], []).append(grid / name)
    if len(others) > 1:
        sys.exit(f"{grid}: its cells differ in more than {axis} and seed")
    return rows


def drawn(lines: dict[str, Any]) -> Any:
    """A panel a column."""
    with figures.house_style():
        figure, panels = figures.new_figure(3.6 * len(lines), 2.6, len(lines), len(lines))
        for panel, (column, rows) in zip(panels, lines.items(), strict=True):
            for color, (row, points) in zip(figures.PALETTE, rows.items(), strict=False):
                x = list(points)
                low, mean, high = ([points[at][of] for at in x] for of in ("low", "mean", "high"))
                panel.plot(x, mean, color=color, label=row)
                panel.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
            panel.set_xlabel("kimg")
            panel.set_title(column)
            if rows:
                panel.legend()
    return figure


def main() -> None:
    """Read, draw and write."""
    if len(sys.argv) < 6:
        sys.exit(__doc__)
    grid, axis, picture, numbers = Path(sys.argv[1]), sys.argv[2], *map(Path, sys.argv[3:5])
    rows = rows_of(grid, axis)
    lines = {
        column: {row: found for row, cells in rows.items() if (found := mean_of(cells, column))}
        for column in sys.argv[5:]
    }
    results = [
        json.loads((cell / "result.json").read_text()) for row in rows.values() for cell in row
    ]
    facts = {
        "command": json.loads((grid / "grid.json").read_text())["command"],
        "commit": ", ".join(sorted({str(each["commit"]) for each in results})),
        "n": {row: len(cells) for row, cells in rows.items()},
        "seed": sorted({each["seed"] for each in results}),
    }
    caption = f"{', '.join(lines)}: mean over seeds, and the smallest and largest"
    picture.write_bytes(figures.png(drawn(lines), caption))
    named = {
        key(column): {key(row): found for row, found in of.items()} for column, of in lines.items()
    }
    numbers.write_text(json.dumps(facts | named, indent=1) + "\n")


def mean_of(cells: list[Path], column: str) -> dict[int, dict[str, float]]:
    """The line of a row; nothing where a cell has no such column."""
    curves = [curve(cell, column) for cell in cells]
    return over_seeds(curves) if all(curves) else {}


if __name__ == "__main__":
    main()
