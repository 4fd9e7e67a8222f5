"""The process that drives a grid: devices, a pool that lives through failures, one live table."""

import errno
import io
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from grids import cell, ended

from ganlab.grid import cell as cells
from ganlab.grid import devices as devices_of_machine
from ganlab.grid import pool as pools
from ganlab.grid.cell import GridError, read_attempt, state
from ganlab.grid.devices import Devices, visible_gpus
from ganlab.grid.pool import Pool
from ganlab.grid.preparation import Prepared, lone_environment
from ganlab.grid.process import death, objective
from ganlab.grid.progress import LiveTable, duration, last_values, row
from ganlab.processes import external_rank

ROOT = Path(__file__).parents[2]


def test_the_driver_does_not_import_torch():
    code = """
import sys
import train, evaluate, hydra_plugins.ganlab_local
import ganlab.grid.pool, ganlab.grid.process, ganlab.grid.sweep, ganlab.grid.table
assert not {"torch", "lightning", "matplotlib", "wandb"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# Devices


def test_gpus_are_shared_out_each_to_one_cell(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, 5,GPU-ab")
    assert visible_gpus() == ["2", "5", "GPU-ab"]
    pool = Devices()
    first, second = pool.take(1), pool.take(2)
    assert sorted([*first, *second]) == ["2", "5", "GPU-ab"]
    assert pool.take(1) is None
    pool.give_back(second)
    assert pool.take(2) == second
    environment = pool.environment({"trainer": {"accelerator": "gpu"}}, second)
    assert environment["CUDA_VISIBLE_DEVICES"] == ",".join(second)
    on_cpu = pool.environment({"trainer": {"accelerator": "cpu"}}, first)
    assert on_cpu["CUDA_VISIBLE_DEVICES"] == ""


def test_cells_that_share_a_gpu_never_get_it_twice_for_one_cell():
    pool = Devices([0, 1], cells_per_device=2)
    assert pool.size == 4
    taken = [pool.take(2), pool.take(2)]
    assert [sorted(each) for each in taken] == [["0", "1"], ["0", "1"]]
    assert pool.take(1) is None


@pytest.mark.parametrize(
    ("trainer", "places"),
    [
        ({}, 1),
        ({"devices": 2}, 2),
        ({"devices": 9}, 3),
        ({"devices": [0, 1]}, 2),
        ({"devices": "auto", "strategy": "ddp_find_unused_parameters_true"}, 3),
        ({"devices": "auto", "strategy": "auto"}, 1),
        ({"devices": "2"}, 2),
    ],
)
def test_a_cell_takes_as_many_places_as_its_trainer_has_devices(trainer, places):
    assert Devices([0, 1, 2]).wanted({"trainer": trainer}) == places


def test_threads_are_shared_out(monkeypatch):
    monkeypatch.setattr(devices_of_machine, "cores", lambda: 12)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert Devices([], slots=3).environment({}, ["slot 0"])["OMP_NUM_THREADS"] == "4"
    assert Devices([]).size == 3
    assert Devices([], slots=3, threads=2).environment({}, [])["MKL_NUM_THREADS"] == "2"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert Devices([], slots=3).environment({}, [])["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"devices": [0, 0]}, "devices"),
        ({"devices": 0}, "devices=0 should be a list of GPUs, as in"),
        ({"devices": [0.5]}, "devices"),
        ({"devices": [], "slots": "two"}, "slots=two"),
        ({"threads": 1.5}, "threads=1.5"),
        ({"cells_per_device": None}, "cells_per_device"),
        ({"devices": [], "slots": 0}, "slots"),
        ({"cells_per_device": 0}, "cells_per_device"),
        ({"threads": 0}, "threads"),
    ],
)
def test_settings_that_no_machine_has(options, key):
    with pytest.raises(GridError, match=f"hydra.launcher.{key}"):
        Devices(**options)


def test_a_table_is_drawn_every_so_many_seconds():
    with pytest.raises(GridError, match=r"hydra\.launcher\.seconds=often should be a number"):
        LiveTable("often")


def test_a_cell_is_told_of_no_larger_job(monkeypatch):
    for name in ("LOCAL_RANK", "SLURM_NTASKS", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "KEPT"):
        monkeypatch.setenv(name, "3")
    environment = lone_environment()
    assert environment["KEPT"] == "3"
    assert not {"LOCAL_RANK", "SLURM_NTASKS", "MASTER_PORT"} & set(environment)
    assert external_rank({"SLURM_PROCID": "0", "LOCAL_RANK": "1"}) == 1
    assert external_rank({"SLURM_PROCID": "", "OTHER": "4"}) == 0


# The pool, over processes that stand in for cells

STAND_IN = """
import os, signal, sys, time
from pathlib import Path
from ganlab.grid import cell
directory, gpus = Path(sys.argv[1]), os.environ.get("CUDA_VISIBLE_DEVICES", "")
def stop(number, frame):
    cell.write_attempt(directory, state="interrupted", exit_code=128 + number)
    sys.exit(128 + number)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
