"""The random states of a process and of all ranks, so that a resumed run is the same run."""

import random
from typing import Any

import numpy as np
import torch
from torch import distributed

from ganlab.nn.randomness import derived_seed

FORMAT = 1  # of checkpoints; raise when an older program would read a newer file wrongly


def random_state(device: torch.device) -> dict[str, Any]:
    """This process's random states as tensors and integers, readable under `weights_only`.

    Of accelerators, that of its own: others may not be there when the run goes on.
    """
    numpy_state: Any = np.random.get_state()  # noqa: NPY002 (the global stream is the one to keep)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "numpy": [torch.from_numpy(numpy_state[1].astype(np.int64)), *map(float, numpy_state[2:])],
        "python": random.getstate(),
    }


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Undo time: continue this process's random streams where `random_state` read them.

    A run that moved from an accelerator to a CPU, or back, has no stream of that kind to continue.
    """
    torch.set_rng_state(state["torch"].cpu())
    if device.type == "cuda" and isinstance(state["cuda"], torch.Tensor):
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
    keys, position, has_gauss, cached = state["numpy"]
    words = keys.numpy().astype(np.uint32)
    np.random.set_state(("MT19937", words, int(position), int(has_gauss), cached))  # noqa: NPY002
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))


def gather(value: object) -> list[Any]:
    """`value` of every rank, in rank order."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return [value]
    values: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values


def begin_random_state(seed: int, rank: int) -> None:
    """Give a fresh run's rank global streams of its own, unrelated to the others'."""
    derived = derived_seed("rank", seed, rank)
    torch.manual_seed(derived)
    random.seed(derived)
    np.random.seed(derived % 2**32)  # noqa: NPY002 (a user's augmentation may draw from it)
