"""NumPy's files: headers are compared with sizes before memory is asked for, pickles never opened.

read_npy(path)                               # mapped
ArrayArchive(path).shapes                    # of an .npz, by key; nothing is unpacked yet
"""

import hashlib
import math
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ganlab.storage.regular import DamagedFile, open_regular

UNPACKED = 2**28  # bytes to which an archive's member may unpack from however little
PART = 2**24  # bytes of a mapped array that are looked at at once
RATIO = 100  # how many times its packed size a larger member may have: images shrink less
_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True)
class Header:
    """What an array's bytes mean."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int  # bytes before the first element

    @property
    def size(self) -> int:
        """Bytes of a whole file."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize

    @property
    def order(self) -> Any:
        """As NumPy names it."""
        return "F" if self.fortran else "C"


def is_archive(path: Path) -> bool:
    """Whether a file begins as an `.npz` does; its name does not matter."""
    with open_regular(path) as file:
        return file.read(2) == b"PK"


def read_npy(path: Path) -> NDArray[Any]:
    """The array of an `.npy` file, mapped, read-only.

    Raises:
        DamagedFile: a header that is none, or another size than it announces.
        OSError: there is no such file, or it cannot be read.
    """
    with _whole(), open_regular(path) as file:
        header = _header(file)
        _compare(header, file.seek(0, 2))
        if not math.prod(header.shape):
            return np.empty(header.shape, header.dtype)
        return np.memmap(file, header.dtype, "r", header.offset, header.shape, header.order)


class ArrayArchive:
    """The arrays of an `.npz` file. One is unpacked, and its checksum looked at, when asked for.

    Raises:
        DamagedFile: no such archive, one of pickled objects, or sizes that contradict each other.
        OSError: there is no such file, or it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.headers: dict[str, Header] = {}
        with self._archive() as archive:
            for member in archive.infolist():
                if member.filename.endswith(".npy"):
                    self._add(archive, member)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of every array, by key."""
        return {key: header.shape for key, header in self.headers.items()}

    def __getitem__(self, key: str) -> NDArray[Any]:
        header = self.headers[key]
        with self._archive() as archive:
            content = archive.read(f"{key}.npy")
            _compare(header, len(content))
            values = np.frombuffer(content, header.dtype, math.prod(header.shape), header.offset)
            return values.reshape(header.shape, order=header.order)

    def _add(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
        key = member.filename.removesuffix(".npy")
        if key in self.headers:
            raise DamagedFile(f"it has two arrays called {key}")
        refuse_bomb(member, self.path.stat().st_size)
        with archive.open(member) as file:
            header = _header(file)
        _compare(header, member.file_size)
        self.headers[key] = header

    @contextmanager
    def _archive(self) -> Iterator[zipfile.ZipFile]:
        with _whole(), open_regular(self.path) as file, zipfile.ZipFile(file) as archive:
            yield archive


def refuse_bomb(member: zipfile.ZipInfo, size: int) -> None:
    """Refuse, unread, what claims to unpack to far more than it is packed in.

    Raises:
        DamagedFile: a member larger than the archive of `size` bytes, or a bomb.
    """
    if member.compress_size > size:
        raise DamagedFile(f"{member.filename} in it claims more bytes than the file has")
    if member.file_size > max(UNPACKED, RATIO * member.compress_size):
        raise DamagedFile(
            f"{member.filename} in it would unpack to {member.file_size / 2**20:,.0f} MB "
            f"from {member.compress_size / 2**20:,.1f}, and was not"
        )


def digest_of(array: NDArray[Any]) -> "hashlib.blake2b":
    """BLAKE2b of an array's elements in C order, which can be updated with more.

    About 1 GB/s, and never more than a part of a mapped file in memory.
    """
    digest = hashlib.blake2b(digest_size=16)
    step = max(1, PART // max(1, array[:1].nbytes))
    starts = range(0, len(array), step)
    for start in tqdm(starts, "checking stored images", delay=2, leave=False, disable=None):
        digest.update(np.ascontiguousarray(array[start : start + step]).data)
    return digest


@contextmanager
def _whole() -> Iterator[None]:
    """Whatever NumPy and zipfile make of damaged bytes is a damaged file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote
            yield
    except (DamagedFile, FileNotFoundError, PermissionError):
        raise
    except Exception as error:
        raise DamagedFile(f"it is damaged or no NumPy file ({error})") from error


def _header(file: IO[bytes]) -> Header:
    version = np.lib.format.read_magic(file)
    if version not in _READERS:
        raise DamagedFile(f"its version {version} is none of {list(_READERS)}")
    shape, fortran, dtype = _READERS[version](file)
    if dtype.hasobject:
        raise DamagedFile("it holds Python objects, which are never opened")
    if dtype.fields or dtype.subdtype or not dtype.itemsize:
        raise DamagedFile(f"it holds {dtype}, which is no kind of number or text")
    if len(shape) > 32 or any(type(side) is not int or side < 0 for side in shape):
        raise DamagedFile(f"its shape {shape} is none")
    return Header(shape, fortran, dtype, file.tell())


def _compare(header: Header, size: int) -> None:
    if header.size != size:
        raise DamagedFile(
            f"it has {size:,} bytes, and {header.size:,} were written by its header: cut short "
            "or damaged"
        )
