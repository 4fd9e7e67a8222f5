"""Ranks that are stopped, that cannot meet, or that are told to end while they hang."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ganlab.processes import is_running, is_stopped
from ganlab.systems import ranks
from ganlab.systems.alarm import Alarm
from ganlab.systems.ranks import Peer, Watch

ROOT = Path(__file__).parents[2]
WORDS = [
    *("model=vanilla", "model.generator.hidden=[16]", "model.discriminator.hidden=[16]"),
    *("data=synthetic", "data.num=64", "data.resolution=16", "data.batch_size=8"),
    *("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "scores=null"),
    *("callbacks=none", "checkpoint_every_kimg=0.016", "kimg=1000000"),
]


@contextmanager
def started(run, *words, **environment):
    """A training of two ranks in a process group of its own."""
    process = subprocess.Popen(
        [sys.executable, "train.py", *WORDS, *words, f"hydra.run.dir={run}"],
        cwd=ROOT,
        env=os.environ
        | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}
        | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if left(process):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def left(process):
    """Processes of the group that have not ended."""
    stats = [path.read_text() for path in Path("/proc").glob("[0-9]*/stat") if path.exists()]
    fields = [stat.rpartition(")")[2].split() for stat in stats]
    return [each for each in fields if int(each[2]) == process.pid and each[0] not in "ZX"]


def appears(path, process):
    until = time.monotonic() + 240
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.1)


def child_of(process):
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return int(path.read_text().split()[0])


def ended(process, within):
    """Exit code and error lines, of a run whose ranks all end in time and without a traceback."""
    _, err = process.communicate(timeout=within)
    until = time.monotonic() + within
    while left(process) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left(process)
    assert "Traceback" not in err
    return process.returncode, [line for line in err.splitlines() if line.startswith("error: ")]


def test_a_port_in_use_is_one_line_and_nobody_waits(tmp_path):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with started(tmp_path, MASTER_PORT=port) as process:
            code, (line,) = ended(process, 120)
    assert code == 1
    assert line.startswith(f"error: MASTER_PORT={port} is in use")


@pytest.mark.parametrize("stopped", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_sigterm_ends_a_run_that_waits_for_a_stopped_rank(tmp_path, stopped):
    last = tmp_path / "checkpoints" / "last.ckpt"
    with started(tmp_path) as process:
        appears(last, process)
        pids = [process.pid, child_of(process)]
        os.kill(pids[stopped], signal.SIGSTOP)
        time.sleep(1)
        os.kill(pids[1 - stopped], signal.SIGTERM)
        code, (line,) = ended(process, 60)
    assert code == (143 if stopped else -signal.SIGKILL)
    said = rf"error: ended by SIGTERM while rank {stopped} \(process {pids[stopped]} on \S+\)"
    assert re.match(said, line)
    assert f"go on with ckpt={last}" in line
    assert torch.load(last, weights_only=True)


@pytest.mark.slow
def test_a_rank_that_stays_stopped_is_named_and_killed(tmp_path):
    with started(tmp_path) as process:
        appears(tmp_path / "checkpoints" / "last.ckpt", process)
        os.kill(child_of(process), signal.SIGSTOP)
        time.sleep(20)
        assert process.poll() is None, "too early to tell"
        code, (line,) = ended(process, 100)
    assert code == 1
    assert re.match(r"error: rank 1 .* was stopped for 4\d s and was killed", line)


@pytest.mark.slow
def test_a_job_that_is_suspended_as_a_whole_goes_on(tmp_path):
    last = tmp_path / "checkpoints" / "last.ckpt"
    with started(tmp_path) as process:
        appears(last, process)
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(55)
        assert len(left(process)) == 2
        before = last.stat().st_mtime_ns
        os.killpg(process.pid, signal.SIGCONT)
        time.sleep(15)
        assert last.stat().st_mtime_ns > before
        process.terminate()
        code, errors = ended(process, 60)
    assert (code, errors) == (143, [])


@pytest.mark.slow
def test_a_rank_that_scores_for_minutes_is_waited_for(tmp_path):
    spy = ["allow_targets=[spies]", "+callbacks.spy._target_=spies.Dawdle", "kimg=0.064"]
    spy += [f"+callbacks.spy.path={tmp_path}/sign", "+callbacks.spy.moment=amid"]
    spy += ["+callbacks.spy.seconds=75", "+callbacks.spy.rank=0"]
    with started(tmp_path / "run", *spy) as process:
        appears(tmp_path / "sign", process)
        code, errors = ended(process, 180)
    assert (code, errors) == (0, [])


@pytest.mark.slow
def test_sigterm_ends_ranks_that_wait_for_each_other_in_vain(tmp_path):
    """Rank 1 sleeps, rank 0 waits for it, and no process is stopped."""
    spy = ["allow_targets=[spies]", "+callbacks.spy._target_=spies.Dawdle"]
    spy += [f"+callbacks.spy.path={tmp_path}/sign", "+callbacks.spy.moment=amid"]
    spy += ["+callbacks.spy.seconds=1000", "+callbacks.spy.rank=1"]
    with started(tmp_path / "run", *spy) as process:
        appears(tmp_path / "sign", process)
        process.terminate()
        code, errors = ended(process, 100)
    assert code == 143
    assert errors[0].startswith("error: ended by SIGTERM, as no rank here did anything")


@pytest.mark.slow
def test_a_rank_that_never_meets_the_first_ends_by_sigterm(tmp_path):
    """Started by hand: there is nobody at the port, and no parent to look at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    second = {"LOCAL_RANK": "1", "NODE_RANK": "0", "WORLD_SIZE": "2"}
    second |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    with started(tmp_path, **second) as process:
        said = ""
        while "Initializing distributed" not in said:
            said = process.stderr.readline()
        time.sleep(2)
        process.terminate()
        code, (line,) = ended(process, 60)
    assert code == 143
    assert line.startswith("error: ended by SIGTERM before all ranks had met")


