"""A decoded set of images: uint8 in memory, or in a memory-mapped file when it is large."""

import errno
import hashlib
import json
import math
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganlab.data.collection import Collection, read_first, scan
from ganlab.data.decode import Fitting
from ganlab.data.partial import DESCRIPTION, PIXELS, clear_abandoned, partial_folder
from ganlab.data.problems import BrokenData, Problem
from ganlab.data.stored import values_of
from ganlab.data.values import Scale, narrow
from ganlab.storage import DamagedFile, read_text
from ganlab.storage.arrays import digest_of, read_npy


class ImageDataset:
    """Fitted uint8 images with labels, whether they lie in memory or in a mapped file."""

    def __init__(
        self,
        pixels: NDArray[np.uint8],  # (N, C, H, W), possibly a read-only memory map
        labels: NDArray[np.int64] | None,  # (N,), None for unlabelled data
        class_names: Sequence[str],  # label k is class_names[k]
        digest: str,  # hash of pixels and labels
        scale: Scale | None = None,  # what was found to be black and white, where it was looked for
    ) -> None:
        self.pixels, self.scale = pixels, scale
        self.labels = None if labels is None else torch.from_numpy(np.array(labels, np.int64))
        self.class_names, self.digest = list(class_names), digest

    def __len__(self) -> int:
        return len(self.pixels)

    def images(self, indices: Tensor | Sequence[int]) -> Tensor:
        """The images at these positions, (n, C, H, W) uint8, a copy."""
        return torch.from_numpy(self.pixels[np.asarray(indices, np.int64)])


def decode(collection: Collection, fitting: Fitting, skip_broken: bool) -> ImageDataset:
    """Read a whole set into memory; raises `BrokenData` unless broken images may be skipped."""
    kept: list[int] = []
    digest = hashlib.blake2b(digest_size=16)
    images = np.empty((len(collection), *fitting.shape), np.uint8)
    for index, pixels in _good(collection, fitting, skip_broken):
        images[len(kept)] = pixels
        kept.append(index)
        digest.update(pixels.data)
    labels = _kept_labels(collection, kept, digest)
    names, images = collection.class_names, images[: len(kept)]
    return ImageDataset(images, labels, names, digest.hexdigest(), fitting.scale)


def nbytes(collection: Collection, fitting: Fitting) -> int:
    """Size of the decoded set in bytes."""
    return len(collection) * math.prod(fitting.shape)


LABELS = 2**30  # bytes of a description, in which each image has a few
SEAL = "checksum"  # its key in a description, of the rest of it


def seal(described: Mapping[str, Any]) -> dict[str, Any]:
    """A description with a checksum of all that it says."""
    text = json.dumps(described, sort_keys=True).encode()
    return {**described, SEAL: hashlib.blake2b(text, digest_size=16).hexdigest()}


def check_seal(found: Any) -> dict[str, Any]:
    """What a description says; one that was written without a checksum is believed.

    Raises:
        ValueError: it says something else than what was written, or is none.
    """
    if not isinstance(found, dict):
        raise ValueError("it is no mapping")
    said = {key: value for key, value in found.items() if key != SEAL}
    if SEAL in found and seal(said) != found:
        raise ValueError("its checksum does not agree")
    return said


