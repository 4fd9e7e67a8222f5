import math

import torch

from ganlab.metrics.activation_rate import quantile_rate
from ganlab.studies.neurons.ablation import Ablation, Outcome, ablation_rows
from ganlab.studies.neurons.ablation_report import (
    PAPER_ROWS,
    cell_table,
    grid_table,
    paper_table,
    selection_notes,
)

LOW, HIGH, RANDOM = Ablation("low", 0.3), Ablation("high", 0.3), Ablation("random", share=0.3)


def labels(*options, **more):
    return [row.label for row in ablation_rows(*options, **more)]


def test_rows_are_in_the_order_of_table_1():
    kinds = ["random", "high", "low"]
    printed = ["LR R = 0.7", "LR R = 0.5", "LR R = 0.3", "LR R = 0.1", "HR R = 0.7", "random 30%"]
    assert labels(kinds, None, 0.3) == printed == [row.label for row in PAPER_ROWS]
    given = ["LR R = 0.5", "LR R = 0.3", "HR R = 0.5", "HR R = 0.3", "random 25%"]
    assert labels(kinds, [0.5, 0.3, 0.5], 0.25) == given
    assert labels(["low", "high"], [0.3], 0.3, [0.2], [0.9]) == [
        "LR R = 0.3", "LR q = 0.2", "HR R = 0.9", "HR q = 0.2"
    ]  # fmt: skip
    assert labels(["low"], [], 0.3, [0.2]) == ["LR q = 0.2"]


def test_a_quantile_is_the_smallest_rate_with_that_share_at_or_below():
    rates = torch.tensor([0.0, 0.0, 0.5, 0.2, 0.9])
    for quantile, expected in ((0, -1), (0.2, 0), (0.4, 0), (0.41, 0.2), (0.8, 0.5), (1, 0.9)):
        assert quantile_rate(rates, quantile) == torch.tensor(float(expected))
    assert quantile_rate(rates, 0.3, include_dead=False) == torch.tensor(0.2)
    assert quantile_rate(torch.zeros(3), 0.5, include_dead=False) == -1


def outcome(ablation, layers, value):
    return Outcome(ablation, layers, {"fid10k": value}, 0.5, 0.25)


def test_best_is_marked_per_column_and_overall():
    cells = [
        outcome(LOW, ("a",), 30.0),
        outcome(LOW, ("a", "b"), 28.0),
        outcome(HIGH, ("a",), 25.0),
        outcome(HIGH, ("a", "b"), math.nan),
    ]
    text = grid_table(cells, {"fid10k": 40.0}, "fid10k").markdown()
    assert text.count("**") == 4
    assert "**25.00**" in text
    assert "**28.00**" in text
    assert "best overall: HR R = 0.3 on a, fid10k 25; without ablation: 40" in text
    worse = grid_table(cells, {"fid10k": 20.0}, "fid10k").markdown()
    assert "fid10k 25; not better than without ablation: 20" in worse


def test_a_score_goes_by_the_way_that_its_class_declares():
    cells = [outcome(LOW, ("a",), 30.0), outcome(HIGH, ("a",), 25.0)]
    for each in cells:
        each.values["sharpness9"] = each.values.pop("fid10k")
    plain, name = {"sharpness9": 26.0}, "sharpness9"
    table = grid_table(cells, plain, name, ways={name: "max"})
    assert table.best == {"a": "max"}
    assert table.notes[0].startswith("best overall: LR R = 0.3 on a, sharpness9 30; without")
    assert cell_table(cells, plain, name, ways={name: "max"}).best == {name: "max"}
    neither = grid_table(cells, plain, name, ways={name: "neither"})
    assert neither.best == cell_table(cells, plain, name, ways={name: "neither"}).best == {}
    assert neither.notes[0] == "of sharpness9 neither less nor more is better: no cell is the best"


def test_the_paper_stands_beside_what_was_found():
    names = ["a", "b", "c", "d"]
    cell = Outcome(Ablation("low", 0.3), ("a", "b", "d"), {"fid10k": 20.0})
    table = paper_table([cell], {"fid10k": 40.0}, "fid10k", names)
    printed, here = table.rows[4:6]
    assert (printed["ablation"], printed["of"]) == ("LR R = 0.3", "paper")
    assert (printed["None"], printed["0, 1, 3"]) == (48.9, 29.6)  # as the text states
    assert (here["None"], here["0, 1, 3"], here["0, 1"]) == (40.0, 20.0, None)


def test_what_a_rate_selects_none_or_all_of_is_said():
    cells = [Outcome(LOW, ("a",), chosen=0.0), Outcome(HIGH, ("a",), chosen=1.0)]
    first, second = selection_notes(cells)
    assert first.endswith("as without ablation: LR R = 0.3 on a")
    assert second.endswith("every neuron: HR R = 0.3 on a")
    assert selection_notes([Outcome(LOW, ("a",), chosen=0.5), Outcome(RANDOM, ("a",))]) == []
