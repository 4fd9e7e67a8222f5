"""MNIST and Fashion-MNIST: images and labels in idx files (LeCun's format)."""

import hashlib
import importlib.resources
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganlab.data.collection import Arrays, TwoSided, content_hash
from ganlab.data.download import fetch, gunzip, unpack
from ganlab.data.files import require_path, state
from ganlab.data.problems import BrokenData, Problem
from ganlab.downloads import cache_dir

DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # of the package dataset-fashion-mnist
HOMES = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
SHA256 = {  # of the unpacked files: archives of the same content differ in their gzip headers
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
GARMENTS = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]
SPLITS = {"train": ("train",), "test": ("t10k",), "all": ("train", "t10k")}
FILES = ", ".join(f"{name}[.gz]" for name in SHA256)


def read_idx(content: bytes, place: Path) -> NDArray[np.uint8]:
    """The array in an idx file of bytes; raises `BrokenData` when header and size disagree.

    Header: two zero bytes, type 8 (unsigned byte), number of axes, then one big-endian 32-bit
    length an axis.
    """
    axes = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    lengths, values = content[4 : 4 + 4 * axes], content[4 + 4 * axes :]
    shape = [each for (each,) in struct.iter_unpack(">I", lengths[: len(lengths) // 4 * 4])]
    if not axes or len(shape) != axes or len(values) != math.prod(shape):
        raise BrokenData([Problem(str(place), "is not a whole idx file", "get it again")])
    return np.frombuffer(values, np.uint8).reshape(shape)


def write_idx(array: NDArray[np.uint8]) -> bytes:
    """The idx file of an array of bytes."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


class MNIST(TwoSided):
    """MNIST (LeCun et al. 1998) from its idx files, gzipped or not."""

    shared = False

    def __init__(self, path: str | Path | None, split: str = "train") -> None:
        if split not in SPLITS:
            raise ValueError(f"data.split={split} must be one of {', '.join(SPLITS)}")
        self.path, self.split = path, split

    def prepare(self) -> None:
        """Nothing to fetch."""

    def open(self) -> Arrays:
        """Read the split; raises `FileNotFoundError` or `BrokenData`."""
        guide = f"the folder with MNIST's files {FILES}, from http://yann.lecun.com/exdb/mnist"
        folder = require_path(self.path, guide)
        parts = [[self._read(folder, f"{part}-{kind}", guide) for part in SPLITS[self.split]]
                 for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]  # fmt: skip
        images, labels = (np.concatenate(part) for part in parts)
        key = content_hash(*(state(_idx_file(folder, n) or folder) for n in SHA256), self.split)
        return _arrays(images, labels, [str(digit) for digit in range(10)], str(folder), key)

    def side(self, split: str) -> "MNIST":
        """An official split."""
        return MNIST(self.path, split)

    def _read(self, folder: Path, name: str, guide: str) -> NDArray[np.uint8]:
        place = _idx_file(folder, name)
        if place is None:
            raise FileNotFoundError(f"data.path={folder} lacks {name}[.gz]; it takes {guide}")
        try:
            return read_idx(gunzip(place), place)
        except (OSError, EOFError, zlib.error) as error:
            raise BrokenData(
                [Problem(str(place), f"is damaged: {error}", "get it again")]
            ) from error


class FashionMNIST:
    """Fashion-MNIST (Xiao et al. 2017): 28x28 greys of ten kinds of garment, checked by SHA-256.

    By default the official test split, 10,000 images that come with this package; `full` gives all
    70,000, the 60,000 of the training split first.
    """

    shared = False

    def __init__(
        self,
        path: str | Path | None = None,  # folder with the four idx files, where Debian's is missing
        full: bool = False,  # all 70,000 images instead of the embedded 10,000
    ) -> None:
        self.path, self.full = path, full

    def prepare(self) -> None:
        """Download what `full` needs and nobody has; raises FileNotFoundError saying what to do."""
        if not self.full or self._folder() != self.cache:
            return
        for name, sha256 in SHA256.items():
            if _idx_file(self.cache, name) is None:
                self._download(name, sha256)

    def open(self) -> Arrays:
        """Read the images; raises `FileNotFoundError`, or ValueError on a wrong checksum."""
        if not self.full:
            images, labels = read_embedded()
            return _arrays(
                images, labels, GARMENTS, "fashion_mnist", SHA256["t10k-images-idx3-ubyte"]
            )
        parts = [(self._read(f"{part}-images-idx3-ubyte"), self._read(f"{part}-labels-idx1-ubyte"))
                 for part in SPLITS["all"]]  # fmt: skip
        images, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
        return _arrays(
            images, labels, GARMENTS, str(self._folder()), content_hash(*SHA256.values())
        )

    @property
    def cache(self) -> Path:
        """Where downloads go."""
        return cache_dir() / "fashion_mnist"

    def _folder(self) -> Path:
        if all(_idx_file(DEBIAN, name) for name in SHA256):
            return DEBIAN
        return require_path(self.path, f"a folder with {FILES}") if self.path else self.cache

    def _read(self, name: str) -> NDArray[np.uint8]:
        place = _idx_file(self._folder(), name)
        if place is None:
            raise FileNotFoundError(f"{self._folder()} lacks {name}[.gz]; {_OFFLINE}")
        return read_idx(unpack(place, SHA256[name]), place)

    def _download(self, name: str, sha256: str) -> None:
        try:
            fetch([f"{home}{name}.gz" for home in HOMES], self.cache / f"{name}.gz", sha256)
        except ConnectionError as error:
            message = f"Fashion-MNIST could not be downloaded ({error}); {_OFFLINE}"
            raise FileNotFoundError(message) from error


_OFFLINE = (
    "without a network install Debian's package dataset-fashion-mnist, or set data.path to a "
    f"folder with {FILES}, or train on the embedded 10,000 images with data.full=false"
)


def read_embedded() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The test split that comes with the package: images (10000, 28, 28) and labels (10000,).

    It is a lossless mosaic whose row k holds the images of class k in their published order, and
    whose text chunk "labels" holds the label of each image as a digit.
    """
    resource = importlib.resources.files("ganlab.data").joinpath("fashion_mnist.png")
    with resource.open("rb") as file, Image.open(file) as picture:
        labels = np.frombuffer(picture.text["labels"].encode(), np.uint8) - ord("0")
        mosaic = np.asarray(picture)  # (10 * 28, 1000 * 28)
    tiles = mosaic.reshape(10, 28, 1000, 28).transpose(0, 2, 1, 3).reshape(10_000, 28, 28)
    images = np.empty_like(tiles)
    images[np.argsort(labels, kind="stable")] = tiles
    content = hashlib.sha256(write_idx(images)).hexdigest()
    if content != SHA256["t10k-images-idx3-ubyte"]:
        raise ValueError("fashion_mnist.png in the package is damaged: install ganlab again")
    return images, labels


def _arrays(
    images: NDArray[np.uint8], labels: NDArray[np.uint8], names: list[str], place: str, key: str
) -> Arrays:
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        reason = f"has images of shape {images.shape}, not (N, H, W), or labels {labels.shape}"
        raise BrokenData([Problem(place, reason, "get the files again")])
    if labels.max(initial=0) >= len(names):
        reason = f"has a label {labels.max()}, and {len(names)} classes from 0"
        fix = "of other classes make an .npz, which data=arrays reads"
        raise BrokenData([Problem(place, reason, fix)])
    return Arrays(images, labels.astype(np.int64), names, place, key)


def _idx_file(folder: Path, name: str) -> Path | None:
    """The file under its own name, with .gz, or with the dot some copies put before `idx`."""
    dotted = name.replace("-idx", ".idx")
    places = (folder / n for n in (name, f"{name}.gz", dotted, f"{dotted}.gz"))
    return next((place for place in places if place.is_file()), None)
