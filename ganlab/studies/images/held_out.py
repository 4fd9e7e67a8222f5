"""Real images that a generator was never trained on, fitted as its training images were."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ganlab.data import ImageData, arrays, folder, zipped

READERS: dict[str, Callable[..., ImageData]] = {".zip": zipped, ".npz": arrays, ".npy": arrays}


def held_out_data(place: str | Path, like: Any, key: str = "study.held_out") -> ImageData:
    """A folder, .zip, .npz or .npy as a data module, its images at the size of `like`'s.

    Raises:
        FileNotFoundError: there is no such place; the message names `key`.
        BrokenData: images that cannot be used.
    """
    path = Path(place).expanduser()
    if not path.exists():
        raise FileNotFoundError(
            f"{key}={place} does not exist; it takes a folder of images, a .zip, .npz or .npy"
        )
    options: dict[str, Any] = {} if path.suffix in (".npz", ".npy") else {"labels": False}
    fitting = like.fitting
    reader: Callable[..., ImageData] = READERS.get(path.suffix, folder)
    data = reader(
        path=str(path),
        **options,
        resolution=fitting.resolution,
        channels=fitting.channels,
        fit=fitting.fit,
        filter=fitting.filter,
        enlarge=True,
        name=path.stem,
    )
    data.prepare_data()
    data.setup("test")
    return data
