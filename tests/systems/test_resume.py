"""A run killed at any moment and resumed is the run that was never interrupted, bit for bit."""

import csv
import json
import random
import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from forked import Forked

from ganlab.callbacks import TIMING_COLUMNS

ROOT = Path(__file__).parents[2]
KIMG = 0.96
RECIPE = [
    "model=vanilla",
    "allow_targets=[spies]",
    "+callbacks.jitter._target_=spies.Jitter",  # the global random streams matter
    "model.generator.hidden=[32,32]",
    "model.discriminator.hidden=[16,16]",
    "data=synthetic",
    "data.num=100",  # several epochs: the sampler's position matters
    "data.resolution=16",
    "data.batch_size=16",
    f"kimg={KIMG}",
    "log_every_kimg=0.05",
    "sample_every_kimg=0.1",
    "checkpoint_every_kimg=0.06",  # the last one just before the final scores
    "score_every_kimg=0.3",
    "metrics.num_real=100",
    "metrics.num_fake=100",
]
MOMENTS = ("write", "step", "row", "image", "batch")


def start(run, *words):
    environment = {
        "PYTHONPATH": str(Path(__file__).parent),
        "GANLAB_CACHE": str(Path(run).parent / "cache"),
    }
    return Forked("train.py", *words, f"hydra.run.dir={run}", env=environment)


def train(run, *extra, expect=0):
    return command(run, *RECIPE, *extra, expect=expect)


def command(run, *words, expect=0):
    process = start(run, *words)
    out, err = process.communicate(timeout=300)
    assert process.returncode == expect, f"{out}\n{err}"
    return out + err


def killer(images, moment):
    return [
        "+callbacks.killer._target_=spies.Killer",
        f"+callbacks.killer.images={images}",
        f"+callbacks.killer.moment={moment}",
    ]


def tensors(node, prefix=""):
    """Every tensor and number of a checkpoint by its path; what describes the command left out."""
    if isinstance(node, torch.Tensor):
        return {prefix: node}
    if isinstance(node, dict):
        items = node.items()
    elif isinstance(node, list | tuple):
        items = enumerate(node)
    else:
        return {prefix: torch.tensor(float(node))} if isinstance(node, int | float) else {}
    found = {}
    for key, value in items:
        if key not in ("recipe", "loops", "callbacks", "epoch"):  # a clocked run has no epochs
            found |= tensors(value, f"{prefix}/{key}")
    return found


def checkpoint(run):
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def differing(one, other):
    a, b = tensors(checkpoint(one)), tensors(checkpoint(other))
    assert a.keys() == b.keys()
    return [name for name in a if not torch.equal(a[name], b[name])]


def rows(run):
    with (run / "metrics.csv").open() as file:
        return [
            {key: value for key, value in row.items() if key not in TIMING_COLUMNS}
            for row in csv.DictReader(file)
        ]


def pictures(run):
    return {path.name: path.read_bytes() for path in (run / "samples").glob("*.png")}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    train(run)
    return run


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """One run killed at seeded moments and in its final scores, resumed by the same command."""
    run = tmp_path_factory.mktemp("killed") / "run"
    rng = random.Random(0)
    resume = []
    for number, moment in enumerate(MOMENTS):
        images = 150 + 150 * number + rng.randrange(100)
        train(run, *resume, *killer(images, moment), expect=-signal.SIGKILL)
        assert checkpoint(run)["images_seen"] >= 100, "killed after its first checkpoint"
        resume = [f"ckpt={run}/checkpoints/last.ckpt"]
    (run.parent / "middle.ckpt").write_bytes((run / "checkpoints" / "last.ckpt").read_bytes())
    train(run, *resume, *killer(round(KIMG * 1000), "scoring"), expect=-signal.SIGKILL)
    assert checkpoint(run)["images_seen"] == KIMG * 1000
    assert not (run / "result.json").exists()
    output = train(run, *resume, *killer(10**9, "batch"))
    assert "what is left are scores and report" in output
    return run


def test_every_tensor_is_equal(uninterrupted, killed):
    assert differing(uninterrupted, killed) == []
    names = tensors(checkpoint(killed))
    for part in ("generator_ema", "optimizer_states/0", "optimizer_states/1", "random"):
        assert any(part in name for name in names)


def test_every_row_is_equal(uninterrupted, killed):
    assert rows(uninterrupted) == rows(killed)
    assert [int(row["images_seen"]) for row in rows(killed)][-1] == KIMG * 1000


