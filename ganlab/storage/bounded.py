"""Bytes of strangers' files: each read compared with what is left, the many of them not copied."""

import io
from typing import Any, BinaryIO, cast

import numpy as np

from ganlab.storage.regular import DamagedFile

LINE = 1_000  # bytes of a name


class Memory(io.RawIOBase):
    """Bytes in memory as a file, parts of which are had without a copy."""

    def __init__(self, data: memoryview) -> None:
        super().__init__()
        self.data, self.at = data, 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """To a place counted from the beginning."""
        self.at = offset
        return offset

    def tell(self) -> int:
        """Where the next byte is."""
        return self.at

    def view(self, number: int) -> memoryview:
        """The next bytes themselves."""
        found = self.data[self.at : self.at + number]
        self.at += len(found)
        return found

    def read(self, size: int = -1) -> bytes:
        """The next bytes, or all that are left, copied."""
        end = self.at + size if size >= 0 else len(self.data)
        found = bytes(self.data[self.at : end])
        self.at += len(found)
        return found

    def readline(self, size: int | None = -1) -> bytes:
        """A line, or so much of it."""
        end = len(self.data) if size is None or size < 0 else self.at + size
        line = bytes(self.data[self.at : end])
        return self.read(line.find(b"\n") + 1 or len(line))


def read_exactly(file: BinaryIO, number: int) -> memoryview:
    """The next bytes of a file, in memory of their own unless it is in memory itself.

    Raises:
        DamagedFile: there are fewer.
    """
    if isinstance(file, Memory):
        data = file.view(number)
        found = len(data)
    else:
        data = memoryview(cast(Any, np.empty(number, np.uint8)))  # not zeroed first
        found = cast(Any, file).readinto(data) if number else 0
    if found != number:
        raise DamagedFile(f"it is cut short: {number:,} bytes should follow, of {found:,}")
    return data


class Bounded:
    """A file whose every read is compared with what is left of it, before memory is asked for."""

    def __init__(self, file: BinaryIO, end: int) -> None:
        self.file, self.left, self.longest = file, end - file.tell(), end

    def read(self, number: int) -> bytes:
        """Exactly so many bytes."""
        self.take(number)
        return self.file.read(number)

    def view(self, number: int) -> memoryview:
        """The same, to be written to, and not copied where they are in memory."""
        self.take(number)
        return read_exactly(self.file, number)

    def take(self, number: int) -> None:
        """Count bytes that are about to be read."""
        if not 0 <= number <= self.left or number > self.longest:
            raise DamagedFile(f"it is cut short: {number:,} bytes should follow, of {self.left:,}")
        self.left -= number

    def readline(self) -> bytes:
        """A name's line."""
        line = self.file.readline(LINE)
        self.left -= len(line)
        return line