class DecodedFile:
    """A decoded set on disk: `<key>.npy` with the pixels beside `<key>.json` with the rest.

    The key covers the stored images and the way they are fitted, so that a changed folder gets a
    new file. Both files are renamed into place when complete; the json comes last and stands for
    the whole.
    """

    def __init__(self, directory: Path, key: str) -> None:
        self.directory = directory
        self.pixels, self.description = directory / f"{key}.npy", directory / f"{key}.json"

    def exists(self) -> bool:
        """True once a complete copy lies there."""
        return self.description.exists() and self.pixels.exists()

    def sound(self, collection: Collection, fitting: Fitting) -> bool:
        """Whether a complete copy lies there, every byte as it was written.

        Reads it all once, which a first epoch does too; of a damaged one a warning says so.
        """
        if not self.exists():
            return False
        try:
            found = self.load()
            digest = digest_of(found.pixels)
            if found.labels is not None:
                digest.update(found.labels.numpy().data)
            if digest.hexdigest() != found.digest:
                raise DamagedFile("its checksum does not agree")
            if found.pixels.shape[1:] != fitting.shape or found.class_names != [
                *collection.class_names
            ]:
                raise DamagedFile("it describes other images")
        except (OSError, ValueError) as error:
            warnings.warn(
                f"the decoded images in {self.pixels} are damaged ({error}) and are made anew",
                stacklevel=2,
            )
            return False
        return True

    def load(self) -> ImageDataset:
        """Map the pixels, read the labels.

        Raises:
            DamagedFile, OSError: one of the files is not there or makes no sense.
        """
        pixels = read_npy(self.pixels)
        try:
            described = check_seal(json.loads(read_text(self.description, most=LABELS)))
            given, names, digest = (described[key] for key in ("labels", "class_names", "digest"))
            labels = None if given is None else np.array(given, np.int64)
            ends = described.get("range")
            scale = None if ends is None else Scale(*map(float, ends))
        except (KeyError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise DamagedFile(f"{self.description} cannot be read: {error}") from error
        words = isinstance(names, list) and all(isinstance(n, str) for n in [*names, digest])
        if not words or pixels.dtype != np.uint8 or pixels.ndim != 4:
            raise DamagedFile(f"{self.pixels} or its description is none of decoded images")
        if labels is not None and labels.shape != pixels.shape[:1]:
            raise DamagedFile(f"{self.description} has {labels.size} labels")
        return ImageDataset(pixels, labels, names, digest, scale)

    def write(self, collection: Collection, fitting: Fitting, skip_broken: bool) -> None:
        """Decode a set into the file, one image after the other, atomically.

        What killed processes left half done in the directory is deleted first.

        Raises:
            BrokenData: images that cannot be used, unless they may be skipped.
            OSError: the disk is full or the folder cannot be written to; says what to change.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            clear_abandoned(self.directory)
            self._check_space(nbytes(collection, fitting))
            with partial_folder(self.directory) as partial:
                pixels = partial / PIXELS
                description = self._write_pixels(pixels, collection, fitting, skip_broken)
                (partial / DESCRIPTION).write_text(json.dumps(seal(description)))
                pixels.replace(self.pixels)
                (partial / DESCRIPTION).replace(self.description)
        except OSError as error:
            raise self._unwritable(error) from error

    def _write_pixels(
        self, path: Path, collection: Collection, fitting: Fitting, skip_broken: bool
    ) -> dict[str, Any]:
        kept, digest = [], hashlib.blake2b(digest_size=16)
        with path.open("wb") as file:
            _header(file, len(collection), fitting)
            for index, pixels in _good(collection, fitting, skip_broken):
                file.write(pixels.data)
                kept.append(index)
                digest.update(pixels.data)
            file.seek(0)
            _header(file, len(kept), fitting)
        labels = _kept_labels(collection, kept, digest)
        described = {
            "labels": None if labels is None else labels.tolist(),
            "class_names": list(collection.class_names),
            "digest": digest.hexdigest(),
        }
        scale = fitting.scale
        return described if scale is None else described | {"range": [scale.low, scale.high]}

    def _check_space(self, needed: int) -> None:
        if shutil.disk_usage(self.directory).free < needed:
            raise OSError(errno.ENOSPC, f"no room for {needed / 2**20:,.0f} MB")

    def _unwritable(self, error: OSError) -> OSError:
        return OSError(
            error.errno or errno.EIO,
            f"decoded images cannot be stored in {self.directory} ({error.strerror or error}): "
            "point data.cache_dir to a disk with room, or raise data.memory_budget_mb to keep "
            "them in memory",
        )


def _good(
    collection: Collection, fitting: Fitting, skip_broken: bool
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Fitted images with their numbers; every image is read before broken ones are reported."""
    problems: list[Problem] = []
    if problem := collection.refused(fitting):
        raise BrokenData([problem])
    if told := _cut_off(collection, fitting):
        warnings.warn(told, stacklevel=2)
    low, high = 255, 0
    for index, item in enumerate(scan(collection, fitting.fitted, fitting.admit)):
        if isinstance(item, Problem):
            problems.append(item)
        else:
            low, high = min(low, int(item.min())), max(high, int(item.max()))
            yield index, item
    if low <= high and (told := narrow(low, high)):
        warnings.warn(told, stacklevel=2)
    if not problems:
        return
    error = BrokenData(problems, len(collection))
    if not skip_broken or len(problems) == len(collection):
        raise error
    warnings.warn(f"left out: {error}", stacklevel=2)


def _cut_off(collection: Collection, fitting: Fitting) -> str | None:
    """A warning where most values of the first image lie outside of a range that is stated."""
    if fitting.scale is None:
        return None
    first = read_first(collection, values_of, fitting)
    if isinstance(first, Problem) or fitting.scale.outside(first) <= 0.5:
        return None
    return (
        f"most values of {collection.address(0)} lie outside of data.range={fitting.scale} and "
        f"become black or white: they are {first.dtype} from {first.min():g} to {first.max():g}"
    )


def _kept_labels(
    collection: Collection, kept: list[int], digest: "hashlib.blake2b"
) -> NDArray[np.int64] | None:
    if collection.labels is None:
        return None
    labels = np.ascontiguousarray(collection.labels[kept], np.int64)
    digest.update(labels.data)
    return labels


def _header(file: BinaryIO, count: int, fitting: Fitting) -> None:
    """Start of an .npy file; NumPy pads it so that its length does not depend on `count`."""
    shape = (count, *fitting.shape)
    description = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, description)
