"""One process holds a directory, with the system's locks and without them."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from ganlab import processes
from ganlab.runs import locks
from ganlab.runs.locks import HOLDER, InUseError, hold, holder, release, take

ROOT = Path(__file__).parents[2]
WITHOUT = """
import errno, fcntl
def flock(*_):
    raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = flock
"""
TAKE = """
import sys, time, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from ganlab.runs import locks
try:
    locks.take(Path(sys.argv[1]), patience=1.0)
except locks.InUseError as error:
    print(error, flush=True)
    sys.exit(3)
print("held", flush=True)
time.sleep(60)
"""


def start(directory, program=TAKE):
    return subprocess.Popen(
        [sys.executable, "-c", program, str(directory)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


@contextmanager
def another(directory, program=TAKE):
    """A process that holds a directory, killed at the end."""
    process = start(directory, program)
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def with_locks(monkeypatch):
    return TAKE


def without_locks(monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    return WITHOUT + TAKE


@pytest.mark.filterwarnings("ignore:this file system has no locks")
@pytest.mark.parametrize("ways", [with_locks, without_locks])
def test_a_directory_is_one_process_until_that_is_killed(tmp_path, monkeypatch, ways):
    program = ways(monkeypatch)
    with another(tmp_path, program) as process:
        who = rf"is being written by another process \({process.pid} on .*, since 20"
        with pytest.raises(InUseError, match=who):
            take(tmp_path, patience=0.2)
        assert holder(tmp_path).pid == process.pid
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert holder(tmp_path) is None
        with hold(tmp_path):
            assert holder(tmp_path).pid == os.getpid()
            with hold(tmp_path):  # still
                pass
            assert holder(tmp_path).pid == os.getpid()
        assert holder(tmp_path) is None
        assert not (tmp_path / HOLDER).exists()


@pytest.mark.parametrize("program", [TAKE, WITHOUT + TAKE])
def test_of_several_that_find_a_stale_record_one_gets_the_directory(tmp_path, program):
    (tmp_path / HOLDER).write_text(record(pid=gone()))
    several = [start(tmp_path, program) for _ in range(4)]
    said = [process.stdout.readline() for process in several]
    for process in several:
        process.kill()
        process.communicate()
    assert said.count("held\n") == 1
    assert sum("is being written by another process" in each for each in said) == 3


def test_a_forked_child_does_not_keep_the_lock_of_a_killed_process(tmp_path):
    fork = "import os; child = os.fork(); child and print(child, flush=True); time.sleep(60)"
    program = TAKE.replace("time.sleep(60)", fork)
    with another(tmp_path, program) as process:
        child = int(process.stdout.readline())
        try:
            process.kill()
            process.wait()
            assert processes.is_running(child)
            take(tmp_path)
            release(tmp_path)
        finally:
            os.kill(child, signal.SIGKILL)


def gone():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def record(**facts):
    return json.dumps(vars(locks.this_process()) | facts)


@pytest.mark.filterwarnings("ignore:this file system has no locks")
@pytest.mark.parametrize(
    ("facts", "environment", "free"),
    [
        ({}, {}, False),
        ({"pid": -1}, {}, True),  # damaged, and old
        ({"said": 3}, {}, True),
        ({"started": 1}, {}, True),  # the number is another process's by now
        ({"place": "0123456789ab", "host": "another"}, {}, False),
        ({"place": "0123456789ab", "job": "7"}, {"SLURM_JOB_ID": "7"}, False),
        (
            {"place": "0123456789ab", "job": "7"},
            {"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "1"},  # put back into the queue
            True,
        ),
    ],
)
def test_without_locks_the_record_says_whether_its_process_is_gone(
    tmp_path, monkeypatch, facts, environment, free
):
    without_locks(monkeypatch)
    (tmp_path / HOLDER).write_text(record(**facts))
    (tmp_path / locks.LOCK).touch()
    os.utime(tmp_path / HOLDER, (0, 0))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (holder(tmp_path) is None) == free
    if free:
        with hold(tmp_path):
            assert locks.is_ours(tmp_path)
        return
    before = (tmp_path / HOLDER).read_bytes()
    way = f"delete {tmp_path}/.holder" if "place" in facts else "since 20"
    with pytest.raises(InUseError, match=way), hold(tmp_path, patience=0):
        pass
    assert (tmp_path / HOLDER).read_bytes() == before


@pytest.mark.filterwarnings("ignore:this file system has no locks")
def test_without_locks_a_record_that_is_being_written_counts(tmp_path, monkeypatch):
    without_locks(monkeypatch)
    (tmp_path / locks.LOCK).touch()
    (tmp_path / HOLDER).write_text("")
    assert holder(tmp_path) is not None
    old = time.time() - 60
    os.utime(tmp_path / HOLDER, (old, old))
    assert holder(tmp_path) is None


@pytest.mark.filterwarnings("ignore:this file system has no locks")
def test_a_pipe_in_the_place_of_a_record_is_not_waited_for(tmp_path, monkeypatch):
    (tmp_path / locks.LOCK).touch()
    os.mkfifo(tmp_path / HOLDER)
    assert holder(tmp_path) is None
    without_locks(monkeypatch)
    old = time.time() - 60
    os.utime(tmp_path / HOLDER, (old, old))
    assert holder(tmp_path) is None


def test_a_lock_that_somebody_deletes_is_made_again(tmp_path):
    take(tmp_path)
    release(tmp_path)
    (tmp_path / locks.LOCK).unlink()
    with another(tmp_path):
        pass


def test_a_look_needs_no_right_to_write(tmp_path, monkeypatch):
    opening = Path.open

    def reading(path, mode="r", *rest, **more):
        if set(mode) & set("wax+"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opening(path, mode, *rest, **more)

    with another(tmp_path) as process:
        monkeypatch.setattr(Path, "open", reading)
        assert holder(tmp_path).pid == process.pid
    assert holder(tmp_path) is None


def test_a_record_of_a_clock_that_was_set_back_does_not_count_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_flocked", lambda *_: None)
    (tmp_path / HOLDER).write_text("")  # its process was killed as it began to write
    later = time.time() + 3600
    os.utime(tmp_path / HOLDER, (later, later))
    assert take(tmp_path, patience=1.0)
    release(tmp_path)
