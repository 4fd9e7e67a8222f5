"""Image files wherever they lie: a folder, a zip or tar archive, shards, LMDB; told by content."""

import re
from pathlib import Path

from ganlab.data.archives import KeyValueFiles, TarFiles
from ganlab.data.files import Files, FolderFiles, ZipFiles, files_below, is_image_name, require_path
from ganlab.data.problems import BrokenData, Problem
from ganlab.nn.frames import Resolution
from ganlab.storage import DamagedFile
from ganlab.storage.key_values import is_key_values

LMDB = "data.mdb"  # the file of images in a folder of LMDB's
PACKED = {  # how files begin that hold an archive as a whole
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf": "7z",
    b"Rar!": "rar",
}
PARQUET, NUMPY = b"PAR1", b"\x93NUMPY"  # how such files begin
OTHERS = {PARQUET: ("a Parquet file", "parquet"), NUMPY: ("an array", "arrays")}
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")  # of WebDataset's names of shards
MOST_SHARDS = 10**6


class ImageFiles:
    """Image files in a folder, an archive or a database as a source."""

    shared = True

    def __init__(
        self,
        path: str | Path | None,  # folder, .zip, .tar, folder or {000..123} of .tar shards, or LMDB
        labels: bool = True,  # of a file of labels, or of nested folders
        guide: str = "a folder or .zip of images",  # what belongs there and where to get it
        resolution: Resolution | None = None,  # asked for, where several are kept; None = largest
        key: str = "data.path",  # the option that names the place, for messages
    ) -> None:
        self.path, self.labels, self.guide, self.key = path, labels, guide, key
        self.side = resolution if isinstance(resolution, int) else None

    def prepare(self) -> None:
        """Nothing to fetch."""

    def open(self) -> Files:
        """List the files; raises `FileNotFoundError` or `BrokenData`."""
        if (shards := shard_files(self.path, self.key)) is not None:
            parts = [require_path(shard, self.guide, self.key) for shard in shards]
            return TarFiles(parts[0].parent, parts, self.labels)
        place = require_path(self.path, self.guide, self.key)
        if place.is_dir():
            return self._inside(place)
        try:
            if is_key_values(place):
                return KeyValueFiles(place, place, self.labels, self.side)
        except DamagedFile as error:
            raise BrokenData([Problem(str(place), str(error), self.guide)]) from error
        if place.suffix.lower() == ".tar" or begins(place, b"ustar", 257):
            return TarFiles(place, [place], self.labels)
        if is_image_name(place.name):
            fix = f"{self.key} takes {self.guide}; name its folder"
            raise BrokenData([Problem(str(place), "is one image", fix)])
        for start, (kind, choice) in OTHERS.items():
            if begins(place, start):
                raise BrokenData([Problem(str(place), f"is {kind}", f"data={choice} reads it")])
        for start, kind in PACKED.items():
            if begins(place, start):
                reason = f"is packed as a whole ({kind}): no image can be read without the others"
                raise BrokenData([Problem(str(place), reason, "unpack it to a .tar or a folder")])
        if place.suffix.lower() == ".npz":
            raise BrokenData([Problem(str(place), "is a file of arrays", "data=arrays reads it")])
        if place.suffix.lower() != ".zip" and not begins(place, b"PK"):
            reason = "is no folder, archive or database of images"
            raise BrokenData([Problem(str(place), reason, f"{self.key} takes {self.guide}")])
        return ZipFiles(place, self.labels, f"{self.key} takes {self.guide}")

    def _inside(self, place: Path) -> Files:
        if (place / LMDB).is_file():
            return KeyValueFiles(place, place / LMDB, self.labels, self.side)
        shards = sorted(place.glob("*.tar"))
        if shards and not any(map(is_image_name, files_below(place))):
            return TarFiles(place, shards, self.labels)
        return FolderFiles(place, self.labels)


def shard_files(path: str | Path | None, key: str = "data.path") -> list[Path] | None:
    """The files that `a-{000..123}.tar` names, None where no such range stands in the path.

    Raises:
        ValueError: it names none, or more than a million.
    """
    found = RANGE.search(str(path))
    if found is None:
        return None
    first, last = int(found[1]), int(found[2])
    if not 0 <= last - first < MOST_SHARDS:
        raise ValueError(f"{key}={path} names {max(0, last - first + 1):,} files")
    start, end = str(path)[: found.start()], str(path)[found.end() :]
    width = len(found[1])
    return [Path(f"{start}{number:0{width}}{end}") for number in range(first, last + 1)]


def begins(place: Path, start: bytes, offset: int = 0) -> bool:
    """Whether a file has these bytes at its start, or from `offset` on."""
    with place.open("rb") as file:
        file.seek(offset)
        return file.read(len(start)) == start
