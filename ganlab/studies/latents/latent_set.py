"""Latents as a study's options name them: addresses of a seed, or rows of an `.npy` file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganlab.checks.places import file_named
from ganlab.networks.base import Generator, StyleGenerator
from ganlab.nn.randomness import latents_at
from ganlab.sampling import Sampler
from ganlab.storage.arrays import read_npy
from ganlab.studies.address import Latents, addresses, checked


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
    """Whether this names an `.npy` file."""
    return isinstance(latents, str | Path) and Path(latents).suffix == ".npy"


def address_list(latents: int | Sequence[int] | str, key: str = "study.latents") -> list[int]:
    """The addresses of a number, a list (repeats are kept), a range `0:8` or a text file.

    Raises:
        FileNotFoundError: a text that is neither a range nor a file.
        ValueError: no address, or one below 0.
    """
    if isinstance(latents, int | str):
        return addresses(latents, key)
    return checked([int(index) for index in latents], key)


def latent_set(
    generator: Generator,
    latents: Latents,  # a number, a list, "0:8", a text file of indices, or an .npy of latents
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
        return LatentSet(values, list(range(len(values))), f"rows of {path.name}", filed=True)
    indices = address_list(latents, key)
    return LatentSet(latents_at(generator, indices, seed), indices, f"latents of seed {seed}")


def read_latents(path: Path, generator: Generator, key: str = "study.latents") -> Tensor:
    """The array of an `.npy` file, (N, Z) latents or (N, L, W) styles, as float32.

    Raises:
        ValueError: no array, another shape than this generator's, or numbers that are not finite.
    """
    try:
        array = read_npy(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{key}={path} is no readable NumPy array: {error}") from error
    shapes, numeric = accepted_shapes(generator), array.dtype.kind in "fiu"
    if not numeric or not len(array.shape) or not len(array) or array.shape[1:] not in shapes:
        wanted = " or ".join(f"(N, {', '.join(map(str, shape))})" for shape in shapes)
        found = f"{array.dtype} {array.shape}"
        raise ValueError(f"{key}={path} holds {found}, this generator takes numbers {wanted}")
    with np.errstate(over="ignore"):
        values = array.astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError(f"{key}={path} holds numbers that are not finite in 32 bits")
    return torch.from_numpy(values)


def accepted_shapes(generator: Generator) -> list[tuple[int, ...]]:
    """Shapes of one latent and, where there are styles, of one image's styles."""
    latent = (int(generator.latent_dim),)
    if not isinstance(generator, StyleGenerator):
        return [latent]
    return [latent, (generator.num_styles, int(generator.mean_style.shape[-1]))]
