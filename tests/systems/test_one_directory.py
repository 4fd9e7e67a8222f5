"""The same command again, twice at once, and after a kill: what becomes of a run's directory."""

import shutil
import signal
import subprocess
import sys
import time

import pytest
from test_resume import ROOT, checkpoint, differing, killer, pictures, rows, start

from ganlab.runs.locks import HOLDER

WORDS = [
    *("model=vanilla", "model.generator.hidden=[32,32]", "model.discriminator.hidden=[16,16]"),
    *("data=synthetic", "data.num=100", "data.resolution=16", "data.batch_size=16", "kimg=0.48"),
    *("log_every_kimg=0.05", "sample_every_kimg=0.1", "checkpoint_every_kimg=0.16", "scores=null"),
    "allow_targets=[spies]",
]


def train(run, *words, expect=0):
    """What it said."""
    process = start(run, *WORDS, *words)
    out, err = process.communicate(timeout=300)
    assert process.returncode == expect, f"{out}\n{err}"
    return out + err


def files(run):
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    train(run)
    return run


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory):
    """One command, killed before its first checkpoint and in mid-picture, until it says the end."""
    run = tmp_path_factory.mktemp("disturbed") / "run"
    train(run, "resume=auto", *killer(128, "batch"), expect=-signal.SIGKILL)
    assert len(rows(run)) == 2
    assert not (run / "checkpoints" / "last.ckpt").exists()
    said = train(run, "resume=auto", *killer(300, "image"), expect=-signal.SIGKILL)
    assert "2 rows of metrics.csv and no checkpoint yet: beginning again" in said
    assert checkpoint(run)["images_seen"] < 300
    assert [path.name[-4:] for path in (run / "samples").glob(".*")] == [".tmp"]
    before = {path: content for path, content in files(run).items() if path.name != HOLDER}
    assert "data.num" in train(run, "resume=auto", "data.num=7", expect=1)
    assert before.items() <= files(run).items(), "a refusal adds its result, and leaves the rest"
    train(run, "resume=auto", *killer(10**9, "batch"))
    return run


def test_the_same_command_again_is_refused_and_touches_nothing(undisturbed):
    before = files(undisturbed)
    said = train(undisturbed, "seed=1", expect=1)
    assert said.count("\n") == 1
    assert f"error: {undisturbed} holds checkpoints/last.ckpt of an earlier run" in said
    assert "resume=auto goes on with it, hydra.run.dir=<a new folder> begins another" in said
    assert files(undisturbed) == before


@pytest.mark.slow
def test_one_command_repeated_until_it_ends_is_the_undisturbed_run(undisturbed, disturbed):
    assert differing(undisturbed, disturbed) == []
    assert rows(undisturbed) == rows(disturbed)
    assert pictures(undisturbed) == pictures(disturbed)
    assert not list(disturbed.rglob(".*.tmp"))
    assert not (disturbed / HOLDER).exists()


def test_a_finished_run_is_left_as_it_is(disturbed):
    before = files(disturbed)
    assert "nothing to train" in train(disturbed, "resume=auto")
    assert files(disturbed) == before


