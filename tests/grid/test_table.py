"""Tables of grids from files alone: means, marks, gaps, the paper's numbers, several grids."""

import csv
import io
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from grids import cell, ended, grid_of

from ganlab.grid.cell import GridError
from ganlab.grid.human_eval import are_judgements
from ganlab.grid.page import publish
from ganlab.grid.records import collect, scores_of
from ganlab.grid.table import Choice, grid_table
from ganlab.processes import place
from ganlab.report.parts import write_parts
from ganlab.report.results import read_result, write_result

ROOT = Path(__file__).parents[2]
NORMS, SEEDS = ("in", "pn", "pin"), (0, 1, 2)
FID = {("in", 0): 12.5, ("in", 1): 11.0, ("in", 2): 13.25, ("pn", 0): 20.0, ("pn", 1): 22.0}


@pytest.fixture
def norms(tmp_path):
    """Three norms by three seeds: all of `in`, two of `pn` and a failure, nothing of `pin`."""
    every = [{"model/norm": n, "seed": s} for n in NORMS for s in SEEDS]
    grid = grid_of(tmp_path / "norms", ["model/norm", "seed"], every)
    for (norm, seed), value in FID.items():
        ended(cell(grid, {"model/norm": norm, "seed": seed}), scores={"fid1k": value, "pr1k": 0.5})
    ended(cell(grid, {"model/norm": "pn", "seed": 2}), "failed", error="RuntimeError: out of luck")
    ended(cell(grid, {"model/norm": "pin", "seed": 0}), "killed", error="ended by SIGKILL")
    return grid


def test_seeds_become_mean_and_standard_deviation(norms):
    table = grid_table(collect([norms]), Choice())
    assert [c for c in table.columns if "first row" not in c] == ["norm", "fid1k", "pr1k", "n"]
    instance, pixel, both = table.rows
    values = [FID["in", seed] for seed in SEEDS]
    assert instance["fid1k"] == pytest.approx(sum(values) / 3)
    assert instance["fid1k"].spread == pytest.approx(statistics.stdev(values))
    assert [row["n"] for row in table.rows] == [3, 2, 0]
    assert pixel["fid1k"].spread == pytest.approx(2**0.5)
    assert both["fid1k"] is None
    assert f"{sum(values) / 3:.2f} ± {statistics.stdev(values):.2f}" in table.markdown()


def seeded(directory, values):
    """A grid of two norms with these scores, a list of as many seeds of each."""
    every = [{"model/norm": norm, "seed": s} for norm in values for s in range(len(values[norm]))]
    grid = grid_of(directory, ["model/norm", "seed"], every)
    for norm, scores in values.items():
        for seed, value in enumerate(scores):
            each = {"fid1k": value, "pr1k": 1 / value}
            ended(cell(grid, {"model/norm": norm, "seed": seed}), scores=each)
    return grid


@pytest.mark.parametrize("seeds", [4, 5])
def test_the_best_of_five_seeds_is_bold_by_the_metrics_own_direction(tmp_path, seeds):
    values = {"in": [12.0, 13.0, 14.0, 12.5, 13.5][:seeds], "pn": [20.0, 22.0, 21.0, 23.0, 20.5]}
    table = grid_table(collect([seeded(tmp_path / "grid", values)]), Choice())
    bold = [[c.text for c in row if c.bold] for row in table.shown().cells]
    assert table.best == ({} if seeds == 4 else {"fid1k": "min", "pr1k": "max"})
    assert [len(row) for row in bold] == ([0, 0] if seeds == 4 else [2, 0])
    spread = grid_table(collect([tmp_path / "grid"]), Choice(columns=["model/norm"]))
    assert not spread.best or seeds == 5


def test_rows_are_compared_with_the_first_over_the_seeds_of_both(norms):
    """Pairs of seeds 0 and 1: 7.5 and 11, by Student's table with one degree of freedom."""
    table = grid_table(collect([norms]), Choice())
    base, pixel, both = (row["fid1k - first row"] for row in table.rows)
    assert base is both is None
    assert pixel == pytest.approx(9.25)
    half = 12.7062 * statistics.stdev([7.5, 11.0]) / 2**0.5
    assert (pixel.low, pixel.high) == pytest.approx((9.25 - half, 9.25 + half), rel=1e-5)
    assert table.rows[1]["pr1k - first row"] == 0.0
    assert any("95% t interval" in note for note in table.notes)
    assert f"9.250 [{pixel.low:.3f}, {pixel.high:.3f}]" in table.markdown()
    publish([norms])
    row = list(csv.DictReader(io.StringIO((norms / "table.csv").read_text())))[1]
    found = [float(row[f"fid1k - first row{end}"]) for end in ("", " low", " high")]
    assert found == [pixel, pixel.low, pixel.high]


