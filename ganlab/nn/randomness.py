"""Randomness addressed by key: no draw depends on batch size, order or device count."""

import hashlib
from collections.abc import Iterable
from operator import index
from typing import Protocol

import torch
from torch import Tensor


class LatentSpace(Protocol):
    """Anything that draws latents: every generator of the house."""

    def sample_latents(self, n: int, generator: torch.Generator) -> Tensor:
        """Return `n` latents as one (n, latent_dim) tensor."""
        ...


GOLDEN = 0x9E3779B1  # odd, near 2^32 / golden ratio: its multiples visit every 32-bit number once


def derived_seed(*key: int | str) -> int:
    """A 63-bit seed that is a pure function of the key; unlike keys give unrelated seeds.

    Integers of any library count by their value.

    Raises:
        TypeError: a part of the key is neither an integer nor a string.
    """
    parts = tuple(part if isinstance(part, str) else index(part) for part in key)
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def keyed_generator(*key: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh random number generator seeded by `derived_seed(*key)`."""
    return torch.Generator(device).manual_seed(derived_seed(*key))


def latents_at(space: LatentSpace, indices: Iterable[int], seed: int) -> Tensor:
    """Latents by address: row j is latent `indices[j]` of `seed`, (N, latent_dim) on the CPU.

    Latent i of seed s is the same tensor, bit for bit, in any batch, order or process.

    Raises:
        ValueError: no index at all.
    """
    start = derived_seed("latent", seed)

    def latent(i: int) -> Tensor:
        # torch's CPU generator keeps 32 bits of its seed: of 50,000 hashed seeds two would agree
        # in one run of four, so the indices of a seed are spread over 32 bits without collision.
        rng = torch.Generator().manual_seed((start + index(i) * GOLDEN) % 2**32)
        return space.sample_latents(1, rng)

    rows = [latent(i) for i in indices]
    if not rows:
        raise ValueError("latents_at needs at least one index")
    return torch.cat(rows)


def truncated_normal(latents: Tensor, threshold: float) -> Tensor:
    """N(0, 1) numbers of any shape as numbers of the normal distribution cut at +-threshold.

    Each goes to the number of the same rank, so that a latent keeps its address and its sign; one
    far below the threshold hardly moves.

    Raises:
        ValueError: a threshold that is not positive.
    """
    if threshold <= 0:
        raise ValueError(f"truncation={threshold} cuts a normal distribution: it must be above 0")
    outside = torch.special.ndtr(torch.tensor(-threshold, dtype=torch.float64)).to(latents.device)
    rank = outside + (1 - 2 * outside) * torch.special.ndtr(latents.double())
    truncated: Tensor = torch.special.ndtri(rank).clamp(-threshold, threshold).to(latents)
    return truncated
