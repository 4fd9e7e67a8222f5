"""Sets of images in one file: a zip of PNGs or an array, for other programs, or an animation.

with ImageZip(path, total) as file:
    file.add(images, names, labels)                    # batches, in order
"""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, features
from torch import Tensor

from ganlab.report.images import Pixels, png, to_uint8
from ganlab.storage import located
from ganlab.storage.atomic import replace_file, temporary

FORMATS = ("gif", "webp")
QUALITY = 80  # of WebP, of 100


class ImageArchive:
    """A zip that appears under its name when it is complete, or not at all; the same each time."""

    def __init__(
        self,
        path: str | Path,
        total: int,  # images that will be added
    ) -> None:
        self.path, self.total, self.added = Path(path), total, 0
        self.names: list[str] = []
        self.labels: list[int] = []
        self.partial = temporary(self.path)

    def __enter__(self) -> "ImageArchive":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.archive = zipfile.ZipFile(self.partial, "w")
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            with located(self.path):
                if kind is None:
                    self.finish()
                self.archive.close()
                if kind is None:
                    self.partial.replace(self.path)
        finally:
            self.partial.unlink(missing_ok=True)

    def add(
        self,
        images: Tensor,  # (N, 1 or 3, H, W) in [-1, 1]
        texts: Sequence[Mapping[str, str]],  # one an image; "name" is its file's
        labels: Sequence[int] | None = None,  # their classes
    ) -> None:
        """Store a batch."""
        with located(self.path):
            self.store(images, texts)
        self.added += len(images)
        self.names += [text["name"] for text in texts]
        self.labels += labels or []

    def store(self, images: Tensor, texts: Sequence[Mapping[str, str]]) -> None:
        """Write the images of a batch."""
        raise NotImplementedError

    def finish(self) -> None:
        """Write what comes last."""
        raise NotImplementedError

    def write(self, name: str, data: bytes) -> None:
        """One member, dated 1980 in every run."""
        self.archive.writestr(zipfile.ZipInfo(name), data)


class ImageZip(ImageArchive):
    """PNG files, not compressed a second time; classes, if any, as folders and in `dataset.json`.

    The form of StyleGAN2-ADA's data sets; any program that reads a zip of images reads it too.
    """

    def store(self, images: Tensor, texts: Sequence[Mapping[str, str]]) -> None:
        """Write the images of a batch."""
        for image, text in zip(images, texts, strict=True):
            told = {key: said for key, said in text.items() if key != "name"}
            self.write(text["name"], png(image, told))

    def finish(self) -> None:
        """The classes, where there are any."""
        if self.labels:
            pairs = [list(pair) for pair in zip(self.names, self.labels, strict=True)]
            self.write("dataset.json", json.dumps({"labels": pairs}).encode())


class ImageArray(ImageArchive):
    """An `.npz` with `arr_0`, (N, H, W, C) uint8, and the classes as `arr_1`, (N,) int64.

    Written as it comes, so that no set is too large for memory. The form of the evaluation suite
    of Dhariwal and Nichol (arXiv:2105.05233), which wants three channels.
    """

    def store(self, images: Tensor, texts: Sequence[Mapping[str, str]]) -> None:
        """Append the images of a batch."""
        pixels = to_uint8(images).cpu().permute(0, 2, 3, 1).numpy()  # (N, H, W, C)
        if not self.added:
            member = zipfile.ZipInfo("arr_0.npy")
            self.stream = self.archive.open(member, "w", force_zip64=True)
            header = {"descr": "|u1", "fortran_order": False}
            header |= {"shape": (self.total, *pixels.shape[1:])}
            np.lib.format.write_array_header_1_0(self.stream, header)
        self.stream.write(np.ascontiguousarray(pixels).tobytes())

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self.added:
            self.stream.close()
        super().__exit__(kind, error, trace)

    def finish(self) -> None:
        """The classes, where there are any.

        Raises:
            ValueError: fewer or more images came than were announced.
        """
        if self.added != self.total:
            raise ValueError(f"{self.path}: {self.added} images came, {self.total} were announced")
        if self.labels:
            array = io.BytesIO()
            np.lib.format.write_array(array, np.array(self.labels, dtype=np.int64))
            self.write("arr_1.npy", array.getvalue())


def checked_format(name: str, key: str = "study.animation") -> str:
    """The format itself, if this Pillow can write it.

    Raises:
        ValueError: another format, or a Pillow built without WebP.
    """
    if name not in FORMATS:
        raise ValueError(f"{key} must be {' or '.join(FORMATS)}, or null for none, got {name!r}")
    if name == "webp" and not features.check("webp"):
        raise ValueError(f"{key}=webp: this Pillow was built without WebP; use gif")
    return name


def ping_pong(frames: Sequence[Pixels]) -> list[Pixels]:
    """The frames, then those between the ends backwards: a loop without a jump."""
    return [*frames, *reversed(frames[1:-1])]


def save_animation(
    frames: Sequence[Pixels],  # (H, W, 3) uint8, all of one size
    path: Path,  # ending in .gif or .webp
    fps: float = 16.0,  # frames a second; GIF keeps time in hundredths
) -> Path:
    """Write an endless loop, atomically; GIF with 256 colours a frame.

    Raises:
        ValueError: no frame, frames of several sizes, another ending, or no speed.
    """
    path = Path(path)
    kind = checked_format(path.suffix.removeprefix("."), str(path))
    if not frames or len({frame.shape for frame in frames}) != 1 or fps <= 0:
        raise ValueError(f"{path}: an animation needs frames of one size and a speed above 0")
    first, *others = [Image.fromarray(frame) for frame in frames]
    how = {"quality": QUALITY} if kind == "webp" else {"optimize": False}
    data = io.BytesIO()
    milliseconds = max(1, round(1000 / fps))
    timing = {"save_all": True, "append_images": others, "duration": milliseconds, "loop": 0}
    first.save(data, format=kind.upper(), **timing, **how)
    return replace_file(path, data.getvalue())
