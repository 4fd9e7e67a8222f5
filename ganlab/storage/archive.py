"""Files of `torch.save`: written so that a full disk is told as one, read with their checksums.

`torch.load` looks at no checksum, and a bit that flipped in a weight makes it 1e36. Here every
record is read once before anything is made of it.
"""

import os
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import torch

from ganlab.storage.regular import DamagedFile, located, open_regular

MAGIC = b"PK\x03\x04"  # by which torch knows an archive from its older formats
END, END_SIZE = b"PK\x05\x06", 22  # of a zip archive without a comment
FOLDER = 0x10  # attribute of which zipfile knows nothing and torch leaves the record's memory empty
CHUNK = 1 << 20
_said: set[Path] = set()  # files without checksums that were named already


class CompressedArchive(ValueError):  # noqa: N818 - the name states the finding
    """An archive of another kind, such as TorchScript's."""


def read_archive(
    path: Path,
    older: bool = False,  # accept the formats before zip archives, which have no checksums
) -> Any:
    """Content of a file of plain data, tensors on the CPU.

    Raises:
        DamagedFile: a record does not have its checksum, or the archive is not as it was written.
        CompressedArchive: torch did not write it as plain data.
        Exception: whatever `torch.load` says of pickled objects, or of what is no such file.
    """
    with open_regular(path) as file:
        if file.read(len(MAGIC)) == MAGIC:
            check_archive(file, path)
        elif not older:
            raise DamagedFile("it does not begin as an archive of torch.save does")
        file.seek(0)
        return torch.load(file, map_location="cpu", weights_only=True)


def map_archive(path: Path) -> Any:
    """Content of a file that `read_archive` found sound, mapped: processes share its memory.

    Raises:
        Exception: whatever `torch.load` says.
    """
    return torch.load(str(path), map_location="cpu", mmap=True, weights_only=True)


def check_archive(file: BinaryIO, path: Path) -> None:
    """Read every record once; `path` is for the warning about a file without checksums.

    Raises:
        DamagedFile: names the record.
        CompressedArchive: torch did not write it as plain data.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            records = archive.infolist()
            _check_layout(file, records)
            unsummed = all(record.CRC == 0 for record in records if record.file_size)
            for record in records:
                _check_record(archive, record, unsummed)
    except (DamagedFile, CompressedArchive):
        raise
    except Exception as error:  # zipfile raises whatever the damaged bytes lead it to
        raise DamagedFile(f"its table of records is damaged ({error})") from error
    if unsummed and path not in _said:
        _said.add(path)
        warnings.warn(
            f"{path} was saved without checksums: damage in it cannot be seen", stacklevel=3
        )


def _check_layout(file: BinaryIO, records: list[zipfile.ZipInfo]) -> None:
    """One archive from the first byte to the last, so that no two readers see two in it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(-END_SIZE, os.SEEK_END)
    end = file.read()
    names = [record.filename.lower() for record in records]  # torch looks them up in any case
    if any(r.compress_type or r.compress_size != r.file_size for r in records):
        raise CompressedArchive("it is compressed, as no file of torch.save is")
    if not end.startswith(END) or end[-2:] != b"\0\0":
        raise DamagedFile("there is something after its end")
    if min((record.header_offset for record in records), default=0) != 0:
        raise DamagedFile("there is something before its first record")
    if len(set(names)) < len(names):
        raise DamagedFile("two of its records have one name")
    if any(record.is_dir() or record.external_attr & FOLDER for record in records):
        raise DamagedFile("one of its records is marked as a folder")
    if sum(record.file_size for record in records) > size:
        raise DamagedFile("its records claim more bytes than it has")


def _check_record(archive: zipfile.ZipFile, record: zipfile.ZipInfo, unsummed: bool) -> None:
    """Name and place, size, and checksum unless there is none."""
    try:
        with archive.open(record) as content:
            if unsummed:
                return
            length = 0
            while part := content.read(CHUNK):
                length += len(part)
    except (zipfile.BadZipFile, EOFError) as error:
        summed = "a checksum in it does not agree" if "CRC" in str(error) else error
        raise DamagedFile(f"its record {record.filename} is damaged: {summed}") from error
    if length != record.file_size:
        raise DamagedFile(f"its record {record.filename} is cut short")


class _Recorder:
    """A file that remembers why a write failed; torch replaces the reason by one of its own."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Pass it on."""
        try:
            return self.file.write(data)
        except OSError as error:
            self.failure = self.failure or error
            raise

    def flush(self) -> None:
        """Pass it on."""
        self.file.flush()


def write_archive(content: Any, path: Path) -> None:
    """Write and flush a file of plain data; a failure leaves nothing of it.

    Raises:
        OSError: the operating system's reason, and the path.
    """
    try:
        with located(path), path.open("wb") as file:
            recorder: Any = _Recorder(file)
            try:
                torch.save(content, recorder)
            except RuntimeError as error:  # torch's words for a full disk are an assertion's
                if recorder.failure is None:
                    raise
                raise recorder.failure from error
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        raise
