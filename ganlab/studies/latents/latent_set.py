"""Latents as a study's options name them: addresses of a seed, or rows of a file of arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganlab.checks.places import file_named
from ganlab.networks.base import Generator
from ganlab.nn.randomness import latents_at
from ganlab.sampling import Sampler, has_styles
from ganlab.storage.arrays import ArrayArchive, is_archive, read_npy
from ganlab.studies.address import ARRAYS, Latents, addresses, check_addresses


@dataclass(frozen=True, eq=False)
class LatentSet:
    """Latents, each with an address; the address of a file's row is its number."""

    values: Tensor  # (N, Z) latents, or (N, L, W) styles from a file
    addresses: list[int]
    source: str  # where they are from, for captions
    filed: bool = False  # whether they are a file's rows

    def __len__(self) -> int:
        return len(self.values)

    @property
    def names(self) -> list[str]:
        """`17`, or `row 3` of a file."""
        return [f"row {i}" if self.filed else str(i) for i in self.addresses]

    def __getitem__(self, rows: slice) -> "LatentSet":
        return LatentSet(self.values[rows], self.addresses[rows], self.source, self.filed)

    def styles(self, sampler: Sampler) -> Tensor:
        """Their (N, L, W) styles, which a file may hold already."""
        if self.values.ndim == 3:
            return self.values
        return sampler.styles(self.addresses, self.values)


def is_array(latents: object) -> bool:
    """Whether this names a file of arrays, `.npy` or `.npz`."""
    return isinstance(latents, str | Path) and Path(latents).suffix in ARRAYS


def address_list(latents: int | Sequence[int] | str, key: str = "study.latents") -> list[int]:
    """The addresses of a number, a list (repeats are kept), a range `0:8` or a text file.

    Raises:
        FileNotFoundError: a text that is neither a range nor a file.
        ValueError: no address, or one below 0.
    """
    if isinstance(latents, int | str):
        return addresses(latents, key)
    return check_addresses([int(index) for index in latents], key)


def latent_set(
    generator: Generator,
    latents: Latents,  # a number, a list, "0:8", a text file of indices, or one of arrays
    seed: int,  # of addressed latents
    key: str = "study.latents",  # the option, for messages
) -> LatentSet:
    """The latents themselves.

    Raises:
        FileNotFoundError: a file that is not there.
        ValueError: no latents, or an array that this generator cannot take.
    """
    if latents is None:
        raise ValueError(f"{key} is null; give indices such as [3,17], 0:8, or an .npy of latents")
    if is_array(latents):
        path = file_named(str(latents), key)
        values = read_latents(path, generator, key)
        source = f"rows of {path.name}" + ", taken for z" * could_be_w(path, values, generator)
        return LatentSet(values, list(range(len(values))), source, filed=True)
    indices = address_list(latents, key)
    return LatentSet(latents_at(generator, indices, seed), indices, f"latents of seed {seed}")


def read_latents(path: Path, generator: Generator, key: str = "study.latents") -> Tensor:
    """Latents (N, Z) or styles (N, L, W) of a file, as float32.

    An `.npy`, or an `.npz` with one array called `z` or `w`, as projectors leave it. Styles may be
    w, (N, W) or (N, 1, W), the same for every layer. A (N, W) that could be latents as well is
    taken for them, unless it is called `w`.

    Raises:
        ValueError: no array, another shape than this generator's, or numbers that are not finite.
    """
    try:
        name, array = named_array(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{key}={path} is no readable NumPy array: {error}") from error
    shapes, numeric = accepted_shapes(generator, name), array.dtype.kind in "fiu"
    if not numeric or not len(array.shape) or not len(array) or array.shape[1:] not in shapes:
        wanted = " or ".join(f"(N, {', '.join(map(str, shape))})" for shape in shapes)
        found = f"{array.dtype} {array.shape}"
        takes = f"this generator takes numbers {wanted}" if shapes else "this generator has no w"
        raise ValueError(f"{key}={path} holds {found}, {takes}")
    with np.errstate(over="ignore"):
        values = array.astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError(f"{key}={path} holds numbers that are not finite in 32 bits")
    kind = shapes[array.shape[1:]]
    return torch.from_numpy(values) if kind == "z" else every_layer(values, generator)


def could_be_w(path: Path, latents: Tensor, generator: Generator) -> bool:
    """Whether latents of a file that calls them nothing have the shape of w too."""
    wide = has_styles(generator) and generator.mean_style.shape[-1] == generator.latent_dim
    return wide and latents.ndim == 2 and path.suffix == ".npy"


def named_array(path: Path) -> tuple[str | None, NDArray[Any]]:
    """What an `.npz` calls its one array of latents, `z` or `w`, and the array.

    Raises:
        OSError, ValueError: not to be read, or an archive with neither or both.
    """
    if not is_archive(path):
        return None, read_npy(path)
    archive = ArrayArchive(path)
    names = [name for name in ("z", "w") if name in archive.shapes]
    if len(names) != 1:
        raise ValueError(f"it has {', '.join(archive.shapes) or 'no array'}, and not z or w alone")
    return names[0], archive[names[0]]


def every_layer(values: NDArray[np.float32], generator: Generator) -> Tensor:
    """w, (N, W) or (N, 1, W), or w+, (N, L, W), as styles of all layers, (N, L, W)."""
    assert has_styles(generator)
    styles = torch.from_numpy(values).reshape(len(values), -1, values.shape[-1])
    return styles.expand(-1, generator.num_styles, -1).clone()


def accepted_shapes(generator: Generator, name: str | None = None) -> dict[tuple[int, ...], str]:
    """Shapes of one image's latent or, where there are styles, of its w or w+ -> `z` or `w`."""
    shapes: dict[tuple[int, ...], str]
    shapes = {} if name == "w" else {(int(generator.latent_dim),): "z"}
    if has_styles(generator) and name != "z":
        width = int(generator.mean_style.shape[-1])
        for shape in ((generator.num_styles, width), (1, width), (width,)):
            shapes.setdefault(shape, "w")
    return shapes
