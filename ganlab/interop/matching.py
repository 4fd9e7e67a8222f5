"""A network of a file, in our names: built, and compared tensor by tensor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ganlab.interop.foreign import ForeignFile, Node, check_options

State = dict[str, Tensor]


@dataclass(frozen=True)
class Translated:
    """What a reader made of one network of a file."""

    network: type[nn.Module]  # ours
    options: dict[str, Any]  # what it is built with
    weights: State  # by our names
    theirs: Mapping[str, str]  # our names -> the file's, for messages
    stage: Mapping[str, Any] = field(default_factory=dict)  # of one that grows: level and alpha


def match_network(
    file: ForeignFile,
    title: str,  # of the format, for messages
    found: Translated,
    unused: Sequence[str] = (),  # the file's names that have no place
) -> tuple[Node, dict[str, Any]]:
    """Its config and its state.

    Raises:
        ValueError: a network that is not built here, or a tensor that is missing, unknown or of
            another shape; names it as the file does.
    """
    network = found.network
    if unused:
        raise file.wrong(f"has a tensor {unused[0]} that {title} lacks")
    check_options(file, network, found.options)
    try:
        with torch.device("meta"):
            wanted = network(**found.options).state_dict()
    except (ValueError, RuntimeError, ArithmeticError, TypeError) as error:
        raise file.wrong(f"has a network that is not built here: {error}") from error
    state: dict[str, Any] = dict(found.weights)
    for name, value in wanted.items():
        if name == "_extra_state":
            state[name] = dict(found.stage) or value
        elif name not in state:
            raise file.wrong(f"lacks {found.theirs.get(name, name)} of {title}")
        elif state[name].shape != value.shape:
            shapes = f"{list(state[name].shape)}, where the others ask for {list(value.shape)}"
            raise file.wrong(f"has {found.theirs.get(name, name)} in shape {shapes}")
    if extra := [name for name in state if name not in wanted]:
        raise file.wrong(f"has a tensor {found.theirs.get(extra[0], extra[0])} that {title} lacks")
    return {"_target_": f"{network.__module__}.{network.__name__}", **found.options}, state