def test_a_seed_that_was_run_twice_counts_once(tmp_path):
    """As where a grid of one seed, which is then no axis, is extended by others."""
    ended(cell(tmp_path, {"model/norm": "in"}), scores={"fid1k": 9.0})
    for seed, value in enumerate([10.0, 12.0]):
        ended(cell(tmp_path, {"model/norm": "in", "seed": seed}), scores={"fid1k": value})
    table = grid_table(collect([tmp_path]), Choice(rows=["model/norm"]))
    assert [(row["fid1k"], row["fid1k"].spread, row["n"]) for row in table.rows] == [
        (11.0, pytest.approx(2**0.5), 2)
    ]
    note = "norm-in: run again with the same seed, and counted once, by the later run"
    assert note in table.notes


def test_a_common_offset_of_seeds_takes_nothing_from_a_difference(tmp_path):
    """What seeds share cancels in pairs, and would hide the rest from two separate means."""
    luck = [0.0, 5.0, -3.0, 9.0, 2.0]
    first = [20 + each for each in luck]
    second = [each + 0.5 + d for each, d in zip(first, (0.1, -0.1, 0.0, 0.1, -0.1), strict=True)]
    table = grid_table(collect([seeded(tmp_path / "grid", {"in": first, "pn": second})]), Choice())
    found = table.rows[1]["fid1k - first row"]
    assert 0 < found.low < found < found.high < 1
    assert found == pytest.approx(0.5)
    assert table.rows[0]["fid1k"].spread > 4


def test_what_was_measured_otherwise_or_once_is_no_pair(tmp_path):
    for norm, resize in (("in", "pil"), ("pn", "bilinear")):
        for seed in (0, 1):
            run = cell(tmp_path, {"model/norm": norm, "seed": seed})
            ended(run, scores={"fid1k": 3.0 + seed}, resize=resize)
    assert "fid1k - first row" not in grid_table(collect([tmp_path]), Choice()).columns
    once = seeded(tmp_path / "once", {"in": [1.0, 2.0], "pn": [3.0]})
    assert grid_table(collect([once]), Choice()).columns == ["norm", "fid1k", "pr1k", "n"]


def test_a_cell_that_diverged_keeps_its_scores_and_is_named(norms):
    done = cell(norms, {"model/norm": "in", "seed": 1}).directory
    found = {"loss": "loss/generator", "value": 2e18, "at_kimg": 0.5, "threshold": 65536}
    write_result(done, {**read_result(done), "diverged": found})
    table = grid_table(collect([norms]), Choice())
    said = "loss/generator was 2e+18 at 0.5 kimg, beyond 65536"
    assert f"norm-in+seed-1 done (diverged: {said})" in "\n".join(table.notes)
    assert table.rows[0]["n"] == 3
    publish([norms])
    assert said in (norms / "index.html").read_text()


def test_failed_killed_and_missing_cells_are_named_with_their_reasons(norms):
    notes = "\n".join(grid_table(collect([norms]), Choice()).notes)
    assert "norm-pn+seed-2 failed (RuntimeError: out of luck)" in notes
    assert "norm-pin+seed-0 killed (ended by SIGKILL)" in notes
    assert "norm-pin+seed-1, norm-pin+seed-2 missing" in notes
    assert "seed: 0, 1, 2" in notes
    assert "1000 generated against 1000 real images" in notes


def test_every_form_is_written_and_the_csv_keeps_every_digit(norms):
    said = publish([norms])
    assert "| in |" in said
    rows = list(csv.DictReader(io.StringIO((norms / "table.csv").read_text())))
    assert float(rows[0]["fid1k"]) == pytest.approx(12.25, abs=0)
    assert float(rows[0]["fid1k std"]) == statistics.stdev([12.5, 11.0, 13.25])
    assert rows[2]["fid1k"] == ""
    assert r"\toprule" in (norms / "table.tex").read_text()
    assert (norms / "table.md").read_text() in said
    assert (norms / "index.html").exists()


