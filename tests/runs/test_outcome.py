"""What a run leaves that was refused before it began."""

import errno
import io
import json
import os
import signal
import sys
import time

import pytest
import torch
from fuzzing import tiny
from omegaconf import OmegaConf

from ganlab.config import ConfigError
from ganlab.grid.records import collect
from ganlab.report.results import read_result, write_result
from ganlab.run import train
from ganlab.runs import outcome
from ganlab.runs.outcome import concluding, is_finished, mend_last, refusals_kept, summary
from ganlab.storage.archive import write_archive
from ganlab.systems.checkpoint import load_checkpoint
from ganlab.systems.signals import STOPS


def refused(directory, text="no such thing"):
    @refusals_kept("train")
    def run(config):
        raise ConfigError(text)

    resume = {"run_dir": str(directory), "ckpt": f"{directory}/checkpoints/last.ckpt"}
    with pytest.raises(ConfigError, match=text):
        run(OmegaConf.create(resume))


def test_a_refused_run_leaves_a_result_that_a_table_can_name(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    refused(run)
    result = read_result(run)
    assert (result["status"], result["exit_code"], result["images_seen"]) == ("failed", 1, 0)
    assert result["error"] == "ConfigError: no such thing"
    (record,) = collect([run])
    assert record.fate == "failed (ConfigError: no such thing)"
    refused(run, "another thing")
    assert read_result(run)["error"] == "ConfigError: another thing"


def test_what_came_of_an_earlier_run_is_kept(tmp_path):
    for status, images in (("done", 64), ("failed", 32), ("interrupted", 0)):
        write_result(tmp_path, {"status": status, "images_seen": images})
        refused(tmp_path)
        assert read_result(tmp_path)["status"] == status
        assert "error" not in read_result(tmp_path)


def test_nothing_is_made_where_nothing_is(tmp_path):
    refused(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("left", [None, "the report of an earlier part"])
def test_a_report_that_a_kill_kept_from_being_written_is_caught_up_with(tmp_path, left):
    result = {"status": "done", "kind": "train", "images_seen": 1000, "scores": []}
    write_result(tmp_path, result)
    report = tmp_path / "report.html"
    if left is not None:
        report.write_text(left)
        os.utime(report, (0, 0))
    settings = {"kimg": 1.0, "run_dir": str(tmp_path)}
    assert is_finished({"images_seen": 1000}, settings, result)
    assert report.read_text().startswith("<!doctype html>")
    report.write_text("whole")
    os.utime(report, (2**31, 2**31))
    assert is_finished({"images_seen": 1000}, settings, result)
    assert report.read_text() == "whole", "one that is there stays as it is"


@pytest.mark.parametrize("left", ["damaged", "missing", "whole", "checkpoint of something else"])
def test_a_finished_runs_best_takes_the_place_of_a_last_that_cannot_be_read(tmp_path, capfd, left):
    """Both are of the run's end, so it is whole again; a last that can be read stays."""
    last, best = tmp_path / "last.ckpt", tmp_path / "best.ckpt"
    for path, seen in ((last, 1000), (best, 1000)):
        content = {"recipe": {}, "images_seen": seen, "state_dict": {"w": torch.zeros(100)}}
        write_archive(content, path)
    data = bytearray(last.read_bytes())
    if left == "damaged":
        data[len(data) // 2] ^= 1
        last.write_bytes(data)
    elif left == "missing":
        last.unlink()
    mend_last(tmp_path / "other.ckpt" if left == "checkpoint of something else" else best)
    assert load_checkpoint(last)["images_seen"] == 1000
    told = capfd.readouterr().err
    assert (f"{last} is now a copy of {best}" in told) == (left in ("damaged", "missing"))


def test_a_lengthened_run_that_was_killed_in_its_scores_is_not_finished(tmp_path):
    """Its result is of before, and says that it is done."""
    shorter = {"status": "done", "kind": "train", "images_seen": 500, "scores": []}
    settings = {"kimg": 1.0, "run_dir": str(tmp_path)}
    assert not is_finished({"images_seen": 1000}, settings, shorter)
    assert is_finished({"images_seen": 1000}, settings, shorter | {"images_seen": 1000})


@pytest.mark.parametrize(
    ("until", "words"), [(1.0, "kimg=2 model.schedule.until_kimg=1"), (0.5, "kimg=2")]
)
def test_a_finished_run_says_how_it_is_lengthened(tmp_path, capfd, until, words):
    """Its recipe stays, and with it a schedule that goes up to its end."""
    done = {"status": "done", "kind": "train", "images_seen": 1000, "scores": []}
    model = {"schedule": {"until_kimg": until}}
    settings = {"kimg": 1.0, "run_dir": str(tmp_path), "model": model}
    assert is_finished({"images_seen": 1000}, settings, done)
    assert f"1 of 1 kimg; {words} would go on" in capfd.readouterr().err


def test_a_run_whose_patience_ended_is_finished_and_its_branch_is_not(tmp_path):
    waited = {"best": 1.0, "metric": "fid", "waited": 3, "looked_at": 500}
    checkpoint = {"images_seen": 500, "patience": waited}
    done = {"status": "done", "kind": "train", "images_seen": 500, "scores": []}
    settings = {"kimg": 1.0, "run_dir": str(tmp_path), "stop": {"patience": 3}}
    (tmp_path / "result.json").write_text(json.dumps(done))
    (tmp_path / "report.html").touch()
    for place in ("checkpoints/last.ckpt", "checkpoints/kept/000000500.ckpt"):
        assert is_finished(checkpoint, settings | {"ckpt": str(tmp_path / place)}, done)
    other = tmp_path / "other" / "checkpoints" / "last.ckpt"
    assert not is_finished(checkpoint, settings | {"ckpt": str(other)}, {})


def test_a_damaged_last_is_mended_from_one_that_is_kept_of_the_end(tmp_path, capfd):
    kept = tmp_path / "checkpoints" / "kept" / "000001000.ckpt"
    kept.parent.mkdir(parents=True)
    write_archive({"recipe": {}, "images_seen": 1000, "state_dict": {}}, kept)
    mend_last(kept)
    assert load_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["images_seen"] == 1000
    assert f"is now a copy of {kept}" in capfd.readouterr().err


class Gone(io.TextIOBase):
    """A terminal or a pipe that nobody reads any more."""

    def write(self, text):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def isatty(self):
        return False


def test_a_run_outlives_the_terminal_that_it_was_started_at(tmp_path, own_cache, monkeypatch):
    config = tiny("dcgan", tmp_path / "run", "scores=null")
    monkeypatch.setattr(sys, "stderr", Gone())
    result = train(config)
    assert (result["status"], result["exit_code"]) == ("done", 0)
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize("number", [*STOPS])
def test_a_signal_waits_while_the_end_is_written(number):
    """The report of a run that is done takes a second, in which a scheduler's signal may come."""
    before = signal.getsignal(number)
    with concluding():
        signal.raise_signal(number)
        signal.raise_signal(number)  # as `timeout` sends it, to the process and to its group
    assert signal.getsignal(number) is before


def test_a_later_second_signal_does_not_wait(monkeypatch):
    monkeypatch.setattr(outcome, "ECHO", 0.0)
    monkeypatch.setattr(outcome.signal, "SIG_DFL", signal.default_int_handler)  # spares pytest

    def stopped_twice():
        with concluding():
            signal.raise_signal(signal.SIGTERM)
            time.sleep(0.01)
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        stopped_twice()


def test_the_last_words_of_a_run_are_short(tmp_path):
    scores = [{"metric": f"a_rather_long_name_{n}_classifier", "value": n / 3} for n in range(13)]
    outcome = {"scores": scores, "status": "done", "kind": "train", "images_seen": 4000}
    first, report = summary(tmp_path, outcome).splitlines()
    assert first.startswith("a_rather_long_name_0_classifier 0  a_rather_long_name_1_cl")
    assert first.endswith("  10 more in the report")
    assert report == f"report: {tmp_path / 'report.html'}"
    early = {"patience": 2, "why": "fid has not improved"}
    told = summary(tmp_path, outcome | {"ended_early": early}).splitlines()
    assert told[1] == "ended at 4 kimg: fid has not improved"
    stopped = {"status": "interrupted", "exit_code": 142}
    assert "stopped at 4 kimg after max_hours; " in summary(tmp_path, outcome | stopped)
