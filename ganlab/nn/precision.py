"""What stays in single precision where the layers around it are cast to half of it."""

from collections.abc import Callable

import torch
from torch import Tensor


def to_single(x: Tensor) -> Tensor:
    """In single precision at least."""
    return x if x.dtype == torch.float64 else x.float()


def in_single(function: Callable[..., Tensor], *given: Tensor | None) -> Tensor:
    """The function of these tensors, at least one, in single precision inside of autocast too.

    Where nothing is cast it is simply called.
    """
    device = next(x.device.type for x in given if x is not None)
    if device == "meta" or not torch.is_autocast_enabled(device):
        return function(*given)
    with torch.autocast(device, enabled=False):
        return function(*(None if x is None else to_single(x) for x in given))