def test_unlike_protocols_are_marked_and_have_no_best(tmp_path):
    ended(cell(tmp_path, {"a": 1}), scores={"fid1k": 3.0})
    ended(cell(tmp_path, {"a": 2}), scores={"fid1k": 2.0}, resize="pil")
    table = grid_table(collect([tmp_path]), Choice())
    assert table.marks == {(0, "fid1k"): "a", (1, "fid1k"): "b"}
    assert "fid1k" not in table.best
    assert any("do not compare" in note for note in table.notes)


def test_unlike_protocols_are_not_spread_out(tmp_path):
    for a in (1, 2):
        for b in ("x", "y"):
            resize = "pil" if (a, b) == (2, "y") else "bilinear"
            ended(cell(tmp_path, {"a": a, "b": b}), scores={"fid1k": a}, resize=resize)
    table = grid_table(collect([tmp_path]), Choice(columns=["b"]))
    assert table.columns == ["a", "b", "fid1k"]
    assert table.marks[3, "fid1k"] == "b"


def test_one_score_can_be_spread_over_two_axes(tmp_path):
    for a in (1, 2):
        for b in ("x", "y"):
            for seed in (0, 1):
                values = {"a": a, "b": b, "seed": seed}
                ended(cell(tmp_path, values), scores={"fid1k": 10 * a + (b == "y") + 2 * seed})
    table = grid_table(collect([tmp_path]), Choice(columns=["b"]))
    assert table.columns == ["a", "x", "y"]
    assert [(row["x"], row["y"]) for row in table.rows] == [(11, 12), (21, 22)]
    assert table.rows[0]["x"].spread == pytest.approx(2**0.5)
    assert any("n = 2" in note for note in table.notes)


def test_what_differs_is_never_averaged_over(tmp_path):
    for a in (1, 2):
        ended(cell(tmp_path, {"a": a, "b": "x"}), scores={"fid1k": a})
    table = grid_table(collect([tmp_path]), Choice(rows=["b"]))
    assert table.columns == ["b", "a", "fid1k"]
    assert len(table.rows) == 2


def test_the_papers_numbers_stand_beside_ours(norms):
    paper = {
        "source": "a paper",
        "axes": ["model/norm"],
        "values": [{"model/norm": "in", "FID": 4.4}, {"model/norm": "switchable", "FID": 9.9}],
    }
    labels = {"model/norm": {"in": "instance"}}
    table = grid_table(collect([norms]), Choice(paper=paper, labels=labels, metrics=["fid"]))
    assert table.columns == ["norm", "fid1k", "fid1k - first row", "n", "FID (paper)"]
    assert [row["FID (paper)"] for row in table.rows] == [4.4, None, None]
    assert table.rows[0]["norm"] == "instance"
    assert "paper: a paper" in table.notes


def test_several_grids_merge_on_what_they_have_in_common(norms, tmp_path):
    other = grid_of(tmp_path / "more", ["seed"], [{"seed": 7}])
    choices = {"model/norm": "in"}
    ended(cell(other, {"seed": 7}, choices=choices), scores={"fid1k": 13.0, "pr1k": 0.5})
    table = grid_table(collect([norms, other]), Choice())
    assert table.rows[0]["norm"] == "in"
    assert table.rows[0]["n"] == 4
    assert table.rows[0]["fid1k"] == pytest.approx((12.5 + 11 + 13.25 + 13) / 4)
    publish([norms, other])
    assert (norms / "merged.md").exists()
    assert not (norms / "table.md").exists()


def test_interventions_of_a_study_are_rows_of_their_own():
    titles = [None, "LR R = 0.3 on 4x4/0, 8x8/0", "random 30% on 4x4/0"]
    result = {"scores": [{"metric": "fid", "value": 1.0, "intervention": t} for t in titles]}
    told = [(score["ablation"], score["layers"]) for score in scores_of(result)]
    assert told == [("none", "none"), ("LR R = 0.3", "4x4/0, 8x8/0"), ("random 30%", "4x4/0")]
    result = {"scores": [{"metric": "pr", "value": 1.0, "intervention": t} for t in (None, "top")]}
    assert [score["intervention"] for score in scores_of(result)] == ["none", "top"]


