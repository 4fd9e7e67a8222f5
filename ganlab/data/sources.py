"""What lies at a path, told by its name and content: one answer for all who read images.

source_of("fakes.npz")                       # arrays, Parquet, a folder of save_to_disk, or files
"""

import sys
from collections.abc import Callable
from pathlib import Path

from ganlab.checks.places import place_named
from ganlab.data.arrays import ArrayFile
from ganlab.data.collection import Source, survey_values
from ganlab.data.containers import NUMPY, PARQUET, ImageFiles, begins
from ganlab.data.files import files_below, is_image_name
from ganlab.data.module import ImageData
from ganlab.data.tables import SAVED, HubImages, ParquetImages
from ganlab.data.values import Given, stated_scale
from ganlab.nn.frames import Resolution

GUIDE = "a folder of images, .zip, .tar, .npy, .npz, .parquet, LMDB or a folder of save_to_disk"
ARRAYS = (".npy", ".npz")
SUFFIX = ".parquet"


def source_of(
    path: str | Path | None,
    channels: int = 3,  # asked for; tells which axis of an array they are on
    labels: str | bool = True,  # the array or column of labels; False: all labels are left out
    key: str = "data.path",  # the option that names the path, for messages
    resolution: Resolution | None = None,  # asked for, where several are kept; None = the largest
    images: str | None = None,  # the array or column of images, where several could be meant
) -> Source:
    """The source of the images at a path; a wrong one says so when it is opened.

    Raises:
        ValueError: a name longer than there can be, or names of arrays where there are none.
    """
    place = None if path is None else place_named(path, key)
    wanted = None if labels is True else labels
    if place is not None and _is_array(place):
        return ArrayFile(place, images, wanted, channels, key)
    if place is not None and _is_table(place):
        return ParquetImages(place, images, wanted, key=key)
    if place is not None and _is_saved(place):
        return HubImages(place, images=images, labels=wanted, key=key)
    for role, name in (("images", images), ("labels", wanted)):
        if name:
            raise ValueError(f"data.{role}={name}: {key}={path} has no arrays and no columns")
    return ImageFiles(place, labels is not False, GUIDE, resolution, key)


def part_named(path: str, key: str) -> tuple[str, str | None]:
    """`a.npz:images` as the file and which array or column of it holds the images.

    Raises:
        ValueError: a name longer than there can be.
    """
    whole, _, name = path.rpartition(":")
    if not name or not whole or place_named(path, key).exists():
        return path, None
    place = place_named(whole, key)
    chosen = place.exists() and (_is_array(place) or _is_table(place) or _is_saved(place))
    return (whole, name) if chosen else (path, None)


def _is_array(place: Path) -> bool:
    return place.suffix.lower() in ARRAYS or (place.is_file() and begins(place, NUMPY))


def _is_table(place: Path) -> bool:
    """Whether it is a Parquet file, or a folder of such, at the top or in `data`, and no images."""
    if place.suffix.lower() == SUFFIX or place.is_file():
        return place.suffix.lower() == SUFFIX or begins(place, PARQUET)
    found = any(any((place / within).glob(f"*{SUFFIX}")) for within in ("", "data"))
    return found and not any(map(is_image_name, files_below(place)))


def _is_saved(place: Path) -> bool:
    return any((place / name).is_file() for name in SAVED)


def set_up_beside(
    build: Callable[[Given], ImageData],  # the images, read with a range
    given: Given,  # the range of those that they stand beside: two numbers, or None
    name: str,  # what they are called, for the note
) -> ImageData:
    """Images in the range of others, ready; in their type's own where it cannot reach that white.

    8-bit samples of a model of 12 bits are no dark images: a note says which range was taken.
    """
    data, scale = build(given), stated_scale(given)
    if scale is not None:
        data.source.prepare()
        seen = survey_values(data.source.open(), data.fitting)
        if seen.kinds and not any(scale.serves(kind, seen.high) for kind in seen.kinds):
            kind = " and ".join(sorted(map(str, seen.kinds)))
            wrong = "is not of" if any(map(scale.reached_by, seen.kinds)) else "does not reach"
            note = f"{name}: {kind} {wrong} data.range={scale}: its own range is taken"
            print(note, file=sys.stderr)
            data = build(None)
    data.prepare_data()
    data.setup("test")
    return data
