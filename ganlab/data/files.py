"""Image files in a folder or a zip archive; the folder a file lies in is its label."""

import io
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from ganlab.data.collection import UNLABELLED, Collection, hashed
from ganlab.data.decode import UnusableImage
from ganlab.data.problems import BrokenData, Problem, counted_suffixes
from ganlab.storage import irregular

LARGEST = 2**28  # bytes of an archive's member: Pillow's largest image, 89 million pixels of RGB
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


class Files(Collection):
    """Named files with the classes their folders stand for; subclasses say how one is opened.

    `passed_over` counts the files that are not hidden and have another suffix, by suffix.
    """

    def __init__(
        self,
        place: Path,  # the folder or archive
        names: Sequence[str],  # relative paths with forward slashes, in any order
        labels: bool = True,  # False ignores the folders
    ) -> None:
        self.place = place
        shown = [name for name in names if not _hidden(name)]
        read = {name for name in shown if self.reads(name)}
        self.names = sorted(read)
        self.passed_over = Counter(_suffix(name) for name in shown if name not in read)
        if not self.names:
            others = f" ({counted_suffixes(self.passed_over)})" if self.passed_over else ""
            fix = f"put {', '.join(SUFFIXES[:4])}, ... files there or change data.path"
            raise BrokenData([Problem(str(place), f"holds no image files{others}", fix)])
        parents = [str(PurePosixPath(name).parent) for name in self.names]
        self.class_names = sorted(set(parents) - {"."}) if labels else []
        if self.class_names:
            number = {name: k for k, name in enumerate(self.class_names)}
            self.labels = np.array([number.get(name, UNLABELLED) for name in parents], np.int64)

    def reads(self, name: str) -> bool:
        """Whether this file is an image, by its name."""
        return _suffix(name) in SUFFIXES

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

    def image(self, index: int) -> Image.Image:  # noqa: D102
        path = self.place / self.names[index]
        try:
            return Image.open(path)
        except FileNotFoundError as error:
            reason = "is a link to nothing" if path.is_symlink() else "is not there any more"
            raise UnusableImage(reason, "mend or delete it") from error

    def fingerprint(self) -> str:  # noqa: D102
        def state(name: str) -> tuple[str, int, int]:
            path = self.place / name
            try:
                found = path.stat()
            except OSError:  # a link to nothing
                found = path.lstat()
            return name, found.st_size, found.st_mtime_ns

        return hashed(self.place.resolve(), bool(self.class_names), *map(state, self.names))


def files_below(folder: Path, within: str = "", above: Sequence[Path] = ()) -> Iterator[str]:
    """Relative paths of all files and of links to nothing, in any order.

    Links to folders are followed unless they lead back up.
    """
    real = folder.resolve()
    if real in above:
        return
    for path in folder.iterdir():
        if path.is_dir():
            yield from files_below(path, f"{within}{path.name}/", (*above, real))
        elif path.is_file() or not path.exists():
            yield f"{within}{path.name}"


class ZipFiles(Files):
    """Image files in a zip archive, read in place."""

    def __init__(self, place: Path, labels: bool = True, guide: str = "a .zip of images") -> None:
        try:
            self.archive = zipfile.ZipFile(place)
        except Exception as error:  # zipfile raises whatever damaged bytes lead it to
            fix = f"data.path takes {guide}; an archive that arrived damaged must be fetched again"
            problem = Problem(str(place), f"is not a zip archive ({error})", fix)
            raise BrokenData([problem]) from error
        self.lock = threading.Lock()
        super().__init__(
            place, [i.filename for i in self.archive.infolist() if not i.is_dir()], labels
        )

    def image(self, index: int) -> Image.Image:  # noqa: D102
        member = self.archive.getinfo(self.names[index])
        if member.file_size > LARGEST:  # looked at before anything is unpacked
            reason = f"unpacks to {member.file_size / 2**20:,.0f} MB, more than any image read here"
            raise UnusableImage(reason, "replace or delete it")
        with self.lock:
            return Image.open(io.BytesIO(self.archive.read(member)))

    def fingerprint(self) -> str:  # noqa: D102
        entries = (self.archive.getinfo(name) for name in self.names)
        states = [(entry.filename, entry.file_size, entry.CRC) for entry in entries]
        return hashed(bool(self.class_names), *states)


class ImageFiles:
    """A folder or a zip archive of images as a source."""

    shared = True

    def __init__(
        self,
        path: str | Path | None,  # the folder, or a file ending in .zip
        labels: bool = True,  # nested folders are classes
        guide: str = "a folder or .zip of images",  # what belongs there and where to get it
    ) -> None:
        self.path, self.labels, self.guide = path, labels, guide

    def prepare(self) -> None:
        """Nothing to fetch."""

    def open(self) -> Files:
        """List the files; raises `FileNotFoundError` or `BrokenData`."""
        place = existing(self.path, self.guide)
        if place.is_dir():
            return FolderFiles(place, self.labels)
        return ZipFiles(place, self.labels, self.guide)


def existing(path: str | Path | None, guide: str) -> Path:
    """The path, found; raises FileNotFoundError with the guide to what belongs there."""
    if not path:
        raise FileNotFoundError(f"data.path is not set; it takes {guide}")
    place = Path(path).expanduser()
    if not place.exists():
        raise FileNotFoundError(f"data.path={path} does not exist; it takes {guide}")
    if not place.is_dir() and (kind := irregular(place)) is not None:
        raise FileNotFoundError(f"data.path={path} is {kind}; it takes {guide}")
    return place


def state(place: Path) -> str:
    """A hash of a file's name, size and time of change."""
    found = place.stat()
    return hashed(place.resolve(), found.st_size, found.st_mtime_ns)


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _hidden(name: str) -> bool:
    """Hidden, or one of macOS's resource forks."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)
