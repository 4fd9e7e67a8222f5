"""`python -m ganlab data check <path>`: what training would trip over, found without training."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ganlab.checks.places import place_named
from ganlab.data.collection import scan, survey_values
from ganlab.data.containers import shard_files
from ganlab.data.decode import Fitting
from ganlab.data.files import Files
from ganlab.data.problems import BrokenData, Problem, report
from ganlab.data.sources import source_of
from ganlab.data.stored import Stored, values_of
from ganlab.data.values import Given, Seen, Values, find_scale, stated_scale, to_find
from ganlab.nn.frames import Resolution

__all__ = ["Survey", "check", "report", "survey"]


@dataclass(frozen=True)
class Survey:
    """What a place of images holds."""

    problems: list[Problem]
    passed_over: Mapping[str, int] = field(default_factory=dict)  # suffix -> files that are not
    # read for their suffix, hidden ones apart
    labelled: str = ""  # what classes there are and where these come from
    values: str = ""  # the least and the largest, and what to say of them


def survey(
    path: Path,
    resolution: Resolution | None = None,  # images smaller than it are problems as well
    channels: int = 3,  # as data.channels
    range: Given = None,  # as data.range
    images: str | None = None,  # as data.images of arrays and tables
    labels: str | bool = True,  # as data.labels
) -> Survey:
    """Read every image; no problem means that training on `data.path=<path>` would do so too."""
    place = place_named(path, "data.path")
    enlarge, size = resolution is None, 4 if resolution is None else resolution
    fitting = Fitting(size, channels, enlarge=enlarge, scale=stated_scale(range))
    source = source_of(place, channels, labels, resolution=resolution, images=images)
    if shard_files(place) is None and not place.exists():
        return Survey([Problem(str(path), "does not exist", "check the spelling")])
    try:
        collection = source.open()
    except BrokenData as error:
        return Survey(error.problems)
    if to_find(range):
        fitting = replace(fitting, scale=find_scale(range, survey_values(collection, fitting))[0])
    if (problem := collection.refused(fitting)) is not None:
        return Survey([problem], labelled=collection.labelled())
    look = Look(fitting, len(collection))
    problems = [item for item in scan(collection, look) if isinstance(item, Problem)]
    seen = Seen.of(look.found)
    advice = f"; {told}" if range is None and (told := seen.advice()) else ""
    return Survey(
        problems,
        collection.passed_over if isinstance(collection, Files) else {},
        collection.labelled(),
        f"{seen}{advice}",
    )


def check(path: Path, resolution: Resolution | None = None) -> list[Problem]:
    """The problems of a `survey`."""
    return survey(path, resolution).problems


@dataclass(frozen=True)
class Look:
    """Fits images, and remembers what values they have."""

    fitting: Fitting
    num_images: int
    found: list[Values] = field(default_factory=list)  # in any order

    def __call__(self, stored: Stored) -> None:
        """One image; raises `UnusableImage`."""
        values = values_of(stored)
        self.found.append(Values.of(values, self.num_images))
        self.fitting.fitted(values)