def test_every_score_is_equal(uninterrupted, killed):
    one, two = (json.loads((run / "result.json").read_text()) for run in (uninterrupted, killed))
    assert one["scores"] == two["scores"] != []
    assert two["status"] == "done"


def test_every_picture_is_equal(uninterrupted, killed):
    assert pictures(uninterrupted) == pictures(killed)
    assert len(pictures(killed)) > 9


@pytest.mark.parametrize("removed", ["sampler", "random"])
def test_without_the_state_of_sampler_or_generator_the_runs_differ(uninterrupted, killed, removed):
    """The control: what the checkpoint keeps of each is what makes the tests above pass."""
    run = killed.parent / f"without_{removed}"
    path = run / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True)
    state = torch.load(killed.parent / "middle.ckpt", weights_only=True)
    state["recipe"]["overrides"] = [o for o in state["recipe"]["overrides"] if "killer" not in o]
    words = ["+callbacks.forgetful._target_=spies.Forgetful"]  # a position of 0 would be refused
    if removed == "random":
        words, other = [], torch.Generator().manual_seed(1).get_state()
        state["random"] = [{**each, "torch": other} for each in state["random"]]
    torch.save(state, path)
    train(run, f"ckpt={path}", *words)
    assert any("generator" in name for name in differing(uninterrupted, run))


def signalled(number, sign, run, *extra, expect=None):
    """What a training printed to stderr that was sent a signal once a file was there."""
    process = start(run, *RECIPE, *extra)
    deadline = time.monotonic() + 120
    while not sign.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == (128 + number if expect is None else expect), out + err
    return err


SLOW_HANGUP = pytest.param(signal.SIGHUP, marks=pytest.mark.slow)  # answered as the others are


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, SLOW_HANGUP])
def test_signals_save_at_a_batch_boundary(tmp_path, number):
    run = tmp_path / "run"
    err = signalled(number, run / "metrics.csv", run, "kimg=1000", "checkpoint_every_kimg=null")
    state = checkpoint(run)
    assert state["images_seen"] > 0
    assert f"ckpt={run}/checkpoints/last.ckpt" in err
    assert "interrupted" in (run / "result.json").read_text()


def disk_full(images, until):
    words = {"images": images, "until": until}
    spy = [f"+callbacks.disk.{key}={value}" for key, value in words.items()]
    return ["+callbacks.disk._target_=spies.DiskFull", *spy]


def test_a_disk_that_is_full_for_a_while_costs_nothing(uninterrupted, tmp_path):
    """Not a row of the curve, not the end; only pictures and checkpoints of that while."""
    output = train(tmp_path / "run", *disk_full(320, 640))
    for what in ("metrics.csv", ".png", "checkpoint at"):
        assert re.search(rf"{re.escape(what)}.* was not written", output)
    assert not differing(uninterrupted, tmp_path / "run")
    assert rows(tmp_path / "run") == rows(uninterrupted)


def test_a_disk_that_stays_full_fails_the_run_by_its_name(tmp_path):
    output = train(tmp_path / "run", *disk_full(800, 10**9), expect=1)
    assert "error: the final checkpoint could not be written" in output
    assert "result.json was not written" in output
    assert checkpoint(tmp_path / "run")["images_seen"] < 900


def test_a_signal_whose_state_finds_no_room_is_a_failure_by_its_name(tmp_path):
    run, words = tmp_path / "run", [*disk_full(0, 10**9), "+callbacks.disk.size=20000"]
    sign, words = run / "parts.json", [*words, "kimg=1000", "checkpoint_every_kimg=null"]
    err = signalled(signal.SIGTERM, sign, run, *words, expect=1)
    assert err.splitlines()[-1].startswith("error: the final checkpoint could not be written")
    result = json.loads((run / "result.json").read_text())
    assert (result["status"], result["exit_code"]) == ("failed", 1)


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_signal_before_the_first_batch_is_no_failure(tmp_path, number):
    """While the data is read or the first statistics are computed."""
    run = tmp_path / "run"
    spy = ["+callbacks.spy._target_=spies.Dawdle", f"+callbacks.spy.path={tmp_path}/begun"]
    err = signalled(number, tmp_path / "begun", run, *spy)
    result = json.loads((run / "result.json").read_text())
    assert (result["status"], result["exit_code"]) == ("interrupted", 128 + number)
    assert "nothing was trained yet" in err


