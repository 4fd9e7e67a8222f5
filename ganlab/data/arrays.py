"""Images in NumPy files: .npy with one array, .npz with images and, if wanted, labels."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganlab.data.collection import Arrays, content_hash
from ganlab.data.files import choice_of_images, require_path, state
from ganlab.data.labels import LABEL_COLUMNS, number_labels
from ganlab.data.problems import BrokenData, Problem
from ganlab.storage import DamagedFile
from ganlab.storage.arrays import ArrayArchive, is_archive, read_npy

GUIDE = (
    "an .npy file with images (N, H, W), (N, H, W, C) or (N, C, H, W), or an .npz file with such "
    "an array and an integer array of N labels"
)
LABELS_GUIDE = "set data.labels to an array of N integers, names or one-hot rows, or to false"
WHOLE = 2.0**53  # below which a whole number is one of its own in 64 bits
NAMED_AS_LABELS = (*LABEL_COLUMNS, "y", "target", "targets", "onehot", "one_hot")


class ArrayFile:
    """An .npy or .npz file as a source; pickled objects in it are never opened."""

    shared = False

    def __init__(
        self,
        path: str | Path | None,  # file ending in .npy or .npz
        images: str | None = None,  # .npz: key of the images; needed only if several would do
        labels: str | bool | None = None,  # .npz: their key; .npy: a second .npy; False = none
        channels: int = 3,  # asked for; tells which axis they are on
        key: str = "data.path",  # the option that names the file, for messages
    ) -> None:
        self.path, self.images, self.labels, self.channels = path, images, labels, channels
        self.key = key

    def prepare(self) -> None:
        """Nothing to fetch."""

    def open(self) -> Arrays:
        """Read (.npz) or map (.npy) the file; raises `FileNotFoundError` or `BrokenData`."""
        place = require_path(self.path, GUIDE, self.key)
        with _named_as(place):
            if is_archive(place):
                images, labels = self._chosen(place, ArrayArchive(place))
            elif self.images is None:
                images, labels = read_npy(place), self._beside()
            else:
                choice = f"{choice_of_images(self.key, place)}{self.images}"
                raise _wrong(place, f"is one array, without names: leave out {choice}")
        pixels = _channels_last(place, images, self.channels)
        numbers, names = (None, []) if labels is None else labels.classes(place, len(pixels))
        found = Arrays(pixels, numbers, names, str(place), self._fingerprint(place))
        found.origin = "the array of labels"
        return found

    def _fingerprint(self, place: Path) -> str:
        """One .npz may hold several sets, so the keys count; so do labels in a second file."""
        said = self.labels if isinstance(self.labels, str) else ""
        beside = Path(said).expanduser() if said and place.suffix == ".npy" else None
        return content_hash(state(place), self.images, self.labels, beside and state(beside))

    def _beside(self) -> "_Labels | None":
        if not self.labels:
            return None
        guide = "an .npy file of N integer labels"
        place = require_path(str(self.labels), guide, "data.labels")
        with _named_as(place):
            return _Labels(place.name, np.asarray(read_npy(place)))

    def _chosen(self, place: Path, arrays: ArrayArchive) -> "tuple[NDArray[Any], _Labels | None]":
        shapes = arrays.shapes
        choice = choice_of_images(self.key, place)
        pictures = [k for k in shapes if len(shapes[k]) > 2]
        images = _key(place, "images", choice, self.images, pictures, shapes)
        if images is None:
            raise _wrong(place, f"holds no array of images: {_named(shapes)}")
        if self.labels is False:
            return arrays[images], None
        asked = self.labels if isinstance(self.labels, str) else None
        num = shapes[images][:1]
        flat = [k for k in shapes if (math.prod(shapes[k]),) == num and k != images]
        rows = [k for k in shapes if len(shapes[k]) == 2 and shapes[k][:1] == num]
        rows = [k for k in rows if k.lower() in NAMED_AS_LABELS]
        labels = _key(place, "labels", "data.labels=", asked, flat or rows, shapes)
        return arrays[images], None if labels is None else _Labels(labels, arrays[labels])


@dataclass(frozen=True)
class _Labels:
    """What an array says of the classes of images."""

    key: str  # its name
    values: NDArray[Any]

    def classes(self, place: Path, num_images: int) -> tuple[NDArray[np.int64], list[str]]:
        """Labels as 0 to K - 1, and the number or the name that each stands for."""
        values = self.values
        if values.ndim == 2 and values.shape[0] == num_images and values.shape[1] > 1:
            return self.hot(place), [*map(str, range(values.shape[1]))]
        real = values.dtype.kind == "f" and bool((np.abs(values) < WHOLE).all())
        real = real and bool((values == np.floor(values)).all())
        if values.size != num_images or not (values.dtype.kind in "iubUS" or real):
            shape = f"{values.shape} of {values.dtype}"
            raise self.wrong(place, f"{shape} for {num_images:,} images, not one integer each")
        values = values.reshape(-1)
        if values.dtype.kind in "US":
            return self.named(place, values)
        names, numbers = np.unique(values.astype(np.int64) if real else values, return_inverse=True)
        return numbers.astype(np.int64), [str(name) for name in names]

    def hot(self, place: Path) -> NDArray[np.int64]:
        """The place of the one in each row."""
        ones, zeros = (np.equal(self.values, each).sum(1) for each in (1, 0))
        wrong = np.flatnonzero((ones != 1) | (zeros != self.values.shape[1] - 1))
        if not len(wrong):
            places: NDArray[np.int64] = np.argmax(self.values, axis=1).astype(np.int64)
            return places
        row = np.array2string(self.values[wrong[0]][:4], precision=3, separator=", ")
        more = ", ..." if self.values.shape[1] > 4 else ""
        reason = (
            f"has soft or several labels in {self.key} {self.values.shape}: row {wrong[0]:,} is "
            f"{row[:-1]}{more}] and names no one class"
        )
        fix = f"{LABELS_GUIDE}; {self.key}.argmax(1) makes integers of these"
        raise BrokenData([Problem(str(place), reason, fix)])

    def named(self, place: Path, values: NDArray[Any]) -> tuple[NDArray[np.int64], list[str]]:
        """Names, in sorted order."""
        try:
            texts = np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values
            found = number_labels([str(each) for each in texts], self.key)
        except ValueError as error:
            raise BrokenData([Problem(str(place), str(error), LABELS_GUIDE)]) from error
        assert found.numbers is not None
        return found.numbers, [*found.class_names]

    def wrong(self, place: Path, reason: str) -> BrokenData:
        return BrokenData([Problem(str(place), f"has labels {self.key} {reason}", LABELS_GUIDE)])


@contextmanager
def _named_as(place: Path) -> Iterator[None]:
    """A damaged file is told with its name and what belongs there."""
    try:
        yield
    except DamagedFile as error:
        raise _wrong(place, f"cannot be read: {error}") from error


def _key(
    place: Path,
    role: str,
    choice: str,  # how a user says which, up to its name
    asked: str | None,
    fitting: list[str],
    shapes: Mapping[str, tuple[int, ...]],
) -> str | None:
    if asked in shapes or (asked is None and len(fitting) < 2):
        return asked or next(iter(fitting), None)
    reason = f"several arrays may be the {role}, {', '.join(fitting)}"
    if asked is not None:
        reason = f"has no array {choice}{asked}: {_named(shapes)}"
    fix = f"say which, as {choice}{fitting[0]}" if fitting else f"what is read is {GUIDE}"
    raise BrokenData([Problem(str(place), reason, fix)])


def _channels_last(place: Path, images: NDArray[Any], channels: int) -> NDArray[Any]:
    """(N, H, W) or (N, H, W, C), whichever of the three layouts the file has.

    The axis of channels is the last or the second: as long as was asked for, else as in pictures,
    else the shorter one.
    """
    if images.dtype.kind not in "buif":
        raise _wrong(place, f"has images of type {images.dtype}, which are no real numbers")
    if images.size == 0:
        raise _wrong(place, f"holds no images: shape {images.shape}")
    if images.ndim == 3:
        return images
    if images.ndim != 4:
        raise _wrong(place, f"has an array of the wrong size {images.shape}")
    second, last = images.shape[1], images.shape[3]
    for lengths in ([channels], [1, 3, 4]):
        if last in lengths:
            return images
        if second in lengths:
            return np.moveaxis(images, 1, 3)
    return images if last <= second else np.moveaxis(images, 1, 3)


def _named(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{key} {shape}" for key, shape in shapes.items()) or "it is empty"


def _wrong(place: Path, reason: str) -> BrokenData:
    return BrokenData([Problem(str(place), reason, f"what is read is {GUIDE}")])
