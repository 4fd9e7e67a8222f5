"""Turns that the processes of one driver take at a file, so that one does what all of them need.

A driver names a folder of its own in GANLAB_TURNS. Without one nobody waits or learns of others.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

from ganlab.storage.regular import read_text

FOLDER = "GANLAB_TURNS"


def announced() -> dict[str, str]:
    """What a driver tells its processes so that they take turns, as parts of their environment.

    Nothing where there is no room for a folder: then each does its own work.
    """
    with suppress(OSError):
        return {FOLDER: _own_folder().name}
    return {}


@cache
def _own_folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="ganlab-turns-")  # ends with the process


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """Keep the driver's other processes from a file, which need not be there yet, in the block.

    Where there are no locks, each does its own work, which costs time and nothing else.
    """
    with ExitStack() as undo:
        if (note := _note(path)) is not None:
            with suppress(ImportError, OSError):
                import fcntl

                descriptor = os.open(note, os.O_RDWR | os.O_CREAT, 0o600)
                undo.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                undo.callback(fcntl.flock, descriptor, fcntl.LOCK_UN)  # workers may hold it too
        yield


def note_whole(path: Path) -> None:
    """Let the driver's other processes know that the file, as it stands, was read and is sound."""
    if (note := _note(path)) is not None:
        with suppress(OSError):
            note.write_text(_version(path))


def known_whole(path: Path) -> bool:
    """Whether one of them has said so."""
    note = _note(path)
    with suppress(OSError, ValueError):
        return note is not None and read_text(note) == _version(path)
    return False


def _note(path: Path) -> Path | None:
    folder = os.environ.get(FOLDER)
    name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()
    return Path(folder, name[:32]) if folder else None


def _version(path: Path) -> str:
    """Another one whenever the file was replaced or written to."""
    said = path.stat()
    return f"{said.st_dev} {said.st_ino} {said.st_size} {said.st_mtime_ns}"
