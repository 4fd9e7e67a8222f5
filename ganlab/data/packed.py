"""Image files inside large ones, read in place: tar archives and shards of them, and LMDB files."""

import io
import json
import re
import tarfile
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from ganlab.data import stored
from ganlab.data.collection import hashed
from ganlab.data.files import Files, state
from ganlab.data.index import Member, State, kept_index, read
from ganlab.data.labels import LABEL_COLUMNS, Labels, labels_of, listed, numbered, with_numbers
from ganlab.data.problems import BrokenData, Problem, UnusableImage
from ganlab.data.stored import LARGEST, Stored, kept_open
from ganlab.storage import DamagedFile, irregular
from ganlab.storage.key_values import entries

SIDECARS = (".cls", ".json")  # of WebDataset: the class of an image beside it, in this order
SMALL = 2**16  # bytes of a sidecar that is looked into
SIZED = re.compile(r"(\d{1,5})-\d{5,}")  # a key of rosinality's: side in px, number of the image
BOOKKEEPING = ("length", "num-samples", "__len__", "__keys__", "__metadata__")  # keys of no image
TEXTS = (".json", ".jsonl", ".csv", ".txt", ".cls", ".xml")
AGAIN = "replace it, or fetch it again"
NO_FILE = "\0"  # begins the note of a member of a tar that is none
KINDS = {  # of such members
    **dict.fromkeys((tarfile.SYMTYPE, tarfile.LNKTYPE), "a link"),
    **dict.fromkeys((tarfile.CHRTYPE, tarfile.BLKTYPE), "a device"),
    tarfile.FIFOTYPE: "a pipe",
}


class PackedFiles(Files):
    """Files inside one or several large ones; subclasses say how these are listed."""

    def __init__(
        self,
        place: Path,  # the file, or the folder of the parts
        parts: Sequence[Path],
        labels: bool = True,
    ) -> None:
        self.parts = parts
        self.states: dict[Path, State] = {}  # of the parts as they were listed
        self.at: dict[str, tuple[Path, int, int, str]] = {}
        for part in parts:
            within = f"{part.name}/" if len(parts) > 1 else ""
            try:
                if (kind := irregular(part)) is not None:  # before it is waited for
                    raise DamagedFile(f"it is {kind}")
                index = kept_index(part, self.members)
            except (DamagedFile, OSError) as error:
                raise BrokenData([Problem(str(part), str(error), AGAIN)]) from error
            self.states[part] = index.state
            self.at |= {f"{within}{name}": (part, *where) for name, where in index.places.items()}
        super().__init__(place, self.chosen(place), labels)

    def chosen(self, place: Path) -> list[str]:
        """Names of the files that are one set; raises `BrokenData`."""
        return list(self.at)

    @staticmethod
    @abstractmethod
    def members(path: Path) -> Iterator[Member]:
        """What lies where in a part; raises `DamagedFile` or OSError."""

    def image(self, index: int) -> Stored:  # noqa: D102
        part, offset, size, note = self.at[self.names[index]]
        if note.startswith(NO_FILE):
            raise UnusableImage(*_no_file(note))
        if size > LARGEST:
            reason = f"has {size / 2**20:,.0f} MB, more than any image read here"
            raise UnusableImage(reason, "replace or delete it")
        return stored.opened(io.BytesIO(read(part, offset, size, self.states[part])))

    def content(self, name: str) -> bytes:  # noqa: D102
        part, offset, size, note = self.at[name]
        if note.startswith(NO_FILE):
            raise BrokenData([Problem(f"{self.place}/{name}", *_no_file(note))])
        return self.bounded(name, size, lambda: read(part, offset, size, self.states[part]))

    def fingerprint(self) -> str:  # noqa: D102
        return hashed(bool(self.class_names), *map(state, self.parts))


