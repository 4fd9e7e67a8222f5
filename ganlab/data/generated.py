"""A data set of a generator's samples: drawn once, kept on disk, then an array as any other.

How a checkpoint is opened and run is not the data's business: that callable is handed in.
"""

import errno
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ganlab.data.collection import Arrays, hashed
from ganlab.downloads import cache_dir

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
        key = hashed("v1", self.painter.digest, *self._latents().values())
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
        if not all(path.exists() for path in self._file()):
            self._write(*self._file())

    def open(self) -> Arrays:
        """Map the file, made before by `prepare`."""
        pixels, description = self._file()
        if not description.exists():
            self.prepare()
        return Arrays(np.load(pixels, mmap_mode="r"), None, [], str(pixels), hashed(pixels.stem))

    def _write(self, pixels: Path, description: Path) -> None:
        shape = (self.num, *self.painter.shape)
        folder = pixels.parent
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < np.prod(shape):
            need = f"no room for {np.prod(shape) / 2**20:,.0f} MB of generated images in {folder}"
            raise OSError(errno.ENOSPC, f"{need}: lower data.num, or point GANLAB_CACHE elsewhere")
        with tempfile.TemporaryDirectory(prefix="partial-", dir=folder) as partial:
            self._paint(Path(partial, "pixels.npy"), shape)
            Path(partial, "json").write_text(json.dumps(self.record, indent=2))
            Path(partial, "pixels.npy").replace(pixels)
            Path(partial, "json").replace(description)

    def _paint(self, path: Path, shape: tuple[int, ...]) -> None:
        images = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        starts = range(0, self.num, BATCH)
        for start in tqdm(starts, "generating images", unit="batch", leave=False, disable=None):
            batch = range(start, min(start + BATCH, self.num))
            images[start : batch.stop] = self.painter.paint(batch, self.latent_seed)
        images.flush()
