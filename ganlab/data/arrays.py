"""Images in NumPy files: .npy with one array, .npz with images and, if wanted, labels."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganlab.data.collection import Arrays, content_hash
from ganlab.data.files import require_path, state
from ganlab.data.problems import BrokenData, Problem
from ganlab.storage import DamagedFile
from ganlab.storage.arrays import ArrayArchive, is_archive, read_npy

GUIDE = (
    "an .npy file with images (N, H, W), (N, H, W, C) or (N, C, H, W), or an .npz file with such "
    "an array and an integer array of N labels"
)


class ArrayFile:
    """An .npy or .npz file as a source; pickled objects in it are never opened."""

    shared = False

    def __init__(
        self,
        path: str | Path | None,  # file ending in .npy or .npz
        images: str | None = None,  # .npz: key of the images; needed only if several would do
        labels: str | None = None,  # .npz: key of the labels; .npy: a second .npy file with them
        channels: int = 3,  # asked for; tells which axis they are on
    ) -> None:
        self.path, self.images, self.labels, self.channels = path, images, labels, channels

    def prepare(self) -> None:
        """Nothing to fetch."""

    def open(self) -> Arrays:
        """Read (.npz) or map (.npy) the file; raises `FileNotFoundError` or `BrokenData`."""
        place = require_path(self.path, GUIDE)
        with _named_as(place):
            if is_archive(place):
                images, labels = self._chosen(place, ArrayArchive(place))
            else:
                images, labels = read_npy(place), self._beside()
        pixels = _channels_last(place, images, self.channels)
        numbers, names = _classes(place, labels, len(pixels))
        found = Arrays(pixels, numbers, names, str(place), self._fingerprint(place))
        found.origin = "the array of labels"
        return found

    def _fingerprint(self, place: Path) -> str:
        """One .npz may hold several sets, so the keys count; so do labels in a second file."""
        beside = Path(self.labels).expanduser() if self.labels and place.suffix == ".npy" else None
        return content_hash(state(place), self.images, self.labels, beside and state(beside))

    def _beside(self) -> NDArray[Any] | None:
        if self.labels is None:
            return None
        place = require_path(self.labels, "an .npy file of N integer labels")
        with _named_as(place):
            return np.asarray(read_npy(place))

    def _chosen(
        self, place: Path, arrays: ArrayArchive
    ) -> tuple[NDArray[Any], NDArray[Any] | None]:
        shapes = arrays.shapes
        images = _key(
            place, "images", self.images, [k for k in shapes if len(shapes[k]) > 2], shapes
        )
        if images is None:
            raise _wrong(place, f"holds no array of images: {_named(shapes)}")
        num = shapes[images][:1]
        flat = [k for k in shapes if (math.prod(shapes[k]),) == num and k != images]
        labels = _key(place, "labels", self.labels, flat, shapes)
        return arrays[images], None if labels is None else arrays[labels]


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
    asked: str | None,
    fitting: list[str],
    shapes: Mapping[str, tuple[int, ...]],
) -> str | None:
    if asked is not None:
        if asked not in shapes:
            raise _wrong(place, f"has no array data.{role}={asked}: {_named(shapes)}")
        return asked
    if len(fitting) > 1:
        choice = f"set data.{role} to one of {', '.join(fitting)}"
        raise BrokenData([Problem(str(place), f"several arrays may be the {role}", choice)])
    return fitting[0] if fitting else None


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


def _classes(
    place: Path, labels: NDArray[Any] | None, num_images: int
) -> tuple[NDArray[np.int64] | None, list[str]]:
    """Labels as 0 to K - 1, and the number each stands for in the file."""
    if labels is None:
        return None, []
    if labels.size != num_images or labels.dtype.kind not in "iub":
        shape = f"{labels.shape} of {labels.dtype}"
        raise _wrong(place, f"has labels {shape} for {num_images:,} images, not one integer each")
    names, numbers = np.unique(labels, return_inverse=True)
    return numbers.reshape(-1).astype(np.int64), [str(name) for name in names]


def _named(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{key} {shape}" for key, shape in shapes.items()) or "it is empty"


def _wrong(place: Path, reason: str) -> BrokenData:
    return BrokenData([Problem(str(place), reason, f"data.path takes {GUIDE}")])
