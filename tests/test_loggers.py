import csv
import json
import math
import os
import resource
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tracker_files import records_of

from ganlab.loggers import (
    CSVLog,
    Guarded,
    TensorBoardTracker,
    Tracker,
    finish,
    tensorboard_tracker,
    wandb_tracker,
)
from ganlab.loggers.pictures import as_pixels
from ganlab.loggers.wandb import remembered_id

ROOT = Path(__file__).parents[1]


def read(directory):
    with (directory / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# metrics.csv


def test_numbers_read_back_exactly(tmp_path):
    values = {
        "float32": torch.tensor(0.1),
        "float64": 1 / 3,
        "tiny": 5e-324,
        "count": 7,
        "numpy": np.float64(math.pi),
        "nan": math.nan,
        "infinite": -math.inf,
    }
    CSVLog(tmp_path).log_metrics(values, step=64)
    (row,) = read(tmp_path)
    assert row.pop("images_seen") == "64"
    for name, text in row.items():
        assert float(text) == float(values[name]) or math.isnan(float(values[name]))
    assert row["count"] == "7"
    assert row["nan"] == "nan"


def test_what_is_logged_at_one_moment_is_one_row(tmp_path):
    log = CSVLog(tmp_path)
    for seen in (100, 200):
        log.log_metrics({"loss": seen / 7}, step=seen)
        log.log_metrics({"fid": seen * 2.0}, step=seen)
    log.log_metrics({"loss": 9.0}, step=200)  # the later word counts
    rows = read(tmp_path)
    assert [row["images_seen"] for row in rows] == ["100", "200"]
    assert rows[0] == {"images_seen": "100", "loss": repr(100 / 7), "fid": "200.0"}
    assert rows[1] == {"images_seen": "200", "loss": "9.0", "fid": "400.0"}


def test_columns_stand_in_order_of_appearance_and_may_come_late(tmp_path):
    log = CSVLog(tmp_path)
    log.log_metrics({"zeta": 1.0, "alpha": 2.0}, step=10)
    log.log_metrics({"late, with a comma": 3.0}, step=20)
    log.log_metrics({"alpha": 4.0}, step=30)
    rows = read(tmp_path)
    assert list(rows[0]) == ["images_seen", "zeta", "alpha", "late, with a comma"]
    assert [row["late, with a comma"] for row in rows] == ["", "3.0", ""]
    assert [row["alpha"] for row in rows] == ["2.0", "", "4.0"]


def test_a_row_that_comes_late_finds_its_place(tmp_path):
    log = CSVLog(tmp_path)
    for seen in (10, 30, 20):
        log.log_metrics({"loss": 1.0}, step=seen)
    assert [row["images_seen"] for row in read(tmp_path)] == ["10", "20", "30"]


def test_each_row_is_on_disk_before_the_call_returns(tmp_path):
    log = CSVLog(tmp_path)
    for count in range(1, 5):
        log.log_metrics({"loss": 1.0}, step=count)
        assert len(read(tmp_path)) == count


def test_a_new_row_only_appends(tmp_path):
    log = CSVLog(tmp_path)
    log.log_metrics({"loss": 1.0}, step=1)
    path = tmp_path / "metrics.csv"
    before, file = path.read_bytes(), path.stat().st_ino
    log.log_metrics({"loss": 2.0}, step=2)
    assert path.read_bytes().startswith(before)
    assert path.stat().st_ino == file


def test_what_joins_the_newest_row_leaves_the_others_alone(tmp_path):
    """A tick's second row costs as little as its first, however long the run is."""
    log = CSVLog(tmp_path)
    path = tmp_path / "metrics.csv"
    for step in (1, 2):
        log.log_metrics({"loss": 1.0, "fid": 2.0, "health": 3.0}, step=step)
    before, file = path.read_bytes(), path.stat().st_ino
    for name, value in (("loss", 10.25), ("fid", 0.125), ("health", 5.0)):
        log.log_metrics({name: value}, step=3)
    log.log_metrics({"loss": 1.0}, step=3)  # shorter than what stood there
    assert path.read_bytes() == before + b"3,1.0,0.125,5.0\n"
    assert path.stat().st_ino == file


def test_rows_that_find_no_room_are_written_when_there_is_some(tmp_path, monkeypatch):
    write_curve(CSVLog(tmp_path / "whole"), range(10, 81, 10))
    log = CSVLog(tmp_path / "full")
    write_curve(log, range(10, 31, 10))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.warns(UserWarning, match=r"metrics\.csv was not written .* kept") as warned:
            write_curve(log, range(40, 71, 10))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(warned) == 1
    log.finalize("done")
    assert len(read(tmp_path / "full")) == 7
    write_curve(log, [80])
    files = [tmp_path / name / "metrics.csv" for name in ("whole", "full")]
    assert files[0].read_bytes() == files[1].read_bytes()


def write_curve(log, moments):
    """Losses every 10 images, a score every 30, a column that begins at 50."""
    for seen in moments:
        log.log_metrics({"loss": math.sin(seen)}, step=seen)
        if seen % 30 == 0:
            log.log_metrics({"fid": math.cos(seen)}, step=seen)
        if seen >= 50:
            log.log_metrics({"late": 1 / seen}, step=seen)


@pytest.mark.parametrize("resume_at", [0, 10, 20, 35, 40, 50, 60, 80])
def test_truncated_and_continued_equals_uninterrupted(tmp_path, resume_at):
    moments = range(10, 81, 10)
    write_curve(CSVLog(tmp_path / "whole"), moments)
    write_curve(CSVLog(tmp_path / "broken"), moments)
    resumed = CSVLog(tmp_path / "broken")
    resumed.truncate(resume_at)
    write_curve(CSVLog(tmp_path / "then"), [seen for seen in moments if seen <= resume_at])
    whole, broken, then = (tmp_path / name / "metrics.csv" for name in ("whole", "broken", "then"))
    assert broken.exists() == then.exists() == (resume_at >= 10)
    assert not broken.exists() or broken.read_bytes() == then.read_bytes()
    write_curve(resumed, [seen for seen in moments if seen > resume_at])
    assert whole.read_bytes() == broken.read_bytes()


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_partial_last_line_is_dropped(tmp_path, cut):
    path = tmp_path / "metrics.csv"
    log = CSVLog(tmp_path)
    log.log_metrics({"loss": 1.5, "fid": 2.5}, step=100)
    kept = path.read_bytes()
    log.log_metrics({"loss": 3.5, "fid": 4.5}, step=200)
    path.write_bytes(path.read_bytes()[:-cut])  # what a killed write can leave
    CSVLog(tmp_path).truncate(1000)
    assert path.read_bytes() == kept
    CSVLog(tmp_path).log_metrics({"loss": 3.5, "fid": 4.5}, step=200)
    assert [row["images_seen"] for row in read(tmp_path)] == ["100", "200"]


@pytest.mark.parametrize("text", ["", "images_se", "images_seen,loss\n", "images_seen,loss\n10"])
def test_a_file_without_a_whole_row_is_no_obstacle(tmp_path, text):
    (tmp_path / "metrics.csv").write_text(text)
    log = CSVLog(tmp_path)
    log.truncate(0)
    log.log_metrics({"loss": 1.0}, step=10)
    assert read(tmp_path) == [{"images_seen": "10", "loss": "1.0"}]


@pytest.mark.parametrize("header", ["epoch,step", "images_seen,loss,images_seen,loss"])
def test_a_file_of_another_kind_is_refused_by_name_and_kept(tmp_path, header):
    path = tmp_path / "metrics.csv"
    path.write_text(f"{header}\n1,2\n")
    with pytest.raises(ValueError, match=r"metrics\.csv: line 1 must start with images_seen"):
        CSVLog(tmp_path).truncate(0)
    assert path.read_text() == f"{header}\n1,2\n"


def test_a_pipe_in_the_place_of_a_curve_is_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "metrics.csv")
    with pytest.raises(ValueError, match=r"metrics\.csv is no file but a pipe"):
        CSVLog(tmp_path).truncate(0)


