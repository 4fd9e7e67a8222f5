"""`python -m ganlab data check <path>`: what training would trip over, found without training."""

from pathlib import Path

from ganlab.data.arrays import ArrayFile
from ganlab.data.collection import Source, scan
from ganlab.data.decode import Fitting
from ganlab.data.files import ImageFiles
from ganlab.data.problems import BrokenData, Problem, report

__all__ = ["check", "report"]

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
