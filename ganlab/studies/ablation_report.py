"""An ablation grid as Table 1, as a list of cells, and as pictures before and after."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ganlab.report import images
from ganlab.report.atomic import replace_file
from ganlab.report.tables import Table
from ganlab.studies.ablation_grid import Outcome
from ganlab.studies.scores import better, direction

NONE = "None"  # Table 1's column of the unablated score
SILENCED = "silenced"  # what is tabulated where nothing is scored


def grid_table(
    outcomes: Sequence[Outcome],
    baseline: Mapping[str, float],  # scores without ablation; empty = nothing was scored
    monitor: str | None,  # the metric shown; None = the share silenced
    notes: Sequence[str] = (),
) -> Table:
    """Table 1: one row an ablation, one column a layer set, the best of each column marked."""
    columns = list(dict.fromkeys(outcome.column for outcome in outcomes))
    rows: dict[str, dict[str, Any]] = {}
    for outcome in outcomes:
        row = rows.setdefault(outcome.ablation.label, {"ablation": outcome.ablation.label})
        row[outcome.column] = outcome.silenced if monitor is None else outcome.values[monitor]
    if monitor is None:
        caption = "Share of activated neurons silenced, by ablation and layers"
        return Table(["ablation", *columns], list(rows.values()), caption=caption, notes=[*notes])
    for row in rows.values():
        row[NONE] = baseline[monitor]
    return Table(
        ["ablation", NONE, *columns],
        list(rows.values()),
        best=dict.fromkeys(columns, direction(monitor)),
        caption=f"{monitor} by ablation and ablated layers",
        notes=[best_overall(outcomes, baseline, monitor), *notes],
    )


def best_overall(outcomes: Sequence[Outcome], baseline: Mapping[str, float], monitor: str) -> str:
    """One line that names the best cell beside the score without ablation."""
    winner: Outcome | None = None
    for outcome in outcomes:
        best = None if winner is None else winner.values[monitor]
        if better(monitor, outcome.values[monitor], best):
            winner = outcome
    if winner is None:
        return f"no cell has a finite {monitor}"
    beaten = better(monitor, winner.values[monitor], baseline[monitor])
    return (
        f"best overall: {winner.ablation.label} on {winner.column}, {monitor} "
        f"{winner.values[monitor]:.4g}; {'without' if beaten else 'not better than without'} "
        f"ablation: {baseline[monitor]:.4g}"
    )


def cell_table(
    outcomes: Sequence[Outcome],
    baseline: Mapping[str, float],
    monitor: str | None,  # whose best cell is marked
    notes: Sequence[str] = (),
) -> Table:
    """One row a cell: what was ablated, how much of it, and every score."""
    first = {"ablation": NONE, SILENCED: 0.0, **baseline}
    rows = [first] + [
        {
            "ablation": outcome.ablation.label,
            "layers": outcome.column,
            "chosen": outcome.chosen,
            SILENCED: outcome.silenced,
            **outcome.values,
        }
        for outcome in outcomes
    ]
    columns = ["ablation", "layers", "chosen", SILENCED, *baseline]
    best = {} if monitor is None else {monitor: direction(monitor)}
    chosen = "chosen: share of the layers' neurons that the rate selects"
    return Table(columns, rows, best, "Every cell of the ablation grid", [*notes, chosen])


def save_before_after(
    pictures: Mapping[str, Tensor],  # row label -> (N, C, H, W) in [-1, 1], the same latents
    indices: Sequence[int],  # addresses of those latents
    layers: Sequence[str],
    path: Path,
) -> Path:
    """One captioned row a state, one column a latent; the stored pixels go beside it as .npz."""
    rows = [(label, batch.cpu()) for label, batch in pictures.items()]
    pixels = {label: images.to_uint8(batch).numpy() for label, batch in rows}
    numbers: dict[str, Any] = {"indices": np.asarray(indices), **pixels}
    archive = io.BytesIO()
    np.savez_compressed(archive, **numbers)
    replace_file(path.with_suffix(".npz"), archive.getvalue())
    caption = f"Ablation of {', '.join(layers)} on the same latents"
    return images.save_png(images.labelled_grid(rows), path, {"Description": caption})
