"""One bad file of a grid costs its own row: the table is written, other rows are as they were."""

import json
import multiprocessing
import os
import subprocess
import sys

import pytest
from grids import cell, ended, grid_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganlab.grid import cell as cells
from ganlab.grid.cell import GridError
from ganlab.grid.naming import is_cell_name
from ganlab.grid.page import publish
from ganlab.grid.process import conclude
from ganlab.grid.progress import last_values, row
from ganlab.grid.records import collect
from ganlab.report.html import write_report

BAD_RESULTS = [
    b'{"scores": 5}',
    b'{"status": "done", "scores": [5]}',
    b'{"status": "done", "scores": [{"metric": "fid1k", "value": "abc"}]}',
    b'{"status": "done", "scores": [{"metric": ["a"], "value": 1}]}',
    b'{"status": "done", "scores": [{"metric": "fid1k", "value": 1, "truncation": []}]}',
    b'{"status": 5}',
    b'{"config": []}',
    b'{"config": {"logger": 5}}',
    b'{"images_seen": "abc", "seconds": []}',
    b'{"seconds": "Infinity"}',
    b"\xff\xfe{",
    b"",
    b"null",
    b"[" * 100_000,
    b'{"images_seen": ' + b"9" * 5000 + b"}",
    b'{"seconds": ' + b"9" * 400 + b"}",
]
BAD_CELLS = [
    b"config: []",
    b"kind: train\nvalues: 5",
    b"5",
    b"\xff\xfe",
    b"{",
    b"",
    b"kind: train\ngrid: g\nvalues: {norm: [1]}\noverrides: 5\nchoices: []\nconfig: {}",
    b"[[[",
]
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
NAMES = ("status", "scores", "config", "images_seen", "seconds", "error", "model", "data", "kind")


@pytest.fixture
def grid(tmp_path):
    every = [{"norm": name} for name in ("a", "b", "c")]
    made = grid_of(tmp_path / "grid", ["norm"], every)
    for number, values in enumerate(every):
        ended(cell(made, values), scores={"fid1k": 10.0 + number})
    return made


def rows_of(grid):
    publish([grid])
    lines = (grid / "table.csv").read_text().splitlines()
    return {line.split(",")[0]: line for line in lines[1:]}


def spoilt(grid, name, content):
    """The records and rows of the grid with one file of cell b replaced."""
    before = rows_of(grid)
    (grid / "norm-b" / name).write_bytes(content)
    after = rows_of(grid)
    assert {after[key] for key in "ac"} == {before[key] for key in "ac"}
    assert (grid / "index.html").exists()
    return {record.name: record for record in collect([grid])}["norm-b"]


@pytest.mark.parametrize("content", BAD_RESULTS)
def test_a_damaged_result_is_a_row_that_says_what_is_wrong(grid, content):
    record = spoilt(grid, "result.json", content)
    if content != b'{"config": []}' or record.state != "done":
        assert record.state == "failed"
        assert "result.json" in record.why
    assert not record.scores


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["result.json", "cell.yaml", "attempt.json", "metrics.csv"])
def test_a_pipe_in_a_files_place_is_not_waited_for(grid, name):
    (grid / "norm-b" / name).unlink(missing_ok=True)
    os.mkfifo(grid / "norm-b" / name)
    rows_of(grid)
    record = {record.name: record for record in collect([grid])}["norm-b"]
    assert name == "metrics.csv" or (record.state == "failed" and name in record.why)
    assert name != "metrics.csv" or last_values(record.directory) == {}
    write_report(record.directory)


@pytest.mark.timeout(60)
def test_a_pipe_in_the_place_of_a_grids_file_costs_what_it_says(grid):
    (grid / "grid.json").unlink(missing_ok=True)
    os.mkfifo(grid / "grid.json")
    assert len(collect([grid])) == 3


@pytest.mark.parametrize(
    "name", ["x" * 300, "../../../etc", "/etc", "..", ".", "", "a/b", "norm-a/", "a\0b", "\ud800"]
)
def test_a_grids_file_names_folders_within_it_or_nothing(grid, name):
    path, before = grid / "grid.json", rows_of(grid)
    facts = json.loads(path.read_text())
    assert all(map(is_cell_name, facts["cells"]))
    facts["cells"][name] = {"norm": "d"}
    path.write_text(json.dumps(facts))
    assert rows_of(grid) == before
    assert {record.directory.parent for record in collect([grid])} == {grid}


@pytest.mark.timeout(60)
def test_a_cell_of_aliases_is_not_unfolded(grid):
    inner = [", ".join([f"*a{n - 1}"] * 9) if n else "x" for n in range(12)]  # 9^12 values
    text = "\n".join(f"k{n}: &a{n} [{each}]" for n, each in enumerate(inner))
    record = spoilt(grid, "cell.yaml", text.encode())
    assert (record.state, "aliases" in record.why) == ("failed", True)


@pytest.mark.parametrize("content", BAD_CELLS)
def test_a_damaged_cell_is_a_row_that_says_what_is_wrong(grid, content):
    record = spoilt(grid, "cell.yaml", content)
    assert record.state == "failed"
    assert "cell.yaml" in record.why
    assert record.values == {"norm": "b"}