@pytest.mark.parametrize("left", ["a pipe", "no id: ../../x\n", ""])
def test_what_is_no_id_of_a_tracked_run_is_named(tmp_path, left):
    path = tmp_path / "wandb_id.txt"
    os.mkfifo(path) if left == "a pipe" else path.write_text(left)
    with pytest.raises(ValueError, match=r"wandb_id\.txt.*move it away"):
        remembered_id(tmp_path)


@pytest.mark.parametrize(
    ("lines", "dropped"),
    [
        (["10,1.0", "20", "30,3.0"], 1),
        (["10,1.0", "20,2.030,3.0", "40,4.0"], 1),  # merged
        (["10,1.0", "20,2.0.5", "30,3.0"], 1),
        (["10,1.0", "1020,2.0", "30,3.0", "40,"], 1),  # merged into what looks like a row
        (["10,1.0", '20,"2.0', "30,3.0"], 1),  # a quote would swallow what follows
        (["10,1.0", "\0\0\0", "30,3.0", "", "\xff\xfe"], 3),
        (["10,1.0", "10,1.5", "20,2.0", "30,3.0", "20,2.5", "30,3.5"], 3),  # two at once
        (["x"], 1),
    ],
)
def test_damaged_lines_are_dropped_with_one_warning_and_whole_ones_stay(tmp_path, lines, dropped):
    path, log = tmp_path / "metrics.csv", CSVLog(tmp_path)
    path.write_text("\n".join(["images_seen,loss", *lines, ""]), encoding="latin-1")
    with pytest.warns(UserWarning, match=rf"{dropped} of {len(lines)} lines") as warned:
        log.log_metrics({"loss": 5.0}, step=50)
    assert len(warned) == 1
    clocks = [int(row["images_seen"]) for row in read(tmp_path)]
    assert clocks == sorted(set(clocks))
    assert len(clocks) == len(lines) - dropped + 1
    left = path.read_text().splitlines()
    assert set(left[1:-1]) <= set(lines)
    assert left[-1] == "50,5.0"
    CSVLog(tmp_path).log_metrics({"loss": 6.0}, step=60)  # once is enough
    assert len(warned) == 1
    assert path.read_text().splitlines() == [*left, "60,6.0"]


