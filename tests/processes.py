"""Two gloo processes that work for one test."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch


def two_ranks(work: Callable[..., None], folder: Path) -> list[Any]:
    """What `work(rank, 2, folder)` left in `rank<n>.pt`, in the order of the ranks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        torch.multiprocessing.spawn(work, args=(2, str(folder)), nprocs=2)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
