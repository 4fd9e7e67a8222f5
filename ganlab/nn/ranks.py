"""What several processes that train one network must agree on."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn


@torch.no_grad()
def mean_over_ranks(value: Tensor) -> Tensor:
    """The mean of a tensor over all processes, without a graph; itself where there is one."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return value.detach()
    total = value.detach().clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()


@torch.no_grad()
def share(tensors: Iterable[Tensor]) -> None:
    """Give all processes the first one's values, in one message a type."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return
    for alike in by_type(tensors):
        flat = torch.cat([each.reshape(-1) for each in alike])
        distributed.broadcast(flat, src=0)
        if distributed.get_rank() != 0:
            for each, part in zip(alike, flat.split([e.numel() for e in alike]), strict=True):
                each.copy_(part.view_as(each))


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Let all processes have the mean of their gradients, in one message a type.

    A parameter without a gradient counts as 0 where another process has one; where none has, it
    stays without. The message says of each how many have, which is read only where one lacks here.
    """
    distributed = torch.distributed
    for alike in by_type(each for each in parameters if each.requires_grad):
        own = [each.grad is not None for each in alike]
        parts = [torch.zeros_like(each) if each.grad is None else each.grad for each in alike]
        counts = torch.tensor(own, dtype=alike[0].dtype).to(alike[0].device, non_blocking=True)
        flat = torch.cat([*(part.reshape(-1) for part in parts), counts])
        flat /= distributed.get_world_size()
        distributed.all_reduce(flat)
        *means, shares = flat.split([*(each.numel() for each in alike), len(alike)])
        anywhere = own if all(own) else (shares > 0).tolist()
        for each, part, mean, used in zip(alike, parts, means, anywhere, strict=True):
            if used:
                each.grad = part.copy_(mean.view_as(part))


def by_type(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """The tensors of each type of number together, in order."""
    found: dict[torch.dtype, list[Tensor]] = {}
    for each in tensors:
        found.setdefault(each.dtype, []).append(each)
    yield from found.values()
