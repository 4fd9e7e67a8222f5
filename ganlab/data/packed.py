"""Image files inside large ones, read in place: tar archives and shards of them, and LMDB files."""

import io
import json
import tarfile
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from ganlab.data import stored
from ganlab.data.collection import hashed
from ganlab.data.files import Files, state
from ganlab.data.index import Member, kept_index, read
from ganlab.data.labels import LABEL_COLUMNS, Labels, labels_of, listed, numbered, with_numbers
from ganlab.data.problems import BrokenData, Problem, UnusableImage
from ganlab.data.stored import LARGEST, Stored
from ganlab.storage import DamagedFile
from ganlab.storage.key_values import entries

SIDECARS = (".cls", ".json")  # of WebDataset: the class of an image beside it, in this order
SMALL = 2**16  # bytes of a sidecar that is looked into
BOOKKEEPING = ("length", "num-samples", "__len__", "__keys__", "__metadata__")  # keys of no image
TEXTS = (".json", ".jsonl", ".csv", ".txt", ".cls", ".xml")
AGAIN = "replace it, or fetch it again"


class PackedFiles(Files):
    """Files inside one or several large ones; subclasses say how these are listed."""

    def __init__(
        self,
        place: Path,  # the file, or the folder of the parts
        parts: Sequence[Path],
        labels: bool = True,
    ) -> None:
        self.parts = parts
        self.at: dict[str, tuple[Path, int, int, str]] = {}
        for part in parts:
            within = f"{part.name}/" if len(parts) > 1 else ""
            try:
                index = kept_index(part, self.members)
            except (DamagedFile, OSError) as error:
                raise BrokenData([Problem(str(part), str(error), AGAIN)]) from error
            self.at |= {f"{within}{name}": (part, *where) for name, where in index.places.items()}
        super().__init__(place, list(self.at), labels)

    @staticmethod
    @abstractmethod
    def members(path: Path) -> Iterator[Member]:
        """What lies where in a part; raises `DamagedFile` or OSError."""

    def image(self, index: int) -> Stored:  # noqa: D102
        part, offset, size, _ = self.at[self.names[index]]
        if size > LARGEST:
            reason = f"has {size / 2**20:,.0f} MB, more than any image read here"
            raise UnusableImage(reason, "replace or delete it")
        return stored.opened(io.BytesIO(read(part, offset, size)))

    def content(self, name: str) -> bytes:  # noqa: D102
        part, offset, size, _ = self.at[name]
        return self.bounded(name, size, lambda: read(part, offset, size))

    def fingerprint(self) -> str:  # noqa: D102
        return hashed(bool(self.class_names), *map(state, self.parts))


class TarFiles(PackedFiles):
    """Image files in a tar archive, or in shards of one, in the order of their names.

    Classes are those of a file of labels at the top; of WebDataset's `.cls` or `.json` beside each
    image, which share its name up to the first dot; or of the folders.
    """

    @staticmethod
    def members(path: Path) -> Iterator[Member]:
        """The regular files of a tar, links and devices passed over."""
        size = path.stat().st_size
        try:
            with tarfile.open(path, "r:") as archive:
                while (member := archive.next()) is not None:
                    archive.members = []  # type: ignore[attr-defined] # it would keep them all
                    if member.offset_data + member.size > size:
                        raise DamagedFile(f"it ends in the middle of {member.name}")
                    if member.isreg() and not member.issparse():
                        note = _note(archive, member)
                        yield member.name, member.offset_data, member.size, note
                    end = archive.offset
        except (tarfile.TarError, EOFError, UnicodeError) as error:
            raise DamagedFile(f"is no tar archive, or a damaged one ({error})") from error
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
            notes = [self.at.get(f"{_key(name)}{suffix}", ("", 0, 0, ""))[3] for name in self.names]
            if any(notes):
                del self.passed_over[suffix]
                return self._of_notes(notes, suffix)
        return found

    def inside(self, name: str) -> str:
        """A name within its own archive."""
        return name.partition("/")[2] if len(self.parts) > 1 else name

    def _of_notes(self, notes: Sequence[str], suffix: str) -> Labels:
        if without := [n for n, note in zip(self.names, notes, strict=True) if not note]:
            reason = f"has no label in a {suffix} beside {listed(without)}"
            raise BrokenData([Problem(str(self.place), reason, "set data.labels=false")])
        labels = [label for _, label in with_numbers([(note, note) for note in notes])]
        found = numbered(labels, suffix)
        return Labels(found.numbers, found.class_names, f"the {suffix} beside each image")


class KeyValueFiles(PackedFiles):
    """Encoded images in an LMDB file, such as LSUN's, in the order of their keys.

    Keys are taken for names: classes are those of a file of labels among them, or of what stands
    before the last slash of each.
    """

    @staticmethod
    def members(path: Path) -> Iterator[Member]:
        """Every key; it may be no text."""
        for key, offset, size in entries(path):
            yield key.decode("utf-8", "surrogateescape"), offset, size, ""

    def reads(self, name: str) -> bool:
        """Whether a key is of an image: of most nothing but the value says more."""
        return name not in BOOKKEEPING and PurePosixPath(name).suffix.lower() not in TEXTS


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
        content = text.decode().strip()
        if suffix == ".cls":
            return content
        sample = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    named = ("cls", *LABEL_COLUMNS)
    found: Iterable[object] = (sample.get(key) for key in named) if isinstance(sample, dict) else ()
    return next((str(label) for label in found if type(label) in (int, str)), "")