def test_of_two_at_once_one_runs(tmp_path):
    """And an evaluation of its checkpoint may not write into its directory, nor a resume."""
    spy = ["+callbacks.spy._target_=spies.Dawdle", f"+callbacks.spy.path={tmp_path}/begun"]
    both = [start(tmp_path / "run", *WORDS, *spy, "resume=auto") for _ in range(2)]
    try:
        deadline = time.monotonic() + 120
        while not any(each.poll() for each in both) and time.monotonic() < deadline:
            time.sleep(0.1)
        (second,) = [each for each in both if each.poll() is not None]
        (first,) = [each for each in both if each is not second]
        out, err = second.communicate()
        assert (second.returncode, out) == (1, "")
        assert f"/run is being written by another process ({first.pid} on " in err
        assert err.count("\n") == 1
        words = [f"ckpt={tmp_path}/run/checkpoints/last.ckpt", f"hydra.run.dir={tmp_path}/run"]
        done = subprocess.run(
            [sys.executable, "evaluate.py", *words], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 1
        assert f"is being written by another process ({first.pid} on " in done.stderr
        assert first.poll() is None
    finally:
        for each in both:
            each.kill()
            each.communicate()


@pytest.mark.parametrize("way", ["moved", "removed"])
def test_a_run_whose_directory_is_taken_away_ends_and_writes_nothing_more(tmp_path, way):
    """Another run may have begun in it by then."""
    run, process = tmp_path / "run", start(tmp_path / "run", *WORDS, "kimg=1000")
    try:
        deadline = time.monotonic() + 120
        while not (run / "checkpoints" / "last.ckpt").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        if way == "moved":
            run.rename(tmp_path / "elsewhere")
        else:
            shutil.rmtree(run, ignore_errors=True)  # it may write one file meanwhile
            shutil.rmtree(run, ignore_errors=True)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1
        assert err.count("the run ends and writes nothing more") == 1
        assert not list(run.rglob("*.ckpt")), "nothing is written once that is seen"
        assert not (run / "result.json").exists()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["ckpt={run}/checkpoints/last.ckpt"], "leave out ckpt="),
        (["hydra.run.dir=${training_directory:null,outputs}"], "add hydra.run.dir=<folder>"),
        (["seed=0,1", "-m"], "resume=auto is one run's"),
    ],
)
def test_where_there_is_nothing_to_decide_auto_is_refused(undisturbed, tmp_path, words, text):
    """Of two words on one key the last counts: the second case names no directory."""
    words = [word.replace("{run}", str(undisturbed)) for word in words]
    process = subprocess.run(
        [sys.executable, "train.py", f"hydra.run.dir={tmp_path}/run", "resume=auto", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 1
    assert text in process.stderr
    assert process.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_damaged_last_checkpoint_is_named_with_the_ways_on(disturbed, tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    whole = (disturbed / "checkpoints" / "last.ckpt").read_bytes()
    (run / "checkpoints" / "last.ckpt").write_bytes(whole[: len(whole) // 2])
    (run / "checkpoints" / "best.ckpt").write_bytes(whole)
    before = files(run)
    said = train(run, "resume=auto", expect=1)
    assert f"ckpt={run}/checkpoints/best.ckpt goes on from the best one" in said
    assert said.count("\n") == 1
    left = files(run)
    assert {path: left[path] for path in before} == before
    assert {path.name for path in left.keys() - before.keys()} == {".lock"}


def test_a_refused_resume_removes_nothing(undisturbed, tmp_path):
    """Rows of the curve that lie ahead of the checkpoint, other data than the run's."""
    run = tmp_path / "run"
    train(run, "resume=auto", *killer(300, "batch"), expect=-signal.SIGKILL)
    before = files(run)
    assert int(rows(run)[-1]["images_seen"]) > checkpoint(run)["images_seen"]
    before.pop(run / HOLDER)  # of the killed process
    train(run, "resume=auto", *killer(10**9, "batch"), "data.num=101", expect=1)
    left = files(run)
    assert {path: left.get(path) for path in before} == before


def test_a_directory_that_becomes_a_file_is_told_without_a_traceback(tmp_path):
    process = start(tmp_path / "run", *WORDS, "kimg=1000")
    deadline = time.monotonic() + 120
    while not (tmp_path / "run/metrics.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    (tmp_path / "run").rename(tmp_path / "moved")
    (tmp_path / "run").touch()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert "was moved or removed while this run wrote it" in err
    assert "Traceback" not in err
    assert (tmp_path / "run").read_bytes() == b""


@pytest.mark.slow
def test_the_ranks_that_a_run_starts_go_on_with_it(tmp_path):
    run, ranks = tmp_path / "run", ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    train(run, *ranks, "resume=auto", "kimg=0.32")
    train(run, *ranks, "resume=auto")
    assert checkpoint(run)["images_seen"] == 480
    train(run, *ranks, expect=1)
