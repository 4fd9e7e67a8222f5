"""`python -m ganlab data check <path>`: what training would trip over, found without training."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ganlab.data.arrays import ArrayFile
from ganlab.data.collection import Source, scan
from ganlab.data.decode import Fitting
from ganlab.data.files import Files, ImageFiles
from ganlab.data.problems import BrokenData, Problem, report

__all__ = ["Survey", "check", "report", "survey"]

ARRAYS = (".npy", ".npz")


@dataclass(frozen=True)
class Survey:
    """What a folder, zip archive or .npy/.npz file holds."""

    problems: list[Problem]
    passed_over: Mapping[str, int] = field(default_factory=dict)  # suffix -> files that are not
    # read for their suffix, hidden ones apart
    labelled: str = ""  # what classes there are and where these come from


def survey(path: Path, resolution: int | None = None) -> Survey:
    """Read every image; with a resolution, those smaller than it are problems as well.

    No problem means that training on `data.path=<path>` would read every image.
    """
    place = Path(path).expanduser()
    act = (lambda _: None) if resolution is None else Fitting(resolution)
    source: Source = ArrayFile(place) if place.suffix.lower() in ARRAYS else ImageFiles(place)
    if not place.exists():
        return Survey([Problem(str(path), "does not exist", "check the spelling")])
    try:
        collection = source.open()
    except BrokenData as error:
        return Survey(error.problems)
    problems = [item for item in scan(collection, act) if isinstance(item, Problem)]
    passed_over = collection.passed_over if isinstance(collection, Files) else {}
    return Survey(problems, passed_over, collection.labelled())


def check(path: Path, resolution: int | None = None) -> list[Problem]:
    """The problems of a `survey`."""
    return survey(path, resolution).problems