class TarFiles(PackedFiles):
    """Image files in a tar archive, or in shards of one, in the order of their names.

    Classes are those of a file of labels at the top; of WebDataset's `.cls` or `.json` beside each
    image, which share its name up to the first dot; or of the folders.
    """

    @staticmethod
    def members(path: Path) -> Iterator[Member]:
        """The files of a tar, and links, pipes and devices with what they are."""
        size, end = path.stat().st_size, 0
        try:
            with tarfile.open(path, "r:") as archive:
                while (member := archive.next()) is not None:
                    archive.members = []  # type: ignore[attr-defined] # it would keep them all
                    if member.size < 0 or archive.offset <= end:
                        raise DamagedFile(f"the size of {member.name} in it is {member.size}")
                    if member.offset_data + member.size > size:
                        raise DamagedFile(f"it ends in the middle of {member.name}")
                    if member.isreg() and not member.issparse():
                        note = _note(archive, member)
                        yield member.name, member.offset_data, member.size, note
                    elif kind := "a sparse file" if member.isreg() else KINDS.get(member.type):
                        yield member.name, 0, 0, f"{NO_FILE}{kind}"
                    end = archive.offset
        except (tarfile.TarError, EOFError, UnicodeError, ValueError, OverflowError) as error:
            if isinstance(error, DamagedFile):
                raise
            raise DamagedFile(f"it is no tar archive, or a damaged one ({error})") from error
        if any(read(path, end, min(512, size - end)) if end < size else b""):
            raise DamagedFile(f"what stands at byte {end:,} is no member of a tar archive")

    def found_labels(self, others: Collection[str]) -> Labels:
        """The house's rules on names without the shard, then WebDataset's, then folders."""
        inside = {self.inside(name): name for name in others}
        names = [self.inside(name) for name in self.names]
        found = labels_of(names, inside, lambda name: self.content(inside[name]), f"{self.place}/")
        if found.file is not None:
            return Labels(found.numbers, found.class_names, found.origin, inside[found.file])
        for suffix in SIDECARS:
            notes = [self.note(f"{_key(name)}{suffix}") for name in self.names]
            if any(notes):
                del self.passed_over[suffix]
                return self._of_notes(notes, suffix)
        return found

    def note(self, name: str) -> str:
        """The label in a file; empty where there is none."""
        found = self.at[name][3] if name in self.at else ""
        return "" if found.startswith(NO_FILE) else found

    def inside(self, name: str) -> str:
        """A name within its own archive."""
        return name.partition("/")[2] if len(self.parts) > 1 else name

    def _of_notes(self, notes: Sequence[str], suffix: str) -> Labels:
        if without := [n for n, note in zip(self.names, notes, strict=True) if not note]:
            reason = f"has no label in a {suffix} beside {listed(without)}"
            raise BrokenData([Problem(str(self.place), reason, "set data.labels=false")])
        labels = [label for _, label in with_numbers([(note, note) for note in notes])]
        try:
            found = numbered(labels, suffix, [f"{_key(name)}{suffix}" for name in self.names])
        except ValueError as error:
            fix = "mend it or set data.labels=false"
            raise BrokenData([Problem(str(self.place), str(error), fix)]) from error
        return Labels(found.numbers, found.class_names, f"the {suffix} beside each image")


class KeyValueFiles(PackedFiles):
    """Encoded images in an LMDB file, such as LSUN's, in the order of their keys.

    Keys are taken for names: classes are those of a file of labels among them, or of what stands
    before the last slash of each. Keys `<px>-<number>` hold each image at several sizes, as the
    trainers of growing networks write them: one size is read.
    """

    def __init__(
        self,
        place: Path,  # the file, or its folder
        part: Path,  # the file
        labels: bool = True,
        side: int | None = None,  # px, of several sizes; None = the largest
    ) -> None:
        self.side = side
        super().__init__(place, [part], labels)

    def chosen(self, place: Path) -> list[str]:
        """Keys of the size asked for, and all that are of no image."""
        sizes = self._sizes()
        if not sizes:
            return list(self.at)
        side = max(sizes) if self.side is None else self.side
        if side not in sizes:
            there = ", ".join(map(str, sorted(sizes)))
            reason = f"holds its images at {there} px, and none at {side}"
            raise BrokenData([Problem(str(place), reason, "set data.resolution to one of these")])
        others = {key for size, keys in sizes.items() if size != side for key in keys}
        return [name for name in self.at if name not in others]

    def _sizes(self) -> dict[int, list[str]]:
        """Side in px -> keys, where all that are read are named so, and the first is so large."""
        sizes: dict[int, list[str]] = {}
        first = ""
        for name in filter(self.reads, self.at):
            if (found := SIZED.fullmatch(name)) is None:
                return {}
            sizes.setdefault(int(found[1]), []).append(name)
            first = first or name
        return sizes if first and self._is_sized(first) else {}

    def _is_sized(self, name: str) -> bool:
        """Whether an image is as large as its key says, or cannot be opened, which is told later.

        A number before a hyphen may be a class as well.
        """
        part, offset, size, _ = self.at[name]
        if size > LARGEST:
            return True
        content = read(part, offset, size, self.states[part])
        try:
            with kept_open(stored.opened(io.BytesIO(content))) as it:
                sides = it.shape[:2] if isinstance(it, np.ndarray) else it.size
        except Exception:  # whatever damaged bytes lead Pillow to: told when all are read
            return True
        return int(name.partition("-")[0]) in sides

    @staticmethod
    def members(path: Path) -> Iterator[Member]:
        """Every key; it may be no text."""
        for key, offset, size in entries(path):
            yield key.decode("utf-8", "surrogateescape"), offset, size, ""

    def reads(self, name: str) -> bool:
        """Whether a key is of an image: of most nothing but the value says more."""
        return name not in BOOKKEEPING and PurePosixPath(name).suffix.lower() not in TEXTS


def _no_file(note: str) -> tuple[str, str]:
    """What is wrong with a member, and the way out."""
    fix = "pack it again with the files themselves, as tar --hard-dereference -h does"
    return f"is {note.removeprefix(NO_FILE)} in the archive, and no file", fix


def _key(name: str) -> str:
    """Path and name up to the first dot, which WebDataset's members of one sample share."""
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}{file.partition('.')[0]}"


def _note(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    """The label that a sidecar holds; empty where it holds none."""
    suffix = PurePosixPath(member.name).suffix
    if suffix not in SIDECARS or member.size > SMALL:
        return ""
    file = archive.extractfile(member)
    text = b"" if file is None else file.read()
    try:
        content = text.decode("utf-8", "backslashreplace").strip()
        if suffix == ".cls":
            return content
        sample = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    named = ("cls", *LABEL_COLUMNS)
    found: Iterable[object] = (sample.get(key) for key in named) if isinstance(sample, dict) else ()
    return next((str(label) for label in found if type(label) in (int, str)), "")
