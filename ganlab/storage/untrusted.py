"""Files of tensors and objects that strangers wrote: read, and nothing in them run.

A file of `torch.save`, of either kind, or a bare pickle, known by its first bytes. What it holds
is plain data: containers, texts, numbers, tensors on the CPU, arrays, and a `Record` for an object.
"""

import io
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch

from ganlab.storage.archive import MAGIC, check_archive
from ganlab.storage.bounded import Bounded, Memory, read_exactly
from ganlab.storage.pickles import Budget, Machine, RefusedPickle, sound
from ganlab.storage.rebuilding import Storage, Values
from ganlab.storage.regular import DamagedFile, open_regular

LEGACY, LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001  # first numbers of torch's older files
WRITER = {  # the machines that wrote nearly all of them
    "protocol_version": LEGACY_VERSION,
    "little_endian": True,
    "type_sizes": {"short": 2, "int": 4, "long": 4},
}
HEADER = b"".join(pickle.dumps(each, 2) for each in (LEGACY, LEGACY_VERSION, WRITER))
LOCAL = 30  # bytes of a record's own header, whose last four are the lengths of name and extra
PROTOCOL = b"\x80"  # first byte of every pickle of protocol 2 or later
Lookup = Callable[[str, torch.dtype, int], memoryview | None]  # of a storage


def read_untrusted(
    path: Path,
    archived: bool = False,  # refuse the formats before archives, which have no checksums
) -> Any:
    """The content of a file that nobody vouches for.

    Raises:
        RefusedPickle: it holds what is not read; the message says what, not where.
        DamagedFile: it is cut short, damaged, or no such file.
        CompressedArchive: an archive of another kind.
        OSError: there is no such file, or it cannot be read.
    """
    with open_regular(path) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        begins = file.read(len(MAGIC))
        file.seek(0)
        budget = Budget.of(size)
        if begins == MAGIC:
            check_archive(file, path)
            with sound():
                return read_zip(file, budget)
        if archived:
            raise DamagedFile("it does not begin as an archive of torch.save does")
        if begins[:1] != PROTOCOL:
            raise DamagedFile("it begins neither as an archive nor as a pickle does")
        return read_pickles(file, size, budget)


def read_zip(file: BinaryIO, budget: Budget) -> Any:
    """An archive of `torch.save` whose records were checked."""
    with zipfile.ZipFile(file) as archive:
        names = {name.partition("/")[2]: name for name in archive.namelist()}
        if "data.pkl" not in names or "constants.pkl" in names:
            raise RefusedPickle("it is an archive, but not of tensors by torch.save")
        if "byteorder" in names and archive.read(names["byteorder"]) != b"little":
            raise RefusedPickle("its numbers are in big-endian order")

        def stored(name: str, dtype: torch.dtype, size: int) -> memoryview:
            data = raw(file, archive.getinfo(names[f"data/{name}"]))
            if len(data) < size * dtype.itemsize:
                raise DamagedFile(f"its storage {name} has fewer than its {size:,} numbers")
            return data

        pickled = archive.read(names["data.pkl"])
        return machine(io.BytesIO(pickled), len(pickled), budget, stored).run()


def raw(file: BinaryIO, record: zipfile.ZipInfo) -> memoryview:
    """The bytes of a record that was checked, straight from their place behind its own header."""
    file.seek(record.header_offset + LOCAL - 4)
    name, extra = int.from_bytes(file.read(2), "little"), int.from_bytes(file.read(2), "little")
    file.seek(record.header_offset + LOCAL + name + extra)
    return read_exactly(file, record.file_size)


def read_pickles(file: BinaryIO, size: int, budget: Budget) -> Any:
    """A bare pickle, or torch's file before archives: several pickles, then the numbers."""
    start = file.tell()
    first = machine(file, size, budget, None, nested_reader(budget)).run()
    if first != LEGACY:
        return first
    file.seek(start)
    return read_legacy(file, size, budget)


def read_legacy(file: BinaryIO, size: int, budget: Budget) -> Any:
    """Magic, version, machine, content, keys, and each key's count and bytes.

    The content is gone through twice: for the sizes of its storages, then with their bytes.
    """
    start, declared = file.tell(), dict[str, tuple[torch.dtype, int]]()

    def declare(name: str, dtype: torch.dtype, number: int) -> None:
        declared[name] = dtype, number

    if file.read(len(HEADER)) != HEADER:
        file.seek(start)
        check_header(*(machine(file, size, budget).run() for _ in range(3)))
    content = file.tell()
    outline = machine(file, size, budget, declare).run()
    keys = machine(file, size, budget).run()
    with sound():
        found = {name: numbers(file, size, *declared[name]) for name in keys}
    if missing := declared.keys() - found.keys():
        raise DamagedFile(f"it lacks the numbers of its storage {min(missing):.40}")
    if isinstance(outline, Storage) and len(found) == 1:  # all that there is
        return replace(outline, data=found.popitem()[1])
    file.seek(content)
    return machine(file, size, budget, lambda name, *_: found[name]).run()


def check_header(magic: object, version: object, machine: object) -> None:
    """Refuse what is no file of `torch.save`, or of a machine whose numbers are the other way.

    Raises:
        RefusedPickle: see above.
    """
    little = isinstance(machine, dict) and machine.get("little_endian") is True
    if (magic, version) != (LEGACY, LEGACY_VERSION) or not little:
        raise RefusedPickle("its first numbers are not those of a file of torch.save")


def numbers(file: BinaryIO, size: int, dtype: torch.dtype, number: int) -> memoryview:
    """The bytes of one storage, after the count that stands before them."""
    bounded = Bounded(file, size)
    count = int.from_bytes(bounded.read(8), "little")
    if count != number:
        raise DamagedFile(f"a storage in it has {count:,} numbers where {number:,} are announced")
    return bounded.view(count * dtype.itemsize)


def nested_reader(budget: Budget) -> Callable[[memoryview], Storage]:
    """A reader of the storages that stand within a pickle, each a file of torch's older kind."""

    def inner(content: memoryview) -> Storage:
        found = read_legacy(cast(BinaryIO, Memory(content)), len(content), budget)
        if not isinstance(found, Storage):
            raise RefusedPickle("a pickle within its pickle holds something else than numbers")
        return found

    return inner


def machine(
    file: BinaryIO,
    size: int,  # where it ends
    budget: Budget,
    stored: Lookup | None = None,
    inner: Callable[[memoryview], Storage] | None = None,
) -> Machine:
    """One that reads the pickle at the file's position."""
    return Machine(Bounded(file, size), Values(budget, stored, inner), budget)
