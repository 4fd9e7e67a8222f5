"""Safetensors files with a checksum of their own, since the format has none."""

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ganlab.storage.regular import DamagedFile, open_regular

CHECKSUM = "sha256"  # its key in the metadata
_said: set[Path] = set()  # files without a checksum that were named already


def pack(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A file's bytes, its metadata with the checksum of all the rest."""
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return save(whole, {**metadata, CHECKSUM: checksum(whole, metadata)})


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata (without the checksum) and tensors on the CPU.

    Of a file that was written without a checksum a warning says so, once.

    Raises:
        DamagedFile: another checksum, or no safetensors file.
        OSError: there is no such file, or it cannot be read.
    """
    try:
        with open_regular(path), safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise DamagedFile(f"it is damaged or no safetensors file ({error})") from error
    expected = metadata.pop(CHECKSUM, None)
    if expected is None and path not in _said:
        _said.add(path)
        warnings.warn(f"{path} has no checksum: damage in it cannot be seen", stacklevel=2)
    if expected not in (None, checksum(tensors, metadata)):
        raise DamagedFile("its content does not have the checksum it was written with")
    return metadata, tensors


def checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 of the metadata and of every tensor's name, type, shape and bytes."""
    sha256 = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        sha256.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        sha256.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha256.hexdigest()
