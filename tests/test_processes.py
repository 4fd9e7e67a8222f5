import os
import subprocess
import sys

import pytest

from ganlab import processes


def test_a_process_is_alive_until_it_ends():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert processes.is_running(process.pid)
    process.communicate(b"\n")
    assert not processes.is_running(process.pid)
    assert processes.is_running(os.getpid())


def test_somebody_elses_process_is_alive(monkeypatch):
    def refuse(pid, number):
        raise PermissionError

    monkeypatch.setattr(processes.os, "kill", refuse)
    assert processes.is_running(1)


@pytest.fixture
def linux(monkeypatch, tmp_path):
    """Sets facts of the machine: host, boot, numbers (of processes)."""
    boot, numbers = tmp_path / "boot", tmp_path / "numbers"
    monkeypatch.setattr(processes, "BOOT", boot)
    monkeypatch.setattr(processes, "NUMBERS", numbers)

    def tell(**facts):
        facts = {"host": "a", "boot": "b", "numbers": "pid:[1]"} | facts
        monkeypatch.setattr(processes.socket, "gethostname", lambda: facts["host"])
        boot.write_text(facts["boot"])
        numbers.unlink(missing_ok=True)
        numbers.symlink_to(facts["numbers"])
        return processes.place()

    return tell


def test_another_host_container_or_boot_is_another_place(linux):
    assert linux() == linux()
    assert len(linux()) == 12
    assert len({linux(), linux(host="c"), linux(boot="c"), linux(numbers="pid:[2]")}) == 4


def test_where_the_system_does_not_tell_no_place_is_known(linux):
    linux()
    processes.BOOT.unlink()
    assert processes.place() is None


@pytest.mark.parametrize("number", [0, -1, 2**31, 10**30, -(2**70)])
def test_what_is_no_number_of_a_process_is_none_that_runs(number):
    assert not processes.is_running(number)
