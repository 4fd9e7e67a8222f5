"""LMDB's files by their format alone, with every number checked before it is followed.

The library maps such a file and trusts its offsets: a damaged one ends the process. This reads
where each value lies, writes nothing, and takes no lock.

for key, offset, size in entries(path): ...          # in the order of the keys
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ganlab.storage.regular import DamagedFile, open_regular

MAGIC = 0xBEEFC0DE
HEAD = struct.Struct("<QHHHH")  # of a page: number, -, flags, end of its pointers, start of nodes
META = struct.Struct("<IIQQ")  # magic, version, -, size of the map
TREE = struct.Struct("<IHHQQQQQ")  # size of a page, flags, depth, 3 counts, entries, root
LAST = struct.Struct("<QQ")  # last page, number of the transaction
NODE = struct.Struct("<HHHH")  # two halves of a size, flags, length of the key
BRANCH, LEAF = 0x01, 0x02  # kinds of pages
BIG, NAMED, SEVERAL = 0x01, 0x02, 0x04  # a value on pages of its own, a database, a key's values
NOWHERE = 2**64 - 1
Entry = tuple[bytes, int, int]  # key, and where its value begins and how long it is


@dataclass(frozen=True)
class Tree:
    """What an LMDB file says of itself."""

    page: int  # bytes
    pages: int
    root: int
    transaction: int
    several: bool  # whether keys may have several values


def is_key_values(path: Path) -> bool:
    """Whether a file begins as LMDB's do."""
    with open_regular(path) as file:
        head = file.read(HEAD.size + 4)
    return head[HEAD.size :] == struct.pack("<I", MAGIC)


def entries(path: Path) -> Iterator[Entry]:
    """Every key of the unnamed database, with the place of its value in the file.

    Raises:
        DamagedFile: no such file, one that is cut short, or one whose pages contradict it.
    """
    with open_regular(path) as file:
        size = file.seek(0, 2)
        try:
            first = _tree(file, 0)
            tree = max(first, _tree(file, first.page), key=lambda each: each.transaction)
        except struct.error as error:
            raise DamagedFile("it is cut short, or no LMDB file") from error
        if tree.pages * tree.page > size:
            raise DamagedFile(f"it has {size:,} bytes of {tree.pages * tree.page:,}: cut short")
        if tree.several:
            raise DamagedFile("it has several values under one key, which no set of images has")
        yield from _walk(file, tree, size)


def _tree(file: BinaryIO, offset: int) -> Tree:
    file.seek(offset + HEAD.size)
    magic, version, _, _ = META.unpack(file.read(META.size))
    if magic != MAGIC or version != 1:
        raise DamagedFile("it is no LMDB file, or one of another version or byte order")
    free, main = (TREE.unpack(file.read(TREE.size)) for _ in range(2))
    last, transaction = LAST.unpack(file.read(LAST.size))
    page = free[0]
    if page not in (2**k for k in range(9, 17)):
        raise DamagedFile(f"its pages are of {page} bytes")
    return Tree(page, last + 1, main[-1], transaction, bool(main[1] & 0x04))


def _walk(file: BinaryIO, tree: Tree, size: int) -> Iterator[Entry]:
    """All leaves, depth first and in order; no page is visited twice."""
    waiting, visited = [] if tree.root == NOWHERE else [tree.root], set[int]()
    while waiting:
        number = waiting.pop()
        if number >= tree.pages or number in visited:
            raise DamagedFile(f"its page {number} is not there, or there twice")
        visited.add(number)
        file.seek(number * tree.page)
        page = file.read(tree.page)
        found, _, flags, lower, upper = HEAD.unpack(page[: HEAD.size])
        if found != number or not HEAD.size <= lower <= upper <= tree.page:
            raise DamagedFile(f"its page {number} is not what it should be")
        count = (lower - HEAD.size) // 2
        nodes = struct.unpack_from(f"<{count}H", page, HEAD.size)
        if flags & BRANCH:
            waiting += [_child(page, node) for node in reversed(nodes)]
        elif flags & LEAF:
            yield from (_entry(page, node, number, tree, size) for node in nodes)
        else:
            raise DamagedFile(f"its page {number} is of no kind that is known")


def _child(page: bytes, node: int) -> int:
    _check(node + NODE.size <= len(page))
    low, high, top, _ = NODE.unpack_from(page, node)
    return int(low | high << 16 | top << 32)


def _entry(page: bytes, node: int, number: int, tree: Tree, size: int) -> Entry:
    _check(node + NODE.size <= len(page))
    low, high, flags, length = NODE.unpack_from(page, node)
    start, bytes_ = node + NODE.size + length, low | high << 16
    _check(start <= len(page))
    key = page[node + NODE.size : start]
    if flags & (NAMED | SEVERAL):
        raise DamagedFile(f"{key!r} in it is a database of its own, and no image")
    if flags & BIG:
        _check(start + 8 <= len(page))
        first = int.from_bytes(page[start : start + 8], "little")
        _check(first < tree.pages)
        place = first * tree.page + HEAD.size
    else:
        _check(start + bytes_ <= len(page))
        place = number * tree.page + start
    _check(place + bytes_ <= size)
    return key, place, bytes_


def _check(holds: bool) -> None:
    if not holds:
        raise DamagedFile("a node in it points outside")
