"""What networks are wrapped in besides a format's own keys; it is taken off before all else.

A network that was pickled whole becomes its state; nothing of it is run. One state of several
networks, as a `.safetensors` or a Lightning module keeps them, becomes a state a network.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ganlab.interop.foreign import unwrapped
from ganlab.interop.persistent import CALL, attributes_of, tensors
from ganlab.storage.pickles import Record

NETWORKS = {  # what networks are called before the names of their tensors
    *("G", "D", "G_ema", "g", "d", "g_ema", "netG", "netD", "netG_ema", "avgG"),
    *("generator", "discriminator", "generator_smooth", "gen", "disc"),
}


def unpacked(content: object) -> Any:
    """The content without such wrappers; without any, as it was."""
    content = state_of_module(content)
    if not isinstance(content, dict):
        return content
    content = {key: state_of_module(value) for key, value in content.items()}
    inner = content.get("state_dict")
    if isinstance(inner, dict) and (networks := by_network(inner)):
        return {**content, **networks}
    return by_network(content) or content


def state_of_module(value: object) -> object:
    """A network that was pickled whole as its parameters and buffers; all else as it is."""
    attributes = attributes_of(value)
    whole = isinstance(value, Record) and value.name != CALL and "_modules" in attributes
    return tensors(attributes) if whole else value


def by_network(state: Mapping[Any, Any]) -> dict[str, Any]:
    """A state all of whose names begin with a network's, as a state each; else nothing.

    Tensors beside the networks, whose names have no parts, stay beside them.
    """
    found: dict[str, Any] = {}
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            return {}
        network, dot, rest = unwrapped(name).partition(".")
        if not dot:
            found[name] = value
        elif network in NETWORKS:
            found.setdefault(network, {})[rest] = value
        else:
            return {}
    return found if any(isinstance(each, dict) for each in found.values()) else {}
