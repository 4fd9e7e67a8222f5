"""What lies at a path, told by its name and content: one answer for all who read images.

source_of("fakes.npz")                       # arrays, Parquet, a folder of save_to_disk, or files
"""

import sys
from collections.abc import Callable
from pathlib import Path

from ganlab.checks.places import place_named
from ganlab.data.arrays import ArrayFile
from ganlab.data.collection import Source, survey_values
from ganlab.data.containers import ImageFiles
from ganlab.data.files import files_below, is_image_name
from ganlab.data.module import ImageData
from ganlab.data.tables import SAVED, HubImages, ParquetImages
from ganlab.data.values import Given, stated_scale
from ganlab.nn.frames import Resolution

GUIDE = "a folder of images, .zip, .tar, .npy, .npz, .parquet, LMDB or a folder of save_to_disk"
ARRAYS = (".npy", ".npz")
PARQUET = ".parquet"


def source_of(
    path: str | Path | None,
    channels: int = 3,  # asked for; tells which axis of an array they are on
    labels: bool = True,  # False: those of files and tables are left out
    key: str = "data.path",  # for messages
    resolution: Resolution | None = None,  # asked for, where several are kept; None = the largest
) -> Source:
    """The source of the images at a path; a wrong one says so when it is opened.

    Raises:
        ValueError: a name longer than there can be.
    """
    place = None if path is None else place_named(path, key)
    suffix = "" if place is None else place.suffix.lower()
    if suffix in ARRAYS:
        return ArrayFile(place, labels=None if labels else False, channels=channels)
    column = None if labels else False
    if suffix == PARQUET or (place is not None and _holds_tables(place)):
        return ParquetImages(place, labels=column)
    if place is not None and any((place / name).is_file() for name in SAVED):
        return HubImages(place, labels=column)
    return ImageFiles(place, labels, GUIDE, resolution)


def _holds_tables(place: Path) -> bool:
    """Whether a folder has Parquet files, at the top or in Hugging Face's `data`, and no images."""
    found = any(any((place / within).glob(f"*{PARQUET}")) for within in ("", "data"))
    return found and not any(map(is_image_name, files_below(place)))


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
