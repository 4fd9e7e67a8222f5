"""Which network a file was made with: a digest of how it is built and of all its tensors."""

import hashlib
import re
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn

SCHEME = "2:"  # the way digests of networks are made, before them


def digest(network: nn.Module) -> str:
    """SHA-256 of a network: how it is built, and names, types, shapes and bytes of its tensors.

    What is off, empty or does nothing is left out, and so are the names of what has parts: an
    option that a later version adds, off as it is in older networks, changes no digest.
    """
    sha256 = hashlib.sha256()
    for name, module in network.named_modules():
        if told := construction(module):
            sha256.update(f"{name} {told}\n".encode())
    for name, value in network.state_dict().items():
        if not isinstance(value, Tensor):
            sha256.update(f"{name} {value!r}".encode())
            continue
        sha256.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        sha256.update(flat.view(torch.uint8).numpy().tobytes())
    return f"{SCHEME}{sha256.hexdigest()}"


def is_digest_of(said: str, network: nn.Module | str) -> bool:
    """Whether a file's digest is this network's, or this digest.

    One that was made in the first way, by names of classes and options that have changed since, is
    not compared; a warning says so.
    """
    if re.fullmatch("[0-9a-f]{64}", said):
        warnings.warn(
            "which generator a file of neurons is of was written by an earlier version and cannot "
            "be compared: its layers and their sizes are",
            stacklevel=2,
        )
        return True
    return said == (network if isinstance(network, str) else digest(network))


def construction(module: nn.Module) -> str:
    """What a module was told, its parts apart: slopes, sizes, switches that are on."""
    kind = type(module)
    if kind in (nn.Identity, nn.Sequential, nn.ModuleList, nn.ModuleDict):
        return ""
    if kind.__module__.startswith("torch."):
        return f"{kind.__name__}({module.extra_repr()})"
    public = {key: value for key, value in vars(module).items() if not key.startswith("_")}
    told = {
        key: value
        for key, value in public.items()
        if key != "training" and is_plain(value) and (value or (value == 0 and value is not False))
    }
    leaf = next(module.children(), None) is None
    return f"{kind.__name__ if leaf else ''}({sorted(told.items())})" if leaf or told else ""


def is_plain(value: object) -> bool:
    """Whether a value says the same in every process: numbers, words and containers of them."""
    if isinstance(value, Mapping):
        return all(map(is_plain, [*value, *value.values()]))
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    return isinstance(value, bool | int | float | str)
