"""`python -m ganlab data check <path>`: what training would trip over, found without training."""

from collections.abc import Mapping
from pathlib import Path

from ganlab.data.arrays import ArrayFile
from ganlab.data.collection import Source, scan
from ganlab.data.decode import Fitting
from ganlab.data.files import ImageFiles
from ganlab.data.problems import BrokenData, Problem, report

__all__ = ["check", "labelled", "passed_over", "report"]

ARRAYS = (".npy", ".npz")


def check(path: Path, resolution: int | None = None) -> list[Problem]:
    """Read every image of a folder, zip archive or .npy/.npz file and list what is wrong.

    With a resolution, images smaller than it count as well. An empty list means that training on
    `data.path=<path>` would read every image.
    """
    place = Path(path).expanduser()
    act = (lambda _: None) if resolution is None else Fitting(resolution)
    source: Source = ArrayFile(place) if place.suffix.lower() in ARRAYS else ImageFiles(place)
    if not place.exists():
        return [Problem(str(path), "does not exist", "check the spelling")]
    try:
        collection = source.open()
    except BrokenData as error:
        return error.problems
    return [item for item in scan(collection, act) if isinstance(item, Problem)]


def labelled(path: Path) -> str:
    """What classes the images have and where these come from; nothing where there are none."""
    place = Path(path).expanduser()
    try:
        return "" if place.suffix.lower() in ARRAYS else ImageFiles(place).open().labelled()
    except (BrokenData, FileNotFoundError):
        return ""


def passed_over(path: Path) -> Mapping[str, int]:
    """Suffix -> number of files in a folder or zip archive that are not read for their suffix.

    Hidden files do not count; nothing where `check` finds that it cannot be opened.
    """
    place = Path(path).expanduser()
    if place.suffix.lower() in ARRAYS or not place.exists():
        return {}
    try:
        return ImageFiles(place).open().passed_over
    except BrokenData:
        return {}
