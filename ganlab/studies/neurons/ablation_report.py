"""An ablation grid as tables: Table 1, every cell, repair or replacement, and the paper's own."""

from collections.abc import Mapping, Sequence

from ganlab.metrics.repair import Repair
from ganlab.report.directions import UNSAID, Ways, way_of
from ganlab.report.tables import Table
from ganlab.scoring.directions import better, marks
from ganlab.studies.neurons.ablation import Ablation, Outcome

NONE = "None"  # Table 1's column of the unablated score
SILENCED = "silenced"  # what is tabulated where nothing is scored
REPAIR = ["ablation", "layers", SILENCED, "distance", "spread", "spread kept", "recognized"]


def grid_table(
    outcomes: Sequence[Outcome],
    baseline: Mapping[str, float],  # scores without ablation; empty = nothing was scored
    monitor: str | None,  # the metric shown; None = the share silenced
    notes: Sequence[str] = (),
    ways: Ways = UNSAID,  # in which the scores improve
) -> Table:
    """Table 1: one row an ablation, one column a layer set, the best of each column marked."""
    columns = list(dict.fromkeys(outcome.column for outcome in outcomes))
    rows: dict[str, dict[str, object]] = {}
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
        best=marks(columns, monitor, ways),
        caption=f"{monitor} by ablation and ablated layers",
        notes=[best_overall(outcomes, baseline, monitor, ways), *notes],
    )


def best_overall(
    outcomes: Sequence[Outcome],
    baseline: Mapping[str, float],
    monitor: str,
    ways: Ways = UNSAID,  # in which the scores improve
) -> str:
    """One line that names the best cell beside the score without ablation."""
    if way_of(monitor, ways) is None:
        return f"of {monitor} neither less nor more is better: no cell is the best"
    winner: Outcome | None = None
    for outcome in outcomes:
        best = None if winner is None else winner.values[monitor]
        if better(monitor, outcome.values[monitor], best, ways):
            winner = outcome
    if winner is None:
        return f"no cell has a finite {monitor}"
    beaten = better(monitor, winner.values[monitor], baseline[monitor], ways)
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
    ways: Ways = UNSAID,  # in which the scores improve
) -> Table:
    """One row a cell: what was ablated, how much of it, and every score."""
    columns = ["ablation", "layers", "chosen", SILENCED]
    rows: list[dict[str, object]] = [{"ablation": NONE, SILENCED: 0.0, **baseline}]
    for each in outcomes:
        cells = (each.ablation.label, each.column, each.chosen, each.silenced)
        rows.append({**dict(zip(columns, cells, strict=True)), **each.values})
    best = marks([str(monitor)], monitor, ways)
    chosen = "chosen: share of the layers' neurons that the rate selects"
    caption = "Every cell of the ablation grid"
    return Table([*columns, *baseline], rows, best, caption, [*notes, chosen])


def selection_notes(outcomes: Sequence[Outcome]) -> list[str]:
    """Which cells are no test of anything: those whose rate selects no neuron, or every one."""
    notes = []
    shares = {0.0: "no neuron, so images are as without ablation", 1.0: "every neuron"}
    for share, what in shares.items():
        cells = [f"{e.ablation.label} on {e.column}" for e in outcomes if e.chosen == share]
        if cells:
            notes.append(f"selects {what}: {'; '.join(cells)}")
    return notes


def repair_table(outcomes: Sequence[Outcome], notes: Sequence[str] = ()) -> Table:
    """Repaired or replaced: how far the images went, and how much of their variety is left."""
    measured = [(each, each.repair) for each in outcomes if each.repair is not None]
    if not measured:
        return Table(REPAIR, [], caption="Nothing was measured", notes=[*notes])
    found = measured[0][1]
    plain = Repair(0.0, found.spread_before, found.spread_before, 1.0)
    cells: list[tuple[object, ...]] = [(NONE, None, 0.0, *repair_cells(plain))]
    for each, repair in measured:
        cells.append((each.ablation.label, each.column, each.silenced, *repair_cells(repair)))
    caption = "Repair or replacement: images with neurons ablated beside the same images without"
    return Table.of(REPAIR, cells, caption, [*repair_notes(found), *notes])


def repair_cells(found: Repair) -> tuple[float, float, float, float]:
    """The last cells of a row of the repair table."""
    return found.distance, found.spread, found.spread_kept, found.recognized


def repair_notes(found: Repair) -> list[str]:
    """How to read the table."""
    return [
        "distance: mean distance in feature space of an image to itself unablated; two unablated "
        f"images are {found.apart:.4g} apart (root mean square)",
        "spread: root mean square distance of the images to their mean; spread kept: per spread "
        "without ablation, near 0 where every image became the same one",
        "recognized: share of images whose nearest unablated image is their own",
    ]


# Choi et al. 2022, Table 1: FID of 1.3K artifact images against 10K reals, StyleGAN2 on FFHQ.
PAPER_SETS = ((0,), (1,), (3,), (0, 1), (0, 1, 3), (0, 1, 3, 5))  # positions of layers
PAPER_NONE = 48.9
PAPER_ROWS: dict[Ablation, tuple[float, ...]] = {
    Ablation("low", 0.7): (240.8, 241.2, 259.0, 233.3, 277.7, 342.5),
    Ablation("low", 0.5): (36.3, 31.6, 33.4, 30.9, 38.5, 56.7),
    Ablation("low", 0.3): (44.9, 37.0, 31.9, 35.6, 29.6, 39.2),
    Ablation("low", 0.1): (48.7, 46.9, 41.5, 46.8, 40.3, 38.3),
    Ablation("high", 0.7): (74.1, 124.1, 118.6, 147.2, 155.1, 163.0),
    Ablation("random", share=0.3): (43.5, 44.5, 55.4, 52.4, 178.0, 226.7),
}


def paper_table(
    outcomes: Sequence[Outcome],
    baseline: Mapping[str, float],
    monitor: str | None,
    names: Sequence[str],  # of the generator's layers
) -> Table:
    """The printed Table 1, under each of its rows what was found here."""
    sets = [tuple(names[i] for i in positions if i < len(names)) for positions in PAPER_SETS]
    ours = {(each.ablation, each.layers): each.values.get(monitor or "") for each in outcomes}
    rows: list[tuple[object, ...]] = []
    for ablation, printed in PAPER_ROWS.items():
        here = [ours.get((ablation, layers)) for layers in sets]
        rows.append((ablation.label, "paper", PAPER_NONE, *printed))
        rows.append((ablation.label, "here", baseline.get(monitor or ""), *here))
    columns = ["ablation", "of", NONE, *(", ".join(map(str, each)) for each in PAPER_SETS)]
    caption = "Choi et al. 2022, Table 1 (StyleGAN2, FFHQ at 1024 px, Inception FID), and here"
    return Table.of(columns, rows, caption, PAPER_NOTES)


PAPER_NOTES = [
    "the paper's text fixes LR R = 0.3, that the fifth row is HR, and the scores; the other rates, "
    "the R of the HR row and that the 1.3K images are those with most LR neurons are inferred",
    "columns are positions of layers: 4x4, 8x8, 16x16, 32x32",
]
