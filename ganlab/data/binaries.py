"""CIFAR-10 and STL-10 from their official binary files, which hold bytes and no Python objects."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganlab.data.collection import Arrays, TwoSided, content_hash
from ganlab.data.files import require_path, state
from ganlab.data.problems import BrokenData, Problem

CIFAR10_CLASSES = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
]
CIFAR10_GUIDE = (
    "the folder with data_batch_1.bin ... data_batch_5.bin and test_batch.bin, unpacked from "
    '"CIFAR-10 binary version" at https://www.cs.toronto.edu/~kriz/cifar.html'
)
STL10_CLASSES = [
    "airplane",
    "bird",
    "car",
    "cat",
    "deer",
    "dog",
    "horse",
    "monkey",
    "ship",
    "truck",
]
STL10_GUIDE = (
    "the folder with train_X.bin, train_y.bin, test_X.bin, test_y.bin and unlabeled_X.bin, "
    "unpacked from stl10_binary.tar.gz at https://cs.stanford.edu/~acoates/stl10"
)


_TRAIN = tuple(f"data_batch_{k}.bin" for k in range(1, 6))
CIFAR10_FILES = {
    "train": _TRAIN,
    "test": ("test_batch.bin",),
    "all": (*_TRAIN, "test_batch.bin"),
}


class CIFAR10(TwoSided):
    """CIFAR-10 (Krizhevsky 2009), 32x32 RGB: records of a label byte and 3 x 1024 pixel bytes."""

    shared = False

    def __init__(self, path: str | Path | None, split: str = "train") -> None:
        _check_split(split, tuple(CIFAR10_FILES))
        self.path, self.split = path, split

    def prepare(self) -> None:
        """Nothing to fetch."""

    def open(self) -> Arrays:
        """Read the split; raises `FileNotFoundError` or `BrokenData`."""
        folder = _inside(require_path(self.path, CIFAR10_GUIDE), "cifar-10-batches-bin")
        places = [_file(folder, name, CIFAR10_GUIDE) for name in CIFAR10_FILES[self.split]]
        records = np.concatenate([_records(place, 1 + 3 * 1024) for place in places])
        labels = records[:, 0].astype(np.int64)
        _check_labels(folder, labels, 10)
        images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # (N, H, W, C)
        return Arrays(
            images, labels, CIFAR10_CLASSES, str(folder), content_hash(*map(state, places))
        )

    def side(self, split: str) -> "CIFAR10":
        """An official split."""
        return CIFAR10(self.path, split)


class STL10:
    """STL-10 (Coates et al. 2011), 96x96 RGB, stored channel by channel and column by column."""

    shared = False
    splits = ("train", "test", "unlabeled")

    def __init__(self, path: str | Path | None, split: str = "unlabeled") -> None:
        _check_split(split, self.splits)
        self.path, self.split = path, split

    def prepare(self) -> None:
        """Nothing to fetch."""

    def open(self) -> Arrays:
        """Map the split; raises `FileNotFoundError` or `BrokenData`."""
        folder = _inside(require_path(self.path, STL10_GUIDE), "stl10_binary")
        place = _file(folder, f"{self.split}_X.bin", STL10_GUIDE)
        records = _records(place, 3 * 96 * 96)
        columns = records.reshape(-1, 3, 96, 96)  # (N, C, W, H)
        images = columns.transpose(0, 3, 2, 1)  # (N, H, W, C)
        labels = None if self.split == "unlabeled" else self._labels(folder, len(images))
        names = [] if labels is None else STL10_CLASSES
        return Arrays(images, labels, names, str(place), state(place))

    def _labels(self, folder: Path, num_images: int) -> NDArray[np.int64]:
        place = _file(folder, f"{self.split}_y.bin", STL10_GUIDE)
        labels = _records(place, 1)[:, 0].astype(np.int64) - 1  # classes count from 1
        if len(labels) != num_images:
            raise _wrong(place, f"has {len(labels):,} labels for {num_images:,} images")
        _check_labels(place, labels, 10)
        return labels


def _check_split(split: str, splits: tuple[str, ...]) -> None:
    if split not in splits:
        raise ValueError(f"data.split={split} must be one of {', '.join(splits)}")


def _inside(folder: Path, name: str) -> Path:
    """The folder the archive unpacks to, where data.path names its parent."""
    return folder / name if (folder / name).is_dir() else folder


def _file(folder: Path, name: str, guide: str) -> Path:
    if not (folder / name).is_file():
        raise FileNotFoundError(f"data.path={folder} lacks {name}; it takes {guide}")
    return folder / name


def _records(place: Path, length: int) -> NDArray[np.uint8]:
    """Rows of `length` bytes, mapped; raises `BrokenData` on a size that is no multiple of it."""
    size = place.stat().st_size
    if size == 0 or size % length:
        raise _wrong(place, f"has {size:,} bytes, no multiple of a record's {length:,}")
    return np.memmap(place, np.uint8, "r").reshape(-1, length)


def _check_labels(place: Path, labels: NDArray[np.int64], num_classes: int) -> None:
    if labels.min() < 0 or labels.max() >= num_classes:
        raise _wrong(place, f"has labels outside its {num_classes} classes")


def _wrong(place: Path, reason: str) -> BrokenData:
    return BrokenData([Problem(str(place), reason, "download and unpack it again")])