@pytest.mark.parametrize(
    "content", [b"5", b'{"number": "abc"}', b'{"pid": -1}', b"\xff", b'{"state": []}']
)
def test_a_damaged_attempt_is_a_row_that_says_what_is_wrong(grid, content):
    record = spoilt(grid, "attempt.json", content)
    assert (record.state, "attempt.json" in record.why) == ("failed", True)
    cells.begin_attempt(record.directory)  # the same command runs it again
    assert cells.read_attempt(record.directory)["number"] == 1


@pytest.mark.parametrize(
    "content",
    [
        *(b"images_seen\n" + b'"' * 200_000, b"a,b\n1", b"\xff\0\n"),
        *(b"images_seen,x\n1e400,2\n1,inf\n", b"images_seen,x\n1,1e308\n2,-1e308\n"),
    ],
)
def test_a_damaged_curve_costs_itself(grid, content):
    record = spoilt(grid, "metrics.csv", content)
    assert record.state == "done"
    assert all(abs(value) < float("inf") for value in last_values(record.directory).values())
    assert row(record.directory, "done")[0] == "norm-b"
    write_report(record.directory)


@pytest.mark.parametrize(
    "content",
    [b"5", b'{"cells": 5}', b'{"table": {"metrics": 5}}', b'{"table": {"labels": []}}', b"\xff"],
)
def test_a_damaged_grid_file_costs_what_it_says(grid, content):
    before = rows_of(grid)
    (grid / "grid.json").write_bytes(content)
    assert set(rows_of(grid)) == set(before)


@settings(
    max_examples=30,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.dictionaries(st.sampled_from(NAMES), PLAIN, max_size=3),
    st.sampled_from(("result.json", "attempt.json", "cell.yaml", "grid.json")),
)
def test_whatever_a_file_holds_the_table_is_written(grid, content, name):
    for number, letter in enumerate("abc"):  # whole again
        ended(cell(grid, {"norm": letter}), scores={"fid1k": 10.0 + number})
    path = grid / name if name == "grid.json" else grid / "norm-b" / name
    before, kept = rows_of(grid), path.read_bytes()
    path.write_text(json.dumps(content))
    after = rows_of(grid)
    path.write_bytes(kept)
    assert {after[key] for key in "ac"} == {before[key] for key in "ac"}


def test_an_evaluation_with_a_damaged_result_is_made_again(tmp_path):
    made = ended(cell(tmp_path / "g", {"k": 1}, kind="evaluate"), scores={"fid1k": 1.0})
    assert cells.plan(made)[0] == "skip"
    (made.directory / "result.json").write_text('{"scores": 5}')
    assert cells.plan(made)[0] == "start"


def hold(directory, ready, done):
    with cells.lock(directory):
        cells.begin_attempt(directory)
        ready.set()
        done.wait(20)
        cells.write_attempt(directory, state="done", exit_code=0)


def test_a_second_driver_writes_nothing_about_a_cell_that_another_runs(tmp_path):
    made = cell(tmp_path / "g", {"k": 1})
    made.write()
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    first = context.Process(target=hold, args=(made.directory, ready, done))
    first.start()
    assert ready.wait(20)
    before = cells.read_attempt(made.directory)
    assert conclude(made.directory, 1, pid=4_000_000) == "running"  # of the second's process
    assert cells.read_attempt(made.directory) == before
    done.set()
    first.join()
    assert conclude(made.directory, 1, pid=4_000_000) == "done"  # it came later still
    facts = cells.read_attempt(made.directory)
    assert (facts["state"], facts["error"], facts["exit_code"]) == ("done", None, 0)


def test_a_cell_that_another_driver_has_finished_is_not_run_again(tmp_path):
    made = ended(cell(tmp_path / "g", {"k": 1}), scores={"fid1k": 1.0})
    before = {path: path.read_bytes() for path in made.directory.glob("*.json")}
    command = [sys.executable, "-m", "ganlab.grid", str(made.directory)]
    assert subprocess.run(command).returncode == 0
    assert {path: path.read_bytes() for path in made.directory.glob("*.json")} == before


def test_a_grid_whose_wish_for_a_table_is_damaged_says_so(grid):
    facts = json.loads((grid / "grid.json").read_text())
    (grid / "grid.json").write_text(json.dumps({**facts, "table": {"metrics": 5}}))
    assert "grid.table: metrics is 5" in publish([grid])


def test_a_wish_that_no_cell_fits_costs_itself(grid):
    facts = json.loads((grid / "grid.json").read_text())
    (grid / "grid.json").write_text(json.dumps(facts | {"table": {"rows": ["depth"]}}))
    assert {*rows_of(grid)} == {*"abc"}
    assert "grid.table: no cell has depth" in (grid / "table.md").read_text()


def test_a_cell_whose_own_file_is_gone_keeps_its_row_and_scores(grid):
    before = rows_of(grid)
    (grid / "norm-b" / "cell.yaml").unlink()
    assert rows_of(grid) == before


def test_an_unreadable_directory_is_refused_by_its_name(tmp_path):
    with pytest.raises(GridError, match="does not exist"):
        publish([tmp_path / "none"])
