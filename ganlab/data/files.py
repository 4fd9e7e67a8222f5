"""Image files in a folder or a zip archive, with their labels."""

import io
import threading
import zipfile
import zlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Collection as AnyOf
from pathlib import Path, PurePosixPath

from ganlab.data import stored
from ganlab.data.collection import Collection, content_hash
from ganlab.data.labels import Labels, labels_of
from ganlab.data.problems import BrokenData, Problem, UnusableImage, counted_suffixes
from ganlab.data.stored import LARGEST, Stored
from ganlab.storage import DamagedFile, irregularity
from ganlab.storage.regular import open_regular

SUFFIXES = [
    ".png",
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".webp",
    ".bmp",
    ".dib",
    ".tif",
    ".tiff",
    ".gif",
    ".ppm",
    ".pgm",
    ".pbm",
    ".pnm",
    ".jp2",
    ".avif",
]

MOST_WAYS = 100  # to one folder
ENCRYPTED = 1  # among the flags of a zip archive's member


class Files(Collection):
    """Named files with their classes (`ganlab.data.labels`); subclasses say how one is opened.

    `passed_over` counts the files that are not hidden and have another suffix, by suffix.
    """

    def __init__(
        self,
        place: Path,  # the folder or archive
        names: Sequence[str],  # relative paths with forward slashes, in any order
        labels: bool = True,  # False: there are none
    ) -> None:
        self.place = place
        shown = [name for name in names if not _hidden(name)]
        read = {name for name in shown if self.reads(name)}
        self.names = sorted(read)
        others = {*shown} - read
        self.passed_over = Counter(map(_suffix, others))
        if not self.names:
            told = f" ({counted_suffixes(self.passed_over)})" if self.passed_over else ""
            fix = f"put {', '.join(SUFFIXES[:4])}, ... files there or change data.path"
            raise BrokenData([Problem(str(place), f"holds no image files{told}", fix)])
        ignored = Labels(None, (), "data.labels=false")
        found = self.found_labels(others) if labels else ignored
        self.labels, self.class_names, self.origin = found.numbers, found.class_names, found.origin
        self.label_file = found.file
        if found.file is not None:
            self.passed_over -= Counter([_suffix(found.file)])

    def found_labels(self, others: AnyOf[str]) -> Labels:
        """The classes of the images, `others` being the other files; raises `BrokenData`."""
        return labels_of(self.names, others, self.content, f"{self.place}/")

    @property
    def keyed(self) -> list[str]:
        """Names of all files whose content matters."""
        return self.names if self.label_file is None else [*self.names, self.label_file]

    @abstractmethod
    def content(self, name: str) -> bytes:
        """The bytes of a file that is no image.

        Raises:
            BrokenData: it is no file, or too large.
        """

    def bounded(self, name: str, size: int, read: Callable[[], bytes]) -> bytes:
        """What `read` gives, unless it would be more than any file of labels."""
        if size > LARGEST:
            reason = f"has {size / 2**20:,.0f} MB, more than any file of labels read here"
            raise BrokenData([Problem(f"{self.place}/{name}", reason, "set data.labels=false")])
        return read()

    def reads(self, name: str) -> bool:
        """Whether this file is an image, by its name."""
        return is_image_name(name)

    def __len__(self) -> int:
        return len(self.names)

    def address(self, index: int) -> str:  # noqa: D102
        return f"{self.place}/{self.names[index]}"


class FolderFiles(Files):
    """Image files below a folder. A link to nothing is an image that cannot be read."""

    def __init__(self, place: Path, labels: bool = True) -> None:
        super().__init__(place, list(files_below(place)), labels)

    def reads(self, name: str) -> bool:
        """Whether this file is an image, or a link to nothing that may have led to a folder."""
        return super().reads(name) or not (_suffix(name) or (self.place / name).exists())

    def image(self, index: int) -> Stored:  # noqa: D102
        path = self.place / self.names[index]
        if (kind := irregularity(path)) is not None:  # which would be waited for
            raise UnusableImage(f"is {kind}", "mend or delete it")
        try:
            return stored.open_stored(path)
        except FileNotFoundError as error:
            raise UnusableImage("is not there any more", "mend or delete it") from error

    def content(self, name: str) -> bytes:  # noqa: D102
        path = self.place / name
        try:
            with open_regular(path) as file:
                return self.bounded(name, path.stat().st_size, file.read)
        except (DamagedFile, OSError) as error:
            raise BrokenData([Problem(str(path), str(error), "replace or delete it")]) from error

    def fingerprint(self) -> str:  # noqa: D102
        def state(name: str) -> tuple[str, int, int]:
            path = self.place / name
            try:
                found = path.stat()
            except OSError:  # a link to nothing
                found = path.lstat()
            return name, found.st_size, found.st_mtime_ns

        return content_hash(self.place.resolve(), bool(self.class_names), *map(state, self.keyed))


