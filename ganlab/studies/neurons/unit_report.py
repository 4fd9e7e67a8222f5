"""Unit ablation as a table and as a curve."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from ganlab.report import figures
from ganlab.report.drawings import Drawing
from ganlab.report.tables import Table
from ganlab.studies.directions import direction
from ganlab.studies.neurons.ablation_report import SILENCED, repair_notes
from ganlab.studies.neurons.repair import Repair

NAMED = 12  # units of a step that the table names


@dataclass(frozen=True)
class Step:
    """The score with the first `num` units of the ranking switched off."""

    num: int
    values: Mapping[str, float] = field(default_factory=dict)  # metric -> score
    silenced: float = 0.0  # share of the layer's activated neurons that were set to zero
    repair: Repair | None = None  # against the same images with all units


def step_table(
    steps: Sequence[Step],
    order: Sequence[int],  # units, the first to go first
    monitor: str | None,  # whose best step is marked
    title: str,
    notes: Sequence[str] = (),
) -> Table:
    """One row a step: how many units, which came last, every score, what the images became."""
    rows = [step_row(step, order, steps[i - 1].num if i else 0) for i, step in enumerate(steps)]
    best = {} if monitor is None else {monitor: direction(monitor)}
    found = steps[-1].repair
    said = [*(repair_notes(found) if found else []), *notes]
    return Table(list(rows[-1]), rows, best, title, said)


def step_row(step: Step, order: Sequence[int], previous: int) -> dict[str, Any]:
    """One row of the table."""
    added = [str(unit) for unit in order[previous : step.num]]
    text = ", ".join(added[:NAMED]) + (", ..." if len(added) > NAMED else "")
    row = {"units": step.num, "added": text, SILENCED: step.silenced, **step.values}
    if step.repair is not None:
        row |= {
            "distance": step.repair.distance,
            "spread kept": step.repair.spread_kept,
            "recognized": step.repair.recognized,
        }
    return row


def draw_steps(
    steps: Sequence[Step],
    order: Sequence[int],
    unit_values: Tensor | None,  # (C,) what units were ranked by
    monitor: str | None,  # None = the spread kept, or what is silenced, is drawn
    title: str,
) -> Drawing:
    """The monitored score over the number of units switched off.

    The numbers are those of every step, the order of the units, and what they were ranked by.
    """
    name, heights = monitor or SILENCED, [step.silenced for step in steps]
    if monitor is not None:
        heights = [step.values[monitor] for step in steps]
    elif steps[-1].repair is not None:
        name = "spread kept"
        heights = [step.repair.spread_kept if step.repair else float("nan") for step in steps]
    units = np.array([step.num for step in steps])
    figure, _ = figures.curves(
        {name: (units, heights)}, xlabel="units switched off", ylabel=name, title=title, log=False
    )
    numbers: figures.Numbers = {"units": units, name: np.array(heights), "order": np.array(order)}
    numbers[SILENCED] = np.array([step.silenced for step in steps])
    if unit_values is not None:
        numbers["unit_values"] = unit_values.numpy()
    return Drawing(figure, numbers, title)
