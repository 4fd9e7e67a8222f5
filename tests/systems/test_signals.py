"""A scheduler's signals: all ranks save together, the first alone asks for the job again, once."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.fabric.plugins.environments import SLURMEnvironment

from ganlab.runs.outcome import again_later, interruptible
from ganlab.slurm import own_job, requeue
from ganlab.systems.checkpoint import Checkpointing
from ganlab.systems.signals import POLL_IMAGES, POLL_SECONDS, STOPS, Stops, pause
from ganlab.systems.trainer import make_trainer

ROOT = Path(__file__).parents[2]
WORDS = [
    *("model=vanilla", "model.generator.hidden=[16]", "model.discriminator.hidden=[16]"),
    *("data=synthetic", "data.num=64", "data.resolution=16", "data.batch_size=8", "kimg=1000000"),
    *("scores=null", "callbacks=none", "checkpoint_every_kimg=0.016"),
]
TWO = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
SCONTROL = """#!/bin/sh
echo "$@" >> "$SAID"
test -f "$LAST" && cp "$LAST" "$SAID.ckpt"
"""


def slurm(folder, run, **variables):
    """The environment of a job, with a scontrol that writes down what it is told."""
    path = folder / "bin" / "scontrol"
    path.parent.mkdir()
    path.write_text(SCONTROL)
    path.chmod(0o755)
    return {
        "PATH": f"{path.parent}:{os.environ['PATH']}",
        "SAID": str(folder / "said"),
        "LAST": str(run / "checkpoints" / "last.ckpt"),
        "SLURM_JOB_ID": "4217",
        **variables,
    }


def begun(run, *words, **environment):
    """A training that has written its first checkpoint."""
    process = subprocess.Popen(
        [sys.executable, "train.py", *WORDS, *words, f"hydra.run.dir={run}"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(run / "checkpoints" / "last.ckpt", process)
    return process


def wait_for(path, process):
    until = time.monotonic() + 240
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.1)


def children(pid):
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def result(run):
    return json.loads((run / "result.json").read_text())


@pytest.mark.slow
def test_a_signal_to_one_rank_saves_with_all_and_the_first_asks_for_the_job_once(tmp_path):
    run, said = tmp_path / "run", tmp_path / "said"
    job = slurm(tmp_path, run, SLURM_ARRAY_JOB_ID="4200", SLURM_ARRAY_TASK_ID="7")
    process = begun(run, *TWO, **job)
    (other,) = children(process.pid)
    os.kill(other, signal.SIGUSR1)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGUSR1, err
    assert said.read_text() == "requeue 4200_7\n"
    assert "job 4200_7 is back in the queue" in err
    last = run / "checkpoints" / "last.ckpt"
    assert said.with_suffix(".ckpt").read_bytes() == last.read_bytes(), "asked after it was written"
    assert not list(run.rglob("hpc_ckpt*"))
    state = torch.load(last, weights_only=True)
    assert len(state["random"]) == 2, "every rank its part"
    assert result(run)["status"] == "interrupted"
    assert result(run)["images_seen"] == state["images_seen"]


@pytest.mark.parametrize(
    ("number", "variables"),
    [
        (signal.SIGTERM, {"SLURM_JOB_ID": "4217"}),  # the job is cancelled, or SLURM requeues it
        (signal.SIGUSR2, {"SLURM_JOB_ID": "4217", "SUBMITIT_EXECUTOR": "slurm"}),
        (signal.SIGUSR2, {"SLURM_JOB_ID": ""}),
    ],
)
@pytest.mark.slow
def test_nobody_asks_for_a_job_that_is_not_ours_to_ask_for(tmp_path, number, variables):
    run = tmp_path / "run"
    process = begun(run, **slurm(tmp_path, run, **variables))
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number, err
    assert not (tmp_path / "said").exists()
    assert f"go on with ckpt={run}/checkpoints/last.ckpt" in err
    assert result(run)["status"] == "interrupted"


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "scoring"])
def test_a_signal_before_the_first_batch_or_in_the_final_scores_is_answered_at_once(
    tmp_path, moment
):
    run, sign = tmp_path / "run", tmp_path / "sign"
    spy = ["allow_targets=[spies]", "+callbacks.spy._target_=spies.Dawdle"]
    spy += [f"+callbacks.spy.path={sign}", f"+callbacks.spy.moment={moment}", "kimg=0.064"]
    job = slurm(tmp_path, run, PYTHONPATH=f"{ROOT}:{Path(__file__).parent}")
    process = subprocess.Popen(
        [sys.executable, "train.py", *WORDS, *spy, f"hydra.run.dir={run}"],
        cwd=ROOT,
        env=os.environ | job,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(sign, process)
    process.send_signal(signal.SIGUSR1)
    _, err = process.communicate(timeout=60)  # the spy would take its time
    assert process.returncode == 128 + signal.SIGUSR1, err
    assert result(run)["status"] == "interrupted"
    assert (tmp_path / "said").read_text() == "requeue 4217\n"
    last = run / "checkpoints" / "last.ckpt"
    assert last.exists() == (moment == "scoring")
    if last.exists():
        assert torch.load(last, weights_only=True)["images_seen"] == 64


def test_a_job_is_named_as_scontrol_takes_it():
    assert own_job({"SLURM_JOB_ID": "12"}) == "12"
    assert own_job({"SLURM_JOB_ID": "14", "SLURM_ARRAY_JOB_ID": "12"}) == "14"
    array = {"SLURM_JOB_ID": "14", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"}
    assert own_job(array) == "12_3"
    assert own_job(array | {"SUBMITIT_EXECUTOR": "slurm"}) is None
    assert own_job({}) is own_job({"SLURM_JOB_ID": "1; rm -r x"}) is None


def test_a_refused_requeue_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.delenv("SUBMITIT_EXECUTOR", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    requeue()
    assert "error: job 12 was not requeued" in capsys.readouterr().err
    (tmp_path / "scontrol").write_text("#!/bin/sh\necho disabled >&2; exit 1")
    (tmp_path / "scontrol").chmod(0o755)
    requeue()
    assert "job 12 was not requeued (disabled): submit it again" in capsys.readouterr().err


def test_a_state_that_was_not_written_does_not_go_back_into_the_queue(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("ganlab.runs.outcome.requeue", lambda: asked.append(1))
    outcome, checkpointing = {"status": "interrupted", "exit_code": 138}, Checkpointing(tmp_path)
    checkpointing.failure = "no space left"
    again_later(outcome, checkpointing)
    again_later(outcome | {"status": "done", "exit_code": 0}, None)
    again_later(outcome | {"exit_code": 143}, None)
    assert asked == []
    again_later(outcome, None)
    assert asked == [1]


def test_lightnings_own_answer_and_checkpoint_are_off(tmp_path, monkeypatch):
    """Under SLURM it would save by itself, and begin from such a file over a newer one of ours."""
    for name, value in {"NTASKS": "1", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SLURM_JOB_NAME", "batch")
    (tmp_path / "hpc_ckpt_1.ckpt").touch()
    trainer = make_trainer("cpu", directory=str(tmp_path))
    assert isinstance(trainer._accelerator_connector.cluster_environment, SLURMEnvironment)
    before = [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)]
    trainer._signal_connector.register_signal_handlers()
    assert [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)] == before
    chosen = trainer._checkpoint_connector._parse_ckpt_path(
        SimpleNamespace(value="fit"), None, model_provided=True, model_connected=True
    )
    assert chosen is None


@pytest.mark.parametrize("seconds_each", [1e-5, 0.01, 1.0, 20.0])
def test_ranks_ask_each_other_at_least_every_thousand_images_or_ten_seconds(seconds_each):
    """In images of constant speed, a batch of one; a step is never cut."""
    images = pause(round(100 / seconds_each), 100.0)
    assert 1 <= images <= POLL_IMAGES
    assert images == 1 or images * seconds_each <= POLL_SECONDS <= 10


class Reduced:
    """An all-reduce among simulated ranks: what they told, and the maximum of it."""

    def __init__(self, monkeypatch, slowest):
        self.slowest = slowest
        monkeypatch.setattr("ganlab.systems.signals.distributed.all_reduce", self.reduce)

    def reduce(self, tensor, operation):
        tensor[1] = max(float(tensor[1]), self.slowest)


def test_ranks_of_different_speed_poll_at_the_same_images(monkeypatch):
    """Each measures its own seconds; the slowest one's decide."""
    Reduced(monkeypatch, slowest=4.0)
    told = []
    for clock in (iter(range(0, 4000, 4)), iter(range(0, 1000, 1))):
        monkeypatch.setattr("ganlab.systems.signals.time.monotonic", lambda c=clock: next(c))
        stops, at = Stops(), []
        strategy = SimpleNamespace(root_device=torch.device("cpu"))
        trainer = SimpleNamespace(world_size=2, strategy=strategy)
        for images in range(8, 4000, 8):
            before = stops._polled
            assert not stops.asked(trainer, SimpleNamespace(images_seen=images, complete=False))
            at += [images] if stops._polled is not before else []
        told.append(at)
    assert told[0] == told[1]
    assert len(told[0]) > 10


