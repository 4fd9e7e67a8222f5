"""What one process of a driver did, the others need not do again."""

import multiprocessing
import os
import time

import pytest

from ganlab.storage import turns

fork = multiprocessing.get_context("fork")


@pytest.fixture
def driven(tmp_path, monkeypatch):
    """A file, in a process that a driver started."""
    (tmp_path / "turns").mkdir()
    monkeypatch.setenv(turns.FOLDER, str(tmp_path / "turns"))
    path = tmp_path / "file"
    path.write_text("content")
    return path


def test_a_file_is_known_as_it_was_when_it_was_read(driven):
    assert not turns.known_whole(driven)
    turns.note_whole(driven)
    assert turns.known_whole(driven)
    assert not turns.known_whole(driven.with_name("other"))
    other = driven.with_name("new")
    other.write_text("content")
    os.utime(other, ns=(driven.stat().st_atime_ns, driven.stat().st_mtime_ns))
    other.replace(driven)
    assert not turns.known_whole(driven), "equal size and time, and yet another file"


def test_without_a_driver_nothing_is_known_and_nobody_waits(driven, monkeypatch):
    monkeypatch.delenv(turns.FOLDER)
    turns.note_whole(driven)
    assert not turns.known_whole(driven)
    with turns.turn(driven), turns.turn(driven):
        pass
    monkeypatch.setenv(turns.FOLDER, str(driven.with_name("gone")))
    turns.note_whole(driven)
    assert not turns.known_whole(driven)
    with turns.turn(driven), turns.turn(driven):
        pass


def hold(path, log):
    with turns.turn(path):
        log.put("in")
        time.sleep(0.2)
        log.put("out")


def test_turns_at_a_file_that_is_not_there_yet_do_not_overlap(driven):
    path, log = driven.with_name("coming"), fork.SimpleQueue()  # a put has arrived when it returns
    others = [fork.Process(target=hold, args=(path, log)) for _ in range(3)]
    for each in others:
        each.start()
    for each in others:
        each.join(timeout=60)
    assert [each.exitcode for each in others] == [0] * 3
    assert [log.get() for _ in range(6)] == ["in", "out"] * 3


def test_a_killed_process_gives_its_turn_back(driven):
    log = fork.Queue()
    holder = fork.Process(target=hold, args=(driven, log))
    holder.start()
    assert log.get(timeout=20) == "in"
    holder.kill()
    holder.join()
    with turns.turn(driven):
        assert log.empty()


def test_a_driver_without_room_for_a_folder_announces_none(monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(turns.tempfile, "TemporaryDirectory", full)
    turns._own_folder.cache_clear()
    assert turns.announced() == {}


def test_a_note_that_cannot_be_read_says_nothing(driven):
    turns.note_whole(driven)
    (note,) = driven.with_name("turns").iterdir()
    note.write_bytes(b"\xff")
    assert not turns.known_whole(driven)
