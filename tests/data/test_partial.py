import os
import subprocess
import sys
import time

import pytest

from ganlab.data import folder, partial
from ganlab.data.partial import PREFIX, SILENCE, clear_abandoned, partial_folder
from ganlab.processes import place


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setattr(partial, "place", lambda: "0123456789ab")
    return "0123456789ab"


@pytest.fixture(scope="module")
def gone():
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def left(directory, name, age=0.0):
    """A partial folder whose last write was `age` seconds ago."""
    path = directory / f"{PREFIX}{name}"
    path.mkdir()
    (path / "pixels").write_bytes(b"half")
    for each in (path / "pixels", path):
        os.utime(each, (time.time() - age,) * 2)
    return path


def test_what_a_dead_process_left_goes_and_what_a_live_one_writes_stays(tmp_path, here, gone):
    dead = left(tmp_path, f"{here}-{gone}-abc_1xyz")
    live = left(tmp_path, f"{here}-{os.getppid()}-abc_1xyz", age=2 * SILENCE)
    clear_abandoned(tmp_path)
    assert (dead.exists(), live.exists()) == (False, True)


@pytest.mark.parametrize("name", ["ba9876543210-{}-abcd1xyz", "None-{}-abcd1xyz", "abcd1xyz"])
def test_of_processes_elsewhere_only_what_was_silent_for_long_goes(tmp_path, here, gone, name):
    """Their numbers mean nothing here; older folders name no process."""
    path = left(tmp_path, name.format(gone), age=SILENCE - 3600)
    clear_abandoned(tmp_path)
    assert path.exists()
    os.utime(path, (0, 0))  # a folder's own time stands still while a file in it grows
    clear_abandoned(tmp_path)
    assert path.exists()
    os.utime(path / "pixels", (0, 0))
    clear_abandoned(tmp_path)
    assert not path.exists()


def test_where_no_place_is_known_nobody_is_taken_for_dead(tmp_path, monkeypatch, gone):
    monkeypatch.setattr(partial, "place", lambda: None)
    path = left(tmp_path, f"None-{gone}-abcd1xyz")
    clear_abandoned(tmp_path)
    assert path.exists()


def test_what_is_not_ours_stays_however_old(tmp_path, here):
    """`data.cache_dir` may be any folder of the user's."""
    for name in ("key.npy", "key.json", f"{PREFIX}one_file"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    left(tmp_path, "scans", age=2 * SILENCE)
    (left(tmp_path, "archives", age=2 * SILENCE) / "letter").touch()
    os.utime(tmp_path / f"{PREFIX}archives" / "letter", (0, 0))
    (tmp_path / f"{PREFIX}pictures").mkdir()
    os.utime(tmp_path / f"{PREFIX}archives", (0, 0))
    os.utime(tmp_path / f"{PREFIX}pictures", (0, 0))
    clear_abandoned(tmp_path)
    assert len(list(tmp_path.iterdir())) == 6


HALF = """
import os, signal, sys
from pathlib import Path
from ganlab.data.partial import partial_folder
with partial_folder(Path(sys.argv[1])) as folder:
    (folder / "pixels").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(place() is None, reason="processes are told apart on Linux")
def test_a_decoding_that_was_killed_is_cleared_by_the_next_one(pets, own_cache):
    images = own_cache / "images"
    images.mkdir(parents=True)
    subprocess.run([sys.executable, "-c", HALF, str(images)], check=False)
    assert len(list(images.glob(f"{PREFIX}*"))) == 1
    with partial_folder(images) as ours:
        data = folder(str(pets), resolution=16, memory_budget_mb=0)
        data.prepare_data()
        assert [path for path in images.iterdir() if path.is_dir()] == [ours]
    assert sorted(path.suffix for path in images.iterdir()) == [".json", ".npy"]
