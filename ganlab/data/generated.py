"""A data set of a generator's samples: drawn once, kept on disk, then an array as any other.

How a checkpoint is opened and run is not the data's business: that callable is handed in.
"""

import errno
import hashlib
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ganlab.data.collection import Arrays, content_hash
from ganlab.downloads import cache_dir
from ganlab.storage import DamagedFile, located, read_text
from ganlab.storage.arrays import digest_of, read_npy

CHECKSUM = "blake2b"  # key of the pixels' checksum in the description
BATCH = 100  # latents at a time; fixed, because images of other batches differ in the last bits


class Painter(Protocol):
    """A generator as a source of stored images."""

    digest: str  # hash of its weights
    shape: tuple[int, int, int]  # of an image: H, W, C
    source: Mapping[str, str]  # where it comes from, as kept beside the images

    def paint(self, indices: Sequence[int], seed: int) -> NDArray[np.uint8]:
        """Images of the latents with these addresses, (N, H, W, C)."""
        ...


class Generated:
    """Images of latents 0 to num - 1 of a seed, in a file of the user's cache.

    The file is named after what its content depends on: the generator's weights, `num`, the seed
    and the size. It is renamed into place when whole; its json, which comes last, says all this.

    Raises:
        ValueError: on construction, `num` below 1 or no checkpoint.
    """

    shared = False  # the file is shared already, and is mapped

    def __init__(
        self,
        ckpt: str,  # a checkpoint, or faces
        num: int,  # images
        latent_seed: int,
        painter: Callable[[str], Painter] | None,  # opens the checkpoint; None = nobody can
        needed: int = 1,  # smallest side the images may have
    ) -> None:
        if num < 1 or not ckpt:
            raise ValueError(f"data.num={num} must be at least 1 and data.ckpt={ckpt} a checkpoint")
        self.ckpt, self.num, self.latent_seed, self.needed = ckpt, num, latent_seed, needed
        self._open = painter
        self._painter: Painter | None = None

    @property
    def painter(self) -> Painter:
        """The opened checkpoint; RuntimeError where nobody said how to open one."""
        if self._painter is None:
            if self._open is None:
                raise RuntimeError("data=generated is built by ganlab.run, which opens data.ckpt")
            self._painter = self._open(self.ckpt)
        return self._painter

    @property
    def record(self) -> dict[str, object]:
        """What the images are, for results."""
        source = {"ckpt": self.ckpt, **self.painter.source}
        return {**source, "generator": self.painter.digest, **self._latents()}

    def _latents(self) -> dict[str, object]:
        return {"num": self.num, "latent_seed": self.latent_seed, "shape": list(self.painter.shape)}

    def _file(self) -> tuple[Path, Path]:
        """Pixels and description."""
        key = content_hash("v1", self.painter.digest, *self._latents().values())
        folder = cache_dir() / "generated"
        return folder / f"{key}.npy", folder / f"{key}.json"

    def prepare(self) -> None:
        """Draw the images unless they are there.

        Raises:
            OSError: the disk has no room for them.
            ValueError: they are smaller than needed.
        """
        if (side := self.painter.shape[0]) < self.needed:
            raise ValueError(
                f"data.ckpt={self.ckpt} makes images of {side} px, less than data.resolution="
                f"{self.needed}: set data.resolution={side}, or data.enlarge=true"
            )
        if not self._sound(*self._file()):
            self._write(*self._file())

    def open(self) -> Arrays:
        """Map the file, made before by `prepare`."""
        pixels, description = self._file()
        if not description.exists():
            self.prepare()
        return Arrays(self._images(pixels), None, [], str(pixels), content_hash(pixels.stem))

    def _images(self, path: Path) -> NDArray[np.uint8]:
        images = read_npy(path)
        if images.dtype != np.uint8 or images.shape != (self.num, *self.painter.shape):
            raise DamagedFile(f"{path} holds {images.shape} of {images.dtype}")
        return images

    def _sound(self, pixels: Path, description: Path) -> bool:
        """Whether the images are there, every byte as it was drawn; a warning says if damaged."""
        if not (pixels.exists() and description.exists()):
            return False
        try:
            described = json.loads(read_text(description))
            if not isinstance(described, dict):
                raise DamagedFile("its description is no mapping")
            expected = described.get(CHECKSUM)
            images = self._images(pixels)
            if expected is None:
                warnings.warn(f"{pixels} has no checksum: delete it if in doubt", stacklevel=2)
            elif digest_of(images).hexdigest() != expected:
                raise DamagedFile("its checksum does not agree")
        except (OSError, ValueError, RecursionError) as error:
            text = f"the generated images in {pixels} are damaged ({error}) and are drawn anew"
            warnings.warn(text, stacklevel=2)
            return False
        return True

    def _write(self, pixels: Path, description: Path) -> None:
        shape = (self.num, *self.painter.shape)
        folder = pixels.parent
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < np.prod(shape):
            need = f"no room for {np.prod(shape) / 2**20:,.0f} MB of generated images in {folder}"
            raise OSError(errno.ENOSPC, f"{need}: lower data.num, or point GANLAB_CACHE elsewhere")
        with tempfile.TemporaryDirectory(prefix="partial-", dir=folder) as partial:
            kept = {**self.record, CHECKSUM: self._paint(Path(partial, "pixels.npy"), shape)}
            Path(partial, "json").write_text(json.dumps(kept, indent=2))
            Path(partial, "pixels.npy").replace(pixels)
            Path(partial, "json").replace(description)

    def _paint(self, path: Path, shape: tuple[int, ...]) -> str:
        """Write the images as they are drawn, and return their checksum."""
        digest, starts = hashlib.blake2b(digest_size=16), range(0, self.num, BATCH)
        with located(path.parent.parent), path.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for start in tqdm(starts, "generating images", unit="batch", leave=False, disable=None):
                batch = range(start, min(start + BATCH, self.num))
                images = np.ascontiguousarray(self.painter.paint(batch, self.latent_seed), np.uint8)
                file.write(images.data)
                digest.update(images.data)
        return digest.hexdigest()