def test_only_numbers_at_a_moment_are_logged(tmp_path):
    with pytest.raises(ValueError, match="log with step=system"):
        CSVLog(tmp_path).log_metrics({"loss": 1.0})
    with pytest.raises(ValueError, match="note is not a number"):
        CSVLog(tmp_path).log_metrics({"note": "text"}, step=1)
    assert not (tmp_path / "metrics.csv").exists()


KILLED = """
import sys
from ganlab.loggers import CSVLog
log, seen = CSVLog(sys.argv[1]), 0
print("ready", flush=True)
while True:
    seen += 1
    log.log_metrics({"loss": seen / 3, "other": seen / 7}, step=seen)
    log.log_metrics({"fid": seen / 11}, step=seen)
"""


def test_a_killed_writer_leaves_a_curve_that_reads(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout.readline() == b"ready\n"
        path = tmp_path / "metrics.csv"
        while process.poll() is None and not (path.exists() and path.stat().st_size > 3000):
            time.sleep(0.001)
        process.kill()
    log = CSVLog(tmp_path)
    log.truncate(10**9)
    rows = read(tmp_path)
    assert [int(row["images_seen"]) for row in rows] == list(range(1, len(rows) + 1))
    assert all(row["loss"] == repr(int(row["images_seen"]) / 3) for row in rows)
    assert len(rows) > 10
    assert all(row["fid"] for row in rows[:-1])


# Pictures


def test_pictures_become_pixels():
    colour = torch.tensor([-1.0, 0.0, 1.0]).view(3, 1, 1).expand(3, 4, 5)
    assert as_pixels(colour).shape == (4, 5, 3)
    assert as_pixels(colour)[0, 0].tolist() == [0, 128, 255]
    assert as_pixels(colour[:1]).shape == (4, 5, 3)
    assert as_pixels(colour.expand(4, 3, 4, 5)).shape == (4 * 2 + 6, 5 * 2 + 6, 3)
    array = np.zeros((4, 5, 3), np.uint8)
    assert as_pixels(array) is array
    with pytest.raises(ValueError, match=r"\(H, W, 3\) uint8"):
        as_pixels(array.astype(np.float32))


# Guarded


class Sink(Tracker):
    """Keeps what it is given; raises at the named method."""

    name, version = "sink", "0"

    def __init__(self, broken=None):
        super().__init__()
        self.broken, self.calls = broken, []

    def _note(self, method, *args):
        self.calls.append((method, *args))
        if method == self.broken:
            raise ConnectionError("the server\nis gone")

    def log_metrics(self, metrics, step=None):
        self._note("log_metrics", metrics, step)

    def log_hyperparams(self, params, *args, **kwargs):
        self._note("log_hyperparams", params)

    def log_images(self, key, images, step):
        self._note("log_images", key, step)

    def finish(self, exit_code=0):
        self._note("finish", exit_code)

    def finalize(self, status):
        self._note("finalize", status)

    @property
    def experiment(self):
        self._note("experiment")
        return "its run"


def use_all(logger):
    logger.log_hyperparams({"width": 4})
    assert logger.experiment is not None
    logger.log_metrics({"loss": 1.0}, step=10)
    logger.log_images("samples", np.zeros((2, 2, 3), np.uint8), 10)
    logger.truncate(10)
    logger.finalize("success")
    finish([logger], exit_code=3)


def test_a_sound_tracker_gets_everything():
    sink = Sink()
    use_all(Guarded(sink))
    assert sink.calls == [
        ("log_hyperparams", {"width": 4}),
        ("experiment",),
        ("log_metrics", {"loss": 1.0}, 10),
        ("log_images", "samples", 10),
        ("finalize", "success"),
        ("finish", 3),
    ]


@pytest.mark.parametrize(
    "method", ["log_hyperparams", "experiment", "log_metrics", "log_images", "finalize", "finish"]
)
def test_a_failing_tracker_is_named_once_and_left_alone(method, caplog):
    sink = Sink(broken=method)
    guarded = Guarded(sink)
    use_all(guarded)
    calls = len(sink.calls)
    use_all(guarded)
    assert sink.calls[-1][0] == method
    assert len(sink.calls) == calls
    (record,) = caplog.records
    assert "Sink failed" in record.getMessage()
    assert "ConnectionError: the server is gone" in record.getMessage()


def test_what_stops_a_process_is_not_swallowed():
    class Interrupted(Sink):
        def log_metrics(self, metrics, step=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Guarded(Interrupted()).log_metrics({}, step=1)


def test_a_tracker_that_does_not_answer_is_left(monkeypatch, caplog):
    class Mute(Sink):
        def finish(self, exit_code=0):
            self._note("finish", exit_code)
            threading.Event().wait()

        def abandon(self):
            self._note("abandon")
            raise ConnectionError("gone as well")

    monkeypatch.setattr("ganlab.loggers.guarded.ENDING", 0.2)
    sink = Mute()
    use_all(Guarded(sink))
    assert sink.calls[-2:] == [("finish", 3), ("abandon",)]
    (record,) = caplog.records
    assert "Mute failed" in record.getMessage()
    assert "TimeoutError: no answer in 0.2 seconds" in record.getMessage()


def test_a_timeout_of_the_tracker_itself_keeps_its_words(caplog):
    class Slow(Sink):
        def log_metrics(self, metrics, step=None):
            raise TimeoutError("the server is slow")

    Guarded(Slow()).log_metrics({}, step=1)
    assert "TimeoutError: the server is slow" in caplog.records[0].getMessage()


def test_picture_takers_are_recognised(tmp_path):
    takers = (CSVLog(tmp_path), Guarded(Sink()), TensorBoardTracker(tmp_path))
    assert all(isinstance(logger, Tracker) for logger in takers)


# TensorBoard


def events_of(directory):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(directory / "tensorboard")).Reload()


def test_tensorboard_holds_curves_and_pictures_by_images_seen(tmp_path):
    log = tensorboard_tracker(tmp_path)
    log.log_hyperparams({"model": {"width": 4}})
    log.truncate(0)
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    for seen in (1000, 2000):
        log.log_metrics({"loss/generator": seen / 3}, step=seen)
    log.log_images("samples", picture, 2000)
    log.finalize("success")
    assert not log.failed
    events = events_of(tmp_path)
    points = [(e.step, e.value) for e in events.Scalars("loss/generator")]
    assert points == [(1000, pytest.approx(1000 / 3)), (2000, pytest.approx(2000 / 3))]
    (shown,) = events.Images("samples")
    (tmp_path / "shown.png").write_bytes(shown.encoded_image_string)
    assert shown.step == 2000
    assert np.array_equal(np.asarray(Image.open(tmp_path / "shown.png")), picture)


def test_tensorboard_on_a_full_disk_costs_one_line(tmp_path, caplog, capsys, monkeypatch):
    """Its writing thread dies; what that would print to the terminal is not the run's business."""
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    log = tensorboard_tracker(tmp_path)
    log.log_metrics({"loss": 1.0}, step=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        for step in range(2, 6):
            log.log_metrics({"loss": 1.0}, step=step)
            log.save()
        log.finalize("success")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert log.failed
    (record,) = caplog.records
    assert "TensorBoardTracker failed" in record.getMessage()
    assert "Traceback" not in capsys.readouterr().err


def test_other_threads_still_say_what_they_died_of(capsys, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    Guarded(Sink())
    Guarded(Sink())
    dying = threading.Thread(target=lambda: 1 / 0)
    dying.start()
    dying.join()
    assert capsys.readouterr().err.count("ZeroDivisionError") == 1


def test_tensorboard_hides_the_future_of_a_resumed_run(tmp_path):
    first = tensorboard_tracker(tmp_path)
    for seen in (1000, 2000, 3000):
        first.log_metrics({"loss": 1.0}, step=seen)
    first.finalize("success")
    second = tensorboard_tracker(tmp_path)
    second.truncate(2000)
    second.log_metrics({"loss": 7.0}, step=3000)
    second.finalize("success")
    points = [(e.step, e.value) for e in events_of(tmp_path).Scalars("loss")]
    assert points == [(1000, 1.0), (2000, 1.0), (3000, 7.0)]


@pytest.mark.parametrize(
    ("factory", "way_out"),
    [(tensorboard_tracker, r"ganlab\[tensorboard\]"), (wandb_tracker, "pip install wandb")],
)
def test_a_missing_package_is_named(tmp_path, monkeypatch, factory, way_out):
    monkeypatch.setattr("ganlab.loggers.tracker.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=way_out):
        factory(tmp_path)


# Weights & Biases

SEALED = """
import os, socket, sys

real = socket.socket.connect
def connect(self, address):
    if self.family != getattr(socket, "AF_UNIX", None) and address[0] not in ("127.0.0.1", "::1"):
        raise AssertionError(f"no network here: {address}")
    return real(self, address)
socket.socket.connect = connect

import random
import numpy as np
import torch
from ganlab.loggers import finish, wandb_tracker

assert not {"wandb", "tensorboard"} & set(sys.modules), "trackers are imported when they start"
directory, status = sys.argv[1:]
labels = {"project": "faces", "group": "sweep7", "tags": ["pin", "small"], "job_type": "train"}
log = wandb_tracker(directory, **labels)
streams = (random.getstate(), torch.get_rng_state().tolist(), np.random.get_state()[1].tolist())
log.log_hyperparams({"model": {"width": 4, "betas": [0.0, 0.99]}, "seed": 3})
log.truncate(0)
log.log_metrics({"loss/generator": 0.5}, step=1000)
log.log_images("samples", np.full((4, 6, 3), 1, np.uint8), 1000)
log.log_metrics({"loss/generator": 0.25, "fid10k_classifier": 12.0}, step=2000)
log.finalize(status)
if status == "success":
    log.log_metrics({"after the fit": 1.0}, step=2000)
finish([log])
finish([log])
assert not log.failed
after = (random.getstate(), torch.get_rng_state().tolist(), np.random.get_state()[1].tolist())
assert after == streams, "a tracker must leave the random streams alone"
"""


def offline_run(directory, status, script=SEALED):
    """Run the script as a user without account, key or network."""
    home = directory.parent / "home"
    home.mkdir(exist_ok=True)
    keep = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ}
    command = [sys.executable, "-c", script, str(directory), status]
    environment = {**keep, "HOME": str(home), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, env=environment, cwd=directory.parent, capture_output=True, text=True, timeout=120
    )


def history_of(records):
    rows = [record.history.item for record in records if record.HasField("history")]
    return [{(i.key or i.nested_key[0]): json.loads(i.value_json) for i in row} for row in rows]


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    directory = tmp_path_factory.mktemp("offline") / "dcgan" / "run"
    directory.parent.mkdir()
    result = offline_run(directory, "success")
    assert result.returncode == 0, result.stderr
    (file,) = directory.glob("wandb/offline-run-*/*.wandb")
    return directory, result, list(records_of(file))


def test_without_an_account_one_line_says_how_to_sync(offline):
    directory, result, _ = offline
    (said,) = (result.stdout + result.stderr).strip().splitlines()
    identity = (directory / "wandb_id.txt").read_text().strip()
    assert said.endswith(f"wandb sync {directory}/wandb/offline-run-*-{identity}")


def test_the_offline_run_holds_curves_config_and_pictures(offline):
    directory, _, records = offline
    rows = history_of(records)
    curve = [(row["images_seen"], row["loss/generator"]) for row in rows if "loss/generator" in row]
    assert curve == [(1000, 0.5), (2000, 0.25)]
    assert any(row.get("fid10k_classifier") == 12.0 for row in rows)
    assert any(row.get("after the fit") == 1.0 for row in rows)  # still open after the fit
    config = {
        update.key: json.loads(update.value_json)
        for record in records
        for update in (*record.config.update, *record.run.config.update)
    }
    assert config["model"] == {"width": 4, "betas": [0.0, 0.99]}
    assert config["seed"] == 3
    (picture,) = directory.glob("wandb/offline-run-*/files/media/images/samples*.png")
    assert np.array_equal(np.asarray(Image.open(picture)), np.full((4, 6, 3), 1, np.uint8))


def test_the_offline_run_is_labelled_and_has_its_axis(offline):
    directory, _, records = offline
    (run,) = [record.run for record in records if record.HasField("run")][:1]
    assert (run.project, run.run_group, run.job_type) == ("faces", "sweep7", "train")
    assert list(run.tags) == ["pin", "small"]
    assert run.display_name == "/".join(directory.parts[-3:])
    axes = {
        (r.metric.name or r.metric.glob_name): r.metric.step_metric
        for r in records
        if r.HasField("metric")
    }
    assert axes["*"] == "images_seen"
    assert "trainer/global_step" not in axes
    assert [r.exit.exit_code for r in records if r.HasField("exit")] == [0]


@pytest.mark.slow
def test_a_failed_fit_ends_the_run_as_failed_and_a_resume_keeps_its_id(offline):
    directory, _, _ = offline
    identity = (directory / "wandb_id.txt").read_text()
    result = offline_run(directory, "failed")
    assert result.returncode == 0, result.stderr
    assert (directory / "wandb_id.txt").read_text() == identity
    *_, newest = sorted(directory.glob("wandb/offline-run-*/*.wandb"), key=os.path.getmtime)
    records = list(records_of(newest))
    assert {r.run.run_id for r in records if r.HasField("run")} == {identity.strip()}
    assert [r.exit.exit_code for r in records if r.HasField("exit")] == [1]


LOST = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
import ganlab.loggers.guarded as guarded
from ganlab.loggers import finish, wandb_tracker

def services():
    names = (path for path in Path("/proc").glob("[0-9]*/stat"))
    lines = [path.read_text() for path in names]
    fields = [line.rpartition(")")[2].split() for line in lines]
    mine = [int(line.split()[0]) for line, f in zip(lines, fields) if int(f[1]) == os.getpid()]
    return [pid for pid in mine if b"wandb-core" in Path(f"/proc/{pid}/cmdline").read_bytes()]

def live(name, number):
    log = wandb_tracker(Path(sys.argv[1], name))
    log.log_metrics({"loss": 1.0}, step=10)
    assert not log.failed
    (service,) = services()
    os.kill(service, number)
    time.sleep(0.3)
    for step in (20, 30):
        log.log_metrics({"loss": 1.0}, step=step)
    log.log_images("samples", np.zeros((4, 4, 3), np.uint8), 30)
    log.finalize("success")
    finish([log])
    assert log.failed
    return service

live("killed", signal.SIGKILL)
guarded.ENDING = guarded.LEAVING = 2.0
stopped = live("stopped", signal.SIGSTOP)
print("the run goes on")
os.kill(stopped, signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_service_of_wandb_that_dies_or_stops_costs_one_line_each(tmp_path):
    """No traceback of wandb's, at exit neither, and no end that is waited for without end."""
    result = offline_run(tmp_path / "runs", "success", LOST)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "the run goes on\n"
    start, lost, again, late = result.stderr.strip().splitlines()
    assert "wandb works offline" in start
    assert "wandb works offline" in again
    assert "WandbTracker failed and gets nothing more from this run (Connection" in lost
    assert "(TimeoutError: no answer in 2 seconds)" in late


@pytest.mark.parametrize(
    ("environment", "entries", "expected"),
    [
        ({}, None, False),
        ({}, "machine other.org login user password secret", False),
        ({}, "machine api.wandb.ai login user password secret", True),
        ({"WANDB_BASE_URL": "https://own.org"}, "machine api.wandb.ai login u password s", False),
        ({}, "machine own.org login user password secret", True),
        ({"WANDB_API_KEY": "key"}, None, True),
        ({}, "this is no netrc file", False),
    ],
)
def test_a_login_is_a_key_in_the_environment_or_in_netrc(
    tmp_path, monkeypatch, environment, entries, expected
):
    from ganlab.loggers.wandb import logged_in

    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "logins"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if entries is not None:
        (tmp_path / "logins").write_text(entries)
    assert logged_in("https://own.org") is expected


def test_imports_stay_light():
    code = """
    import sys
    import ganlab.loggers, ganlab.callbacks
    print(sorted({"wandb", "tensorboard", "torch.utils.tensorboard"} & set(sys.modules)))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("data", [b"\0" * 600, b"\xff\xfe", b"no curve"])
def test_what_is_no_curve_in_its_place_is_refused_by_name_and_kept(tmp_path, data):
    """As a file that lost its blocks in a power failure."""
    path = tmp_path / "metrics.csv"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"metrics\.csv: line 1 must start with images_seen"):
        CSVLog(tmp_path).truncate(0)
    assert path.read_bytes() == data
