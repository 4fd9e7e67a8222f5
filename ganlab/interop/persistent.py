"""Networks in NVIDIA's pickles: a record of each object's source, arguments and tensors.

`torch_utils.persistence` pickles a network as a call with one dict: its source text, which is never
run, its class's name and its state, whose `_parameters`, `_buffers` and `_modules` are those of
`torch.nn.Module`. Constructor arguments are in `_init_args` and `_init_kwargs`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ganlab.storage.pickles import Record

CALL = "torch_utils.persistence._reconstruct_persistent_obj"


@dataclass(frozen=True)
class Persistent:
    """A network as its file describes it."""

    name: str  # of its class
    source: str  # of its module: text, never run
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    state: Mapping[str, Tensor]  # parameters and buffers by dotted names; frozen ones are buffers


def networks(content: object) -> dict[str, Persistent]:
    """The networks at the top of a file's content, by key."""
    if not isinstance(content, dict):
        return {}
    found = {str(key): persistent(value) for key, value in content.items()}
    return {key: value for key, value in found.items() if value is not None}


def persistent(value: object) -> Persistent | None:
    """A record as a network, None where it is something else."""
    attributes = attributes_of(value)
    if not isinstance(value, Record) or value.name != CALL or "_modules" not in attributes:
        return None
    meta = value.arguments[0]
    options, arguments = attributes.get("_init_kwargs"), attributes.get("_init_args")
    return Persistent(
        str(meta.get("class_name")),
        str(meta.get("module_src")),
        tuple(arguments) if isinstance(arguments, tuple | list) else (),
        options if isinstance(options, dict) else {},
        dict(tensors(attributes)),
    )


def attributes_of(value: object) -> dict[str, Any]:
    """What an object's attributes were; empty where it is none that was pickled."""
    if not isinstance(value, Record):
        return {}
    state = value.state
    if value.name == CALL and len(value.arguments) == 1 and isinstance(value.arguments[0], dict):
        state = value.arguments[0].get("state")
    return state if isinstance(state, dict) else {}


def tensors(attributes: Mapping[str, Any], prefix: str = "") -> dict[str, Tensor]:
    """Parameters and buffers of a module and of those within it, by dotted names."""
    found: dict[str, Tensor] = {}
    for kind in ("_parameters", "_buffers"):
        entries = attributes.get(kind)
        for name, value in (entries if isinstance(entries, dict) else {}).items():
            if isinstance(value, Tensor):
                found[f"{prefix}{name}"] = value
    modules = attributes.get("_modules")
    for name, module in (modules if isinstance(modules, dict) else {}).items():
        found |= tensors(attributes_of(module), f"{prefix}{name}.")
    return found