def test_an_exception_between_steps_saves(tmp_path):
    run = tmp_path / "run"
    spy = ["+callbacks.spy._target_=spies.Raise", "+callbacks.spy.images=320"]
    output = train(run, "checkpoint_every_kimg=null", *spy, expect=1)
    assert "out of luck" in output
    assert checkpoint(run)["images_seen"] == 320
    assert "failed" in (run / "result.json").read_text()


def test_nan_stops_the_run_and_spares_the_checkpoint(tmp_path):
    run = tmp_path / "run"
    name = "discriminator.to_logit.weight"
    spy = ["+callbacks.spy._target_=spies.Poison", "+callbacks.spy.images=320"]
    spy += [f"+callbacks.spy.name={name}"]
    output = train(run, *spy, expect=1)
    assert name in output
    assert "lower learning rate" in output
    state = checkpoint(run)
    assert state["images_seen"] < 320
    assert all(torch.isfinite(value).all() for value in state["state_dict"].values())


def test_finished_run_is_left_as_it_is(uninterrupted):
    before = {path: path.read_bytes() for path in uninterrupted.rglob("*") if path.is_file()}
    output = train(uninterrupted, f"ckpt={uninterrupted}/checkpoints/last.ckpt")
    assert "nothing to train: this run is finished" in output
    assert {
        path: path.read_bytes() for path in uninterrupted.rglob("*") if path.is_file()
    } == before


def test_resume_on_other_data_is_refused_and_the_result_kept(tmp_path):
    run, images = tmp_path / "run", tmp_path / "images.npy"
    recipe = [word for word in RECIPE if not word.startswith(("data", "kimg", "metrics"))]
    recipe += ["data=arrays", f"data.path={images}", "data.channels=3", "data.resolution=16"]
    pixels = np.random.default_rng(0).integers(0, 256, (50, 16, 16, 3), dtype=np.uint8)
    np.save(images, pixels)
    command(run, *recipe, "features=classifier", "scores=null", "data.batch_size=16", "kimg=0.16")
    result = (run / "result.json").read_text()
    np.save(images, pixels[:40])
    ckpt = f"ckpt={run}/checkpoints/last.ckpt"
    output = command(run, ckpt, "kimg=0.32", expect=1)
    assert "the data is not what this run was trained on" in output
    assert (run / "result.json").read_text() == result
    command(run, ckpt, "kimg=0.32", "resume=force")
    assert checkpoint(run)["images_seen"] == 320


def test_changed_recipe_is_refused_unless_forced(uninterrupted, tmp_path):
    ckpt = f"ckpt={uninterrupted}/checkpoints/last.ckpt"
    elsewhere = tmp_path / "elsewhere"
    changed = ["model.generator_optimizer.lr=0.1", "data.batch_size=8"]
    output = train(elsewhere, ckpt, *changed, expect=1)
    assert "model.generator_optimizer.lr: 0.0002 -> 0.1" in output
    assert "data.batch_size: 16 -> 8" in output
    other = train(elsewhere, ckpt, "model.generator.hidden=[32,16]", "resume=force", expect=1)
    assert "error: the checkpoint's networks are not this config's: generator." in other
    assert "Traceback" not in other
    train(elsewhere, ckpt, *changed, "resume=force", "kimg=1.0")
    saved = checkpoint(elsewhere)
    assert saved["images_seen"] == 1000
    rates = [state["param_groups"][0]["lr"] for state in saved["optimizer_states"]]
    assert rates == [0.1, 0.0002], "a forced resume goes on at the old rates"


@pytest.mark.slow
def test_an_older_checkpoint_of_a_run_does_not_write_over_a_later_one(uninterrupted, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(uninterrupted, run)
    best, last = run / "checkpoints/best.ckpt", run / "checkpoints/last.ckpt"
    earlier = checkpoint(run)
    earlier["images_seen"] = earlier["sampler"]["position"] = 480
    earlier["counters"] |= {"images_seen": 480, "images_at_ema": 480}
    torch.save(earlier, best)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    output = command(run, f"ckpt={best}", expect=1)
    assert f"{best} is at 0.48 kimg and {last} beside it at 0.96" in output
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    command(tmp_path / "branch", f"ckpt={best}")
    assert checkpoint(tmp_path / "branch")["images_seen"] == 960
    assert (tmp_path / "branch/checkpoints/best.ckpt").is_file()
    command(run, f"ckpt={best}", "resume=force", "kimg=0.5")
    assert checkpoint(run)["images_seen"] == 512