def test_cells_that_differ_in_seeds_alone_and_have_no_scores_are_told_by_their_names(tmp_path):
    ended(cell(tmp_path, {"seed": 0}))
    ended(cell(tmp_path, {"seed": 1}), "failed", error="out of luck")
    rows = grid_table(collect([tmp_path]), Choice()).rows
    assert rows == [{"cell": f"seed-{n}", "state": s} for n, s in ((0, "done"), (1, "failed"))]


def test_a_table_without_scores_says_where_to_look(tmp_path):
    for ckpt in ("a.pt", "b.pt"):
        ended(cell(tmp_path, {"ckpt": ckpt}))
    assert "its own report" in " ".join(grid_table(collect([tmp_path]), Choice()).notes)
    ended(cell(tmp_path / "failed", {}), "failed", error="out of luck")
    records = collect([tmp_path / "failed"])
    with pytest.raises(GridError, match="no cell has ablation; none has a score yet"):
        grid_table(records, Choice(rows=["ablation"]))


def test_unfinished_runs_give_no_numbers(tmp_path):
    ended(cell(tmp_path, {"a": 1}), "interrupted", scores={"fid1k": 1.0})
    ended(cell(tmp_path, {"a": 2}), scores={"fid1k": 2.0})
    first, second = grid_table(collect([tmp_path]), Choice()).rows
    assert (first["fid1k"], second["fid1k"]) == (None, 2.0)


def test_a_damaged_result_beside_others_is_one_row(tmp_path, norms):
    """And no file of a person's judgements that nobody can read."""
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "result.json").write_text("{")
    assert not are_judgements([tmp_path / "bad", norms])
    assert "is not valid JSON" in collect([tmp_path / "bad", norms])[0].why
    (norms / "grid.json").write_text("{")
    assert not are_judgements([norms])


@pytest.mark.parametrize("result", [None, {"status": "done", "images_seen": 64}])
def test_a_killed_run_is_told_from_its_parts_whatever_result_is_there(tmp_path, norms, result):
    gone = subprocess.Popen(["true"])
    gone.wait()
    process = {"pid": gone.pid, "place": place()}
    part = {"began": "", "status": "running", "images_from": 0, "images_to": 8, "seconds": 1.0}
    write_parts(tmp_path / "run", [part | {"process": process}])
    if result is not None:
        write_result(tmp_path / "run", result | {"scores": [{"metric": "fid", "value": 1.0}]})
    (record,) = collect([tmp_path / "run"])
    assert (record.state, record.scores) == ("killed" if place() else "running", [])
    assert len(collect([tmp_path, norms])) == 1 + 9, "others keep their rows beside it"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"rows": "colour"}, "no cell has colour"),
        ({"metrics": "ppl"}, "no score is called ppl; there are fid1k, pr1k"),
        ({"sort": "fid"}, "not sort="),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_ones(norms, words, complaint):
    with pytest.raises(GridError, match=complaint):
        grid_table(collect([norms]), Choice.from_words(words))


def test_an_axis_goes_by_its_title_too(norms):
    table = grid_table(collect([norms]), Choice.from_words({"rows": "norm,seed"}))
    assert table.columns[:2] == ["norm", "seed"]
    assert len(table.rows) == 9


def test_the_table_of_one_run_leaves_its_studys_own_table_alone(norms):
    run = norms / "norm-in+seed-0"
    (run / "table.csv").write_text("of the study")
    publish([run])
    assert (run / "table.csv").read_text() == "of the study"
    assert "12.5" in (run / "merged.csv").read_text()


def test_a_place_without_cells_is_an_error(tmp_path, norms):
    with pytest.raises(GridError, match="name a grid"):
        publish([])
    with pytest.raises(GridError, match=r"holds no cell.*name the grids in it: norms"):
        publish([norms.parent])
    (tmp_path / "empty").mkdir()
    with pytest.raises(GridError, match=r"holds no cell of a grid and no run$"):
        publish([tmp_path / "empty"])
    with pytest.raises(GridError, match="does not exist"):
        publish([tmp_path / "nowhere"])


def test_the_table_command(norms):
    words = [str(norms), "rows=model/norm", "metrics=fid"]
    done = subprocess.run(
        [sys.executable, "-m", "ganlab", "table", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "| in | 12.25 ± 1.15 |" in done.stdout
