"""Images by address as functions: what studies not yet over a bench call."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor

from ganlab.networks.base import Generator
from ganlab.sampling import (
    ConditionAt,
    Edit,
    Edits,
    EditsAt,
    Sampler,
    batched,
    checked_noise,
    device_of,
    evaluating,
    finest,
    noise_at,
)


def rank_indices(num: int, rank: int = 0, world_size: int = 1) -> range:
    """This rank's share of the addresses 0 .. num-1: i mod world; disjoint, without padding."""
    return range(rank, num, world_size)


def images_at(
    generator: Generator,
    indices: Sequence[int],  # addresses of the latents, one batch of them
    seed: int,
    *,
    edits: Edits | EditsAt | None = None,  # layer -> edit of its output
    **how: Any,  # of `Sampler`
) -> Tensor:
    """One batch of images, (N, C, H, W) at full resolution, where the generator is."""
    return Sampler(generator, seed, **how).batch(indices, edits)


def generate(
    generator: Generator,
    indices: Iterable[int],  # addresses of the latents
    seed: int,
    *,
    edits: Edits | EditsAt | None = None,  # layer -> edit of its output
    **how: Any,  # of `Sampler`
) -> Iterator[Tensor]:
    """Yield batches of images, (N, C, H, W), in the order of `indices`; see `images_at`."""
    yield from Sampler(generator, seed, **how).batches(indices, edits)


__all__ = [
    "ConditionAt",
    "Edit",
    "Edits",
    "EditsAt",
    "batched",
    "checked_noise",
    "device_of",
    "evaluating",
    "finest",
    "generate",
    "images_at",
    "noise_at",
    "rank_indices",
]
