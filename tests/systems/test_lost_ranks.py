"""A rank that dies ends the run with one line that names it, and leaves a checkpoint that works."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ganlab.processes import is_running
from ganlab.runs.outcome import how_to_resume
from ganlab.systems import ranks
from ganlab.systems.ranks import Peer, RankLostError, Watch, lost_ranks_named

ROOT = Path(__file__).parents[2]
WORDS = [
    *("model=vanilla", "model.generator.hidden=[16]", "model.discriminator.hidden=[16]"),
    *("data=synthetic", "data.num=64", "data.resolution=16", "data.batch_size=8"),
    *("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "scores=null"),
    *("callbacks=none", "checkpoint_every_kimg=0.016", "kimg=0.096"),
    *("allow_targets=[spies]", "+callbacks.fate._target_=spies.Fate"),
]
AGAIN = [word for word in WORDS if word.startswith(("trainer", "allow_targets"))]


def train(*words):
    return subprocess.run(
        [sys.executable, "train.py", *words],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"},
        capture_output=True,
        text=True,
        timeout=120,  # whoever is left must not wait for the dead
    )


def accident(run, rank, how):
    fate = [f"+callbacks.fate.rank={rank}", f"+callbacks.fate.how={how}"]
    return train(*WORDS, *fate, "+callbacks.fate.images=40", f"hydra.run.dir={run}")


def errors(done):
    return [line for line in done.stderr.splitlines() if line.startswith("error: ")]


def way_of(line):
    """The words to go on with, as a shell reads them."""
    return shlex.split(line.partition("; go on with ")[2])


def test_a_killed_rank_is_named_and_the_run_goes_on_from_its_checkpoint(tmp_path):
    done = accident(tmp_path, 1, "kill")
    assert done.returncode == 1
    (line,) = errors(done)
    assert re.match(r"error: rank 1 \(process \d+ on \S+\) is gone, ended by SIGKILL", line)
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert way_of(line) == [f"ckpt={last}", *AGAIN]
    assert "Traceback" not in done.stderr
    assert torch.load(last, weights_only=True)["images_seen"] == 32
    done = train(*way_of(line), "+callbacks.fate.rank=7")
    assert done.returncode == 0, done.stderr
    state = torch.load(last, weights_only=True)
    assert (state["images_seen"], len(state["random"])) == (96, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rank", "how", "code"), [(0, "kill", -9), (0, "raise", 1), (1, "raise", 1), (1, "stuck", 1)]
)
def test_whoever_dies_however_the_other_says_so(tmp_path, rank, how, code):
    done = accident(tmp_path, rank, how)
    assert done.returncode == code
    (line,) = errors(done)
    assert line.startswith(f"error: rank {rank} (process ")
    assert way_of(line) == [f"ckpt={tmp_path}/checkpoints/last.ckpt", *AGAIN]
    assert ("out of luck" in done.stderr) == (how == "raise")
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.fixture
def other():
    """Another process of this machine, that lives until it is told not to."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def watching(process, children=()):
    watch = Watch(lambda: "go on")
    watch.others = watch.near = [Peer(3, "here", "", process.pid)]
    watch.children = list(children)
    return watch


def test_a_process_that_ended_is_not_running_even_before_it_is_waited_for(other):
    assert is_running(other.pid)
    assert is_running(os.getpid())
    other.kill()
    while is_running(other.pid):
        pass
    assert other.returncode is None, "nobody has waited for it"


def test_a_rank_that_cannot_notice_is_ended(other, monkeypatch, capsys):
    monkeypatch.setattr(ranks, "POLL", 0.01)
    monkeypatch.setattr(ranks, "PATIENCE", 0.01)
    codes = []
    monkeypatch.setattr(ranks.os, "_exit", codes.append)
    other.kill()
    watching(other, [other])._look()
    assert codes == [1]
    assert capsys.readouterr().err.startswith(
        f"error: rank 3 (process {other.pid} on here) is gone"
    )


def test_a_rank_that_ends_in_order_ends_nobody(other, monkeypatch):
    monkeypatch.setattr(ranks, "POLL", 0.01)
    monkeypatch.setattr(ranks.os, "_exit", lambda code: pytest.fail("exited"))
    watch = watching(other)
    watch.over.set()
    other.kill()
    watch._look()


class Trainer:
    """As much of a trainer as is asked."""

    def __init__(self, *callbacks):
        self.callbacks = list(callbacks)
        self.world_size = 1 + max((len(each.others) for each in callbacks), default=0)
        self.global_rank, self.local_rank = 0, 0
        self.strategy = SimpleNamespace(launcher=None)


GLOO = "[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:17803"


def test_a_broken_connection_is_told_by_the_process_at_its_end(other):
    other.kill()
    with (
        pytest.raises(RankLostError, match=rf"^rank 3 \(process {other.pid} on here\) is gone"),
        lost_ranks_named(Trainer(watching(other))),
    ):
        raise RuntimeError(GLOO)


def test_where_all_processes_here_live_those_elsewhere_are_named(other, monkeypatch):
    monkeypatch.setattr(ranks, "NOTICE", 0.1)
    watch = watching(other)
    watch.others = [*watch.near, Peer(8, "there", "", 1)]
    with (
        pytest.raises(RankLostError, match=r"broke \(.*closed by peer.*rank 8 .* on there"),
        lost_ranks_named(Trainer(watch)),
    ):
        raise RuntimeError(GLOO)


@pytest.mark.parametrize("callbacks", [[], [Watch(lambda: "")]])
def test_other_errors_and_lone_processes_keep_their_errors(callbacks):
    with pytest.raises(RuntimeError, match="gloo") as raised, lost_ranks_named(Trainer(*callbacks)):
        raise RuntimeError(GLOO)
    assert type(raised.value) is RuntimeError


def test_the_way_on(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "ganlab.runs.outcome.origin", lambda: None
    )  # another test's, of this process
    assert how_to_resume(None) == "run it again"
    assert "no checkpoint yet" in how_to_resume(tmp_path / "last.ckpt")
    (tmp_path / "last.ckpt").touch()
    assert how_to_resume(tmp_path / "last.ckpt") == f"go on with ckpt={tmp_path}/last.ckpt"


@pytest.mark.slow
def test_a_disk_that_is_full_on_the_writing_rank_leaves_none_waiting(tmp_path):
    spy = ["+callbacks.disk._target_=spies.DiskFull", "+callbacks.disk.images=16"]
    words = [word for word in WORDS if "fate" not in word]
    done = train(*words, *spy, "+callbacks.disk.until=64", f"hydra.run.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert "checkpoint at 32 images was not written" in done.stderr
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["images_seen"] == 96