cell.begin_attempt(directory)
(directory / "begun").write_text(f"{time.time()} {gpus}")
act = (directory / "act").read_text()
if act == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if act == "die":
    sys.exit(3)
if act == "wait":
    time.sleep(60)
time.sleep(0.3)
(directory / "ended").write_text(str(time.time()))
cell.write_attempt(directory, state="done" if act == "done" else "failed", error=act)
"""


@pytest.fixture
def stand_ins(monkeypatch, tmp_path):
    """Prepared cells, one a word, whose processes do what the word says."""

    def start(directory, environment, log):
        command = [sys.executable, "-c", STAND_IN, str(directory)]
        environment = {**environment, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            command, env=environment, stdout=log.open("ab"), start_new_session=True
        )

    def prepared(*acts, devices=1):
        made = []
        for number, act in enumerate(acts):
            each = ended(
                cell(tmp_path, {"n": number}, {"trainer": {"devices": devices}}), "waiting"
            )
            (each.directory / "act").write_text(act)
            made.append(Prepared(each, "start"))
        return made

    monkeypatch.setattr(pools, "start", start)
    monkeypatch.setattr(pools, "POLL", 0.02)
    return prepared


def test_cells_of_every_fate_are_run_and_told_apart(stand_ins, capsys):
    prepared = stand_ins("done", "kill", "boom", "die", "done")
    states = Pool(prepared, Devices([], slots=2)).run()
    assert list(states.values()) == ["done", "killed", "failed", "failed", "done"]
    errors = [read_attempt(each.cell.directory)["error"] for each in prepared]
    assert "SIGKILL" in errors[1]
    assert errors[2] == "boom"
    assert "exit code 3" in errors[3]
    said = capsys.readouterr().err
    assert "n-1: killed" in said
    assert "n-4: done" in said


def test_a_cell_that_cannot_be_started_costs_no_other(stand_ins, monkeypatch):
    one, other = stand_ins("done", "done")
    start = pools.start

    def full(directory, *given):
        if directory == one.cell.directory:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        return start(directory, *given)

    monkeypatch.setattr(pools, "start", full)
    pool = Pool([one, other], Devices([], slots=1))
    assert list(pool.run().values()) == ["failed", "done"]
    assert "not started: [Errno 12] Cannot allocate" in read_attempt(one.cell.directory)["error"]
    assert pool.devices.take(1) == ["slot 0"]


def test_a_record_that_a_full_disk_keeps_from_being_written_costs_no_other_cell(
    stand_ins, monkeypatch
):
    one, other = stand_ins("boom", "done")
    write = cells.write_attempt

    def full(directory, **facts):
        if directory == one.cell.directory:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(directory, **facts)

    monkeypatch.setattr(cells, "write_attempt", full)
    states = Pool([one, other], Devices([], slots=1)).run()
    assert states[other.cell.directory] == "done"


def test_no_gpu_serves_two_cells_at_a_time(stand_ins):
    prepared = stand_ins("done", "done", "done", "done")
    Pool(prepared, Devices([4, 7])).run()
    spans = []
    for each in prepared:
        begun, gpu = (each.cell.directory / "begun").read_text().split()
        spans.append((gpu, float(begun), float((each.cell.directory / "ended").read_text())))
    for gpu in ("4", "7"):
        mine = sorted(span[1:] for span in spans if span[0] == gpu)
        assert all(a[1] <= b[0] for a, b in pairwise(mine))
    assert {span[0] for span in spans} == {"4", "7"}


def test_a_cell_starts_before_the_next_is_prepared(stand_ins):
    first, second = stand_ins("done", "done")

    def preparing():
        yield first
        for _ in range(1000):
            if (first.cell.directory / "begun").exists():
                break
            time.sleep(0.01)
        else:
            raise AssertionError("the first waits for the second")
        yield second

    assert list(Pool(preparing(), Devices([], slots=1)).run().values()) == ["done", "done"]


def test_skipped_cells_start_nothing(stand_ins):
    (only,) = stand_ins("boom")
    states = Pool([Prepared(only.cell, "skip")], Devices([], slots=1)).run()
    assert list(states.values()) == ["done"]
    assert not (only.cell.directory / "begun").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_cells_and_keeps_the_rest_from_starting(stand_ins, number):
    prepared = stand_ins("wait", "done")
    running = prepared[0].cell.directory

    def send():
        while not (running / "begun").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    threading.Thread(target=send).start()
    pool = Pool(prepared, Devices([], slots=1))
    pool.run()
    assert pool.signals == [number]
    assert state(running) == "interrupted"
    assert read_attempt(running)["exit_code"] == 128 + number
    assert state(prepared[1].cell.directory) == "waiting"


# What is shown


def test_progress_is_read_from_a_file_in_writing(tmp_path):
    text = "images_seen,loss,images_per_second,fid1k\n1000,0.5,80,\n2000,0.25,90,33.5\n3000,0.2"
    (tmp_path / "metrics.csv").write_text(text)
    newest = {"images_seen": 2000.0, "loss": 0.25, "images_per_second": 90.0, "fid1k": 33.5}
    assert last_values(tmp_path) == newest
    assert row(tmp_path, "running")[1:] == ("running", "2", "90", "", "fid1k 33.5")
    assert last_values(tmp_path / "nothing") == {}
    (tmp_path / "metrics.csv").write_text("images_seen,fid1k\n0,33.5\n")
    assert row(tmp_path, "done")[1:] == ("done", "", "", "", "fid1k 33.5"), "nothing was trained"


def test_a_long_curve_is_read_from_its_end(tmp_path, monkeypatch):
    """Whole rows only, whatever row the last bytes begin in."""
    rows = [f"{count},{count / 7}\n" for count in range(1000)]
    (tmp_path / "metrics.csv").write_text("images_seen,loss\n" + "".join(rows))
    for tail in (30, 31, 45, 60, 10**6):
        monkeypatch.setattr("ganlab.grid.progress.TAIL", tail)
        assert last_values(tmp_path) == {"images_seen": 999, "loss": 999 / 7}


def test_off_a_terminal_a_line_comes_with_each_change_alone(tmp_path):
    made = ended(cell(tmp_path, {"n": 0}), scores={"fid1k": 3.25})
    stream = io.StringIO()
    table = LiveTable(stream=stream)
    for each in ("waiting", "running", "running", "done", "done"):
        table.update({made.directory: each})
    assert stream.getvalue() == "n-0: running, 0.064 kimg, fid1k 3.25\nn-0: done, 0.064 kimg, " + (
        "fid1k 3.25\n"
    )


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_the_table_is_redrawn_in_place_and_fits(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "ganlab.grid.progress.shutil.get_terminal_size", lambda *_, **__: os.terminal_size((40, 8))
    )
    directories = [tmp_path / f"a-cell-with-a-rather-long-name-{n}" for n in range(9)]
    stream = Terminal()
    table = LiveTable(seconds=0, stream=stream)
    states = dict.fromkeys(directories, "done") | {directories[-1]: "running"}
    table.update(states)
    first = stream.getvalue()
    assert "... and 4 more" in first
    lines = [line.removeprefix("\x1b[2K") for line in first.splitlines()]
    assert max(map(len, lines)) < 40
    assert "name-8" in first, "a running cell stays in sight"
    table.update(states)
    assert stream.getvalue()[len(first) :].startswith(f"\x1b[{first.count(chr(10))}A")


def test_a_grid_outlives_the_terminal_that_it_was_started_at(stand_ins, monkeypatch):
    class Gone(io.StringIO):
        def write(self, text):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    for there in (True, False):
        monkeypatch.setattr(Gone, "isatty", lambda self, there=there: there)
        monkeypatch.setattr(sys, "stderr", Gone())
        assert [*Pool(stand_ins("done"), Devices([], slots=1)).run().values()] == ["done"]


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (61.4, "1:01"), (3723, "1:02:03")])
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_deaths_are_named():
    assert "SIGTERM" in death(-15)
    assert "memory" in death(-9)
    assert "exit code 2" in death(2)


def test_the_objective_is_the_first_fid_or_the_score_asked_for():
    scores = [("kid", 3.0), ("fid1k", 12.0), ("precision1k", 0.75)]
    result = {"scores": [{"metric": name, "value": value} for name, value in scores]}
    assert objective(result) == 12.0
    assert objective(result, "precision1k") == -0.75
    assert objective({}) is None
    with pytest.raises(GridError, match=r"grid\.objective=ppl"):
        objective(result, "ppl")
