"""Where in large files each member lies: found once, kept in the user's cache, then read in place.

index = kept_index(Path("shard-000000.tar"), tar_members)
offset, size, note = index.places["0001.jpg"]
read(Path("shard-000000.tar"), offset, size, index.state)
"""

import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganlab.data.collection import content_hash
from ganlab.data.files import state
from ganlab.downloads import cache_dir
from ganlab.storage import DamagedFile
from ganlab.storage.arrays import ArrayArchive

Member = tuple[str, int, int, str]  # name, first byte, bytes, and what a small text in it says
Place = tuple[int, int, str]
State = tuple[int, int]  # of a file: bytes, and when it was written, ns


@dataclass(frozen=True)
class Index:
    """The members of one file, as it was when they were listed."""

    places: dict[str, Place]
    state: State

    @classmethod
    def of(cls, members: Iterable[Member], state: State) -> "Index":
        """The last of several members of one name counts, as where they are unpacked."""
        return cls({name: (offset, size, note) for name, offset, size, note in members}, state)

    def write(self, path: Path) -> None:
        """Keep it on disk; it appears whole or not at all."""
        places = [*self.places.values()]
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="partial-", dir=path.parent) as folder:
            np.savez(
                file := Path(folder, "index.npz"),
                name=_joined(self.places),
                note=_joined(note for *_, note in places),
                offset=np.array([offset for offset, *_ in places], np.int64),
                size=np.array([size for _, size, _ in places], np.int64),
                state=np.array(self.state, np.int64),
            )
            file.replace(path)

    @classmethod
    def load(cls, path: Path, state: State) -> "Index":
        """Read it back, for a file in this state; checksums are looked at.

        Raises:
            DamagedFile, OSError: it is not there, damaged, or of another file.
        """
        kept = ArrayArchive(path)
        if {*kept.shapes} != {"name", "note", "offset", "size", "state"}:
            raise DamagedFile(f"{path} is no index")
        names, notes = (_parted(kept[key].tobytes()) for key in ("name", "note"))
        offsets, sizes = (kept[key].astype(np.int64).reshape(-1).tolist() for key in NUMBERS)
        if not len(names) == len(notes) == len(offsets) == len(sizes):
            raise DamagedFile(f"{path} has columns of several lengths")
        outside = any(
            o < 0 or n < 0 or o + n > state[0] for o, n in zip(offsets, sizes, strict=True)
        )
        if outside or kept["state"].reshape(-1).tolist() != [*state]:
            raise DamagedFile(f"{path} is of another file")
        return cls.of(zip(names, offsets, sizes, notes, strict=True), state)


NUMBERS = ("offset", "size")


def kept_index(place: Path, members: Callable[[Path], Iterable[Member]]) -> Index:
    """The index of a file, from the cache where it was made before of the file as it is.

    Raises:
        DamagedFile: as `members` does, or the file was written to while it was listed.
        OSError: as `members` does; a cache that cannot be written is done without.
    """
    path = cache_dir() / "indices" / f"{content_hash('v2', members.__name__, state(place))}.npz"
    before = state_of(place.stat())
    try:
        return Index.load(path, before)
    except (OSError, ValueError):
        index = Index.of(members(place), before)
    if state_of(place.stat()) != before:
        raise DamagedFile("it was written to while it was read")
    try:
        index.write(path)
    except OSError:  # read again the next time
        return index
    return index


def state_of(found: os.stat_result) -> State:
    """Of a file that was looked at."""
    return found.st_size, found.st_mtime_ns


def read(place: Path, offset: int, size: int, state: State | None = None) -> bytes:
    """Bytes of a file; raises `DamagedFile` where it ends before them, or is not as it was."""
    with place.open("rb") as file:
        if state not in (None, state_of(os.fstat(file.fileno()))):
            raise DamagedFile(f"{place} was written to since it was listed")
        file.seek(offset)
        content = file.read(size)
    if len(content) != size:
        raise DamagedFile(f"it ends after {len(content):,} of {size:,} bytes")
    return content


def _joined(texts: Iterable[str]) -> "np.ndarray[tuple[int], np.dtype[np.uint8]]":
    """Texts as bytes, each with its length before it."""
    encoded = (text.encode("utf-8", "surrogateescape") for text in texts)
    return np.frombuffer(b"".join(len(t).to_bytes(4, "little") + t for t in encoded), np.uint8)


def _parted(content: bytes) -> list[str]:
    texts, place = [], 0
    while place < len(content):
        end = place + 4 + int.from_bytes(content[place : place + 4], "little")
        if end > len(content):
            raise DamagedFile("a text in an index is cut short")
        texts.append(content[place + 4 : end].decode("utf-8", "surrogateescape"))
        place = end
    return texts
