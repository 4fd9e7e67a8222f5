"""What several processes of one study share out, and put together again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from lightning import Trainer
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors
from tqdm import tqdm

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Ranks:
    """The processes of a trainer, of which this is one."""

    trainer: Trainer

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.trainer.is_global_zero

    @property
    def world(self) -> int:
        """How many there are."""
        return int(self.trainer.world_size)

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This rank's items, number i going to rank i mod world: disjoint, without padding."""
        return items[self.trainer.global_rank :: self.trainer.world_size]

    def gather(self, parts: Sequence[Tensor]) -> Tensor:
        """Rows of this rank's `share`, in batches (n, ...), as all items' rows, (N, ...).

        They are in the items' order and the same on all ranks, some of which may have no item.
        """
        known = (parts[0].shape[1:], parts[0].dtype) if parts else (torch.Size(), torch.float32)
        shape, kind = self.broadcast(known)  # the first rank has an item if there is any
        device = self.trainer.strategy.root_device
        empty = torch.empty((0, *shape), dtype=kind, device=device)
        return in_order(torch.cat([empty, *(part.to(device) for part in parts)]))

    def sum(self, values: Tensor) -> Tensor:
        """The elementwise sum over ranks, of equal shapes, on the CPU; the same on all."""
        on_device = values.to(self.trainer.strategy.root_device)
        total: Tensor = self.trainer.strategy.reduce(on_device, reduce_op="sum")
        return total.cpu()

    def assemble(self, rows: Tensor, share: Sequence[int], num: int) -> Tensor:
        """Rows of this rank's share of 0 .. num-1 as those of all ranks, (num, ...) on the CPU.

        Rows beyond the share, as of a rank that has none, do not count.
        """
        table = torch.zeros(num, *rows.shape[1:])
        table[list(share)] = rows[: len(share)].cpu()
        return self.sum(table)

    def broadcast(self, value: T) -> T:
        """The first rank's value, on all of them."""
        found: T = self.trainer.strategy.broadcast(value)
        return found

    def progress(self, items: Sequence[T], title: str, unit: str = "img") -> Iterable[T]:
        """The same items under a progress bar, on one rank and where a person is watching."""
        hidden = None if self.first else True  # None = hidden unless on a terminal
        bar: Iterable[T] = tqdm(items, title, unit=unit, leave=False, disable=hidden)
        return bar


def in_order(rows: Tensor) -> Tensor:
    """Rows of all ranks, each of which has items r, r + world, ... of the set, in the set's order.

    One process's rows are returned as they are.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return rows
    parts = gather_all_tensors(rows)
    joint = rows.new_empty((sum(map(len, parts)), *rows.shape[1:]))
    for rank, part in enumerate(parts):
        joint[rank :: len(parts)] = part
    return joint
