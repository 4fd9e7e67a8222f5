"""Regular files, and nothing that could be waited for instead."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

LONGEST = 2**26  # bytes of a text that a run writes for people and tables, by far


class DamagedFile(ValueError):  # noqa: N818 - the name states the finding
    """A file whose bytes cannot be those that were written; the message says where, not which."""


def irregularity(path: Path) -> str | None:
    """What is there instead of a file, in words; None where it is a file, or nothing."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return f"a link to nothing, {path.readlink()}" if path.is_symlink() else None
    if stat.S_ISREG(mode):
        return None
    return "a folder" if stat.S_ISDIR(mode) else "no file but a pipe, a socket or a device"


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """A regular file for reading; a pipe without a writer is not waited for.

    Raises:
        DamagedFile: it is no regular file, or was written to while it was read.
        OSError: it cannot be opened.
    """
    if (kind := irregularity(path)) is not None:
        raise DamagedFile(f"it is {kind}")
    # A pipe that takes the file's place just now is not waited for either.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise DamagedFile("it is no file")
        yield file
        after = os.fstat(descriptor)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise DamagedFile("it was written to while it was read")


def read_text(
    path: Path, encoding: str = "utf-8", errors: str = "strict", most: int = LONGEST
) -> str:
    """A text file's content.

    Raises:
        DamagedFile, OSError: as `open_regular`, and for one of more than `most` bytes, unread.
        ValueError: it is no such text.
    """
    with open_regular(path) as file:
        if (size := os.fstat(file.fileno()).st_size) > most:
            raise DamagedFile(f"it has {size / 2**20:,.0f} MB, more than any that is written here")
        return file.read().decode(encoding, errors)


@contextmanager
def located(path: Path) -> Iterator[None]:
    """A failed write says where: the operating system names a file that it cannot open alone."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        text = error.strerror or str(error)
        raise OSError(error.errno or errno.EIO, text, str(path)) from error