class Ended:
    """Does something inside `interruptible`; `code` is the exit that it came to, None if none."""

    def __init__(self, work):
        self.code = None
        try:
            with interruptible():
                work()
        except SystemExit as end:
            self.code = end.code


def test_a_hangup_that_nohup_set_aside_stays_unheard():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stops = Stops()
        with interruptible():
            signal.raise_signal(signal.SIGHUP)
            stops.take()
            signal.raise_signal(signal.SIGHUP)
            stops.give_back()
        assert stops.received is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_only_a_second_urgent_signal_that_comes_later_ends_a_run_at_once(monkeypatch):
    """`timeout` sends each twice at once; after SIGUSR1 SLURM's SIGTERM may find it saving."""
    now, passed = [0.0], []
    monkeypatch.setattr("ganlab.systems.signals.time.monotonic", lambda: now[0])
    stops = Stops()

    def work():
        stops.take()
        for number in (signal.SIGUSR1, signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM):
            signal.raise_signal(number)
        assert stops.received == signal.SIGUSR1
        now[0] = 2.0
        signal.raise_signal(signal.SIGUSR2)
        passed.append("all but the last")
        signal.raise_signal(signal.SIGTERM)
        passed.append("the last")

    assert Ended(work).code == 128 + signal.SIGTERM
    assert passed == ["all but the last"]


@pytest.mark.parametrize("number", [*STOPS])
def test_each_signal_ends_what_is_under_way_with_its_own_code(number):
    went_on = []

    def work():
        signal.raise_signal(number)
        went_on.append(number)

    before = signal.getsignal(number)
    assert Ended(work).code == 128 + number
    assert not went_on
    if number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.raise_signal(number)  # another, while the end is written down, changes nothing
        signal.signal(number, before)


def test_an_error_that_a_signal_led_to_is_the_signals():
    def broken():
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise RuntimeError("connection closed by peer") from None

    def of_its_own():
        raise RuntimeError("connection closed by peer")

    assert Ended(broken).code == 128 + signal.SIGTERM
    with pytest.raises(RuntimeError):
        Ended(of_its_own)