@pytest.fixture
def other():
    """Another process of this machine."""
    process = subprocess.Popen(["sleep", "100"])
    yield process
    process.kill()
    process.wait()


def watching(other, monkeypatch):
    """A watch with a tenth of a second to a look, and what it said when it ended this process."""
    monkeypatch.setattr(ranks, "POLL", 0.01)
    watch, said = Watch(lambda: "go on"), []
    watch.others = watch.near = [Peer(1, "here", "", other.pid)]
    monkeypatch.setattr(watch, "end", said.append)
    return watch, said


def test_stopped_is_a_state_of_the_process(other):
    assert not is_stopped(other.pid)
    other.send_signal(signal.SIGSTOP)
    while not is_stopped(other.pid):
        pass
    assert is_running(other.pid)
    other.send_signal(signal.SIGCONT)
    while is_stopped(other.pid):
        pass


def test_looks_at_a_rank_that_is_continued_begin_anew(other, monkeypatch):
    watch, _ = watching(other, monkeypatch)
    for _ in range(3):
        other.send_signal(signal.SIGSTOP)
        while not is_stopped(other.pid):
            pass
        for _ in range(ranks.STOPPED - 1):
            watch._count()
        other.send_signal(signal.SIGCONT)
        while is_stopped(other.pid):
            pass
        watch._count()
        assert not watch.stopped
    assert is_running(other.pid)


def told(*numbers):
    """An alarm that heard these at its newest look, as if the system had told it."""
    alarm = Alarm()
    alarm._heard = lambda: list(numbers)
    alarm.look([], 1.0)
    alarm._heard = list
    return alarm


def test_a_signal_waits_while_a_rank_works_or_saves_and_not_for_ever(other, monkeypatch):
    watch, _ = watching(other, monkeypatch)
    watch.alarm = told(signal.SIGTERM)

    def after(looks, idle):
        watch.alarm.looks, watch.alarm.idle = looks, idle
        return watch.unanswered()

    assert after(ranks.IDLE - 1, ranks.IDLE - 1) is None
    assert after(ranks.IDLE, ranks.IDLE - 1) is None, "somebody worked just now"
    assert after(ranks.ANSWER, 1000) is None, "idle before it came"
    assert "ended by SIGTERM" in after(ranks.IDLE, ranks.IDLE)
    assert "ended by SIGTERM" in after(ranks.BUSY, 0)
    watch.stops = SimpleNamespace(agreed=signal.SIGTERM)
    assert after(ranks.BUSY, ranks.BUSY) is None, "all ranks know of it: they save"
    watch.alarm.again = True
    assert "second signal" in after(ranks.ANSWER, 0)


def test_a_schedulers_signal_never_ends_a_rank_that_works_at_its_answer(other, monkeypatch):
    watch, _ = watching(other, monkeypatch)
    watch.alarm = told(signal.SIGUSR1)
    watch.alarm.looks = watch.alarm.idle = ranks.BUSY
    assert watch.unanswered() is None
    watch.alarm._heard = lambda: [signal.SIGTERM]
    watch.alarm.look([], 1.0)
    assert (watch.alarm.number, watch.alarm.looks, watch.alarm.again) == (signal.SIGTERM, 0, False)


def test_the_alarm_hears_what_the_main_thread_cannot_answer():
    alarm, before = Alarm(), signal.signal(signal.SIGTERM, lambda number, frame: None)
    alarm.set()
    try:
        signal.raise_signal(signal.SIGTERM)
        alarm.look([os.getpid()], 1.0)
        assert alarm.number == signal.SIGTERM
    finally:
        alarm.reset()
        signal.signal(signal.SIGTERM, before)


def test_a_process_that_computes_is_not_idle():
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    idle = subprocess.Popen(["sleep", "100"])
    try:
        for process, wanted in ((busy, False), (idle, True)):
            alarm = Alarm()
            for _ in range(4):
                time.sleep(0.5)
                alarm.look([process.pid], 0.5)
            assert (alarm.idle >= 3) == wanted
    finally:
        for process in (busy, idle):
            process.kill()
            process.wait()


def test_one_of_several_ranks_says_what_happened_and_the_others_that_they_end(other):
    other.kill()
    alive = Peer(0, "here", "", os.getpid())
    dead = Peer(1, "here", "", other.pid)
    for rank, near, start in (
        (0, [dead], "rank 1 (process"),
        (2, [alive, dead], "rank 2 ends too"),
    ):
        watch = Watch(lambda: "go on")
        watch.rank, watch.others, watch.near = rank, near, near
        assert watch.message(dead).startswith(start)