def files_below(
    folder: Path,
    within: str = "",
    above: Sequence[Path] = (),
    ways: "Counter[Path] | None" = None,  # how often each folder was come to
) -> Iterator[str]:
    """Relative paths of all files, links to nothing, pipes and the like, in any order.

    Links to folders are followed unless they lead back up.

    Raises:
        BrokenData: a folder that so many ways lead to, links behind links, that there is no end.
    """
    real = folder.resolve()
    if real in above:
        return
    ways = Counter() if ways is None else ways
    ways[real] += 1
    if ways[real] > MOST_WAYS:
        reason = f"is come to by more than {MOST_WAYS} links"
        raise BrokenData([Problem(str(folder), reason, "delete links, or change data.path")])
    for path in folder.iterdir():
        if path.is_dir():
            yield from files_below(path, f"{within}{path.name}/", (*above, real), ways)
        else:
            yield f"{within}{path.name}"


class ZipFiles(Files):
    """Image files in a zip archive, read in place."""

    def __init__(
        self,
        place: Path,
        labels: bool = True,
        takes: str = "data.path takes a .zip of images",  # for messages
    ) -> None:
        try:
            self.archive = zipfile.ZipFile(place)
        except Exception as error:  # zipfile raises whatever damaged bytes lead it to
            fix = f"{takes}; an archive that arrived damaged must be fetched again"
            problem = Problem(str(place), f"is not a zip archive ({error})", fix)
            raise BrokenData([problem]) from error
        self.lock = threading.Lock()
        # Some programs of Windows write backslashes, against the format's rules.
        listed = [info for info in self.archive.infolist() if not info.is_dir()]
        self.members = {info.filename.replace("\\", "/"): info for info in listed}
        super().__init__(place, list(self.members), labels)

    def image(self, index: int) -> Stored:  # noqa: D102
        member = self.members[self.names[index]]
        if member.flag_bits & ENCRYPTED:
            raise UnusableImage("is encrypted", "unpack the archive with its password")
        if member.file_size > LARGEST:  # looked at before anything is unpacked
            reason = f"unpacks to {member.file_size / 2**20:,.0f} MB, more than any image read here"
            raise UnusableImage(reason, "replace or delete it")
        with self.lock:
            return stored.open_stored(io.BytesIO(self.archive.read(member)))

    def content(self, name: str) -> bytes:  # noqa: D102
        member = self.members[name]
        try:
            return self.bounded(name, member.file_size, lambda: self.archive.read(member))
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error) as error:
            problem = Problem(f"{self.place}/{name}", str(error), "replace the archive")
            raise BrokenData([problem]) from error

    def fingerprint(self) -> str:  # noqa: D102
        entries = [(name, self.members[name]) for name in self.keyed]
        states = [(name, entry.file_size, entry.CRC) for name, entry in entries]
        return content_hash(bool(self.class_names), *states)


def require_path(path: str | Path | None, guide: str, key: str = "data.path") -> Path:
    """The path that `key` names, found.

    Raises:
        FileNotFoundError: there is none; with the guide to what belongs there.
    """
    if not path:
        raise FileNotFoundError(f"{key} is not set; it takes {guide}")
    place = Path(path).expanduser()
    if not place.exists():
        raise FileNotFoundError(f"{key}={path} does not exist; it takes {guide}")
    if not place.is_dir() and (kind := irregularity(place)) is not None:
        raise FileNotFoundError(f"{key}={path} is {kind}; it takes {guide}")
    return place


def choice_of_images(key: str, path: str | Path | None) -> str:
    """How a user says which array or column holds the images, up to its name: `data.images=`, or
    `fake=a.npz:` where another option than `data.path` names the file.
    """
    return "data.images=" if key == "data.path" else f"{key}={path}:"


def state(place: Path) -> str:
    """A hash of a file's name, size and time of change."""
    found = place.stat()
    return content_hash(place.resolve(), found.st_size, found.st_mtime_ns)


def is_image_name(name: str) -> bool:
    """Whether a file is an image, by its name, and not hidden."""
    return _suffix(name) in SUFFIXES and not _hidden(name)


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _hidden(name: str) -> bool:
    """Hidden, or one of macOS's resource forks; `..` in an archive's name hides nothing."""
    parts = [part for part in PurePosixPath(name).parts if part != ".."]
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)
