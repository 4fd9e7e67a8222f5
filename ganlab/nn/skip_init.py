"""Networks built without their initial weights, for those that get all of them from a file.

with skip_init():
    network = Generator(...)                           # what is drawn has a shape and no numbers
network.load_state_dict(state, assign=True)
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

DRAWN: Mapping[Callable[..., Any], Callable[..., Any]] = {
    torch.randn: torch.empty,
    torch.rand: torch.empty,
}
FILLED = (Tensor.normal_, Tensor.uniform_)


class skip_init(TorchFunctionMode):  # noqa: N801 - a context, as torch.no_grad
    """Nothing is drawn inside the block, but by generators of its own; filters are as ever."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """A draw left out, or any other function as it is."""
        options = dict(kwargs or {})
        if options.get("generator") is None:
            if func in FILLED:
                return args[0]
            if func in DRAWN:
                return DRAWN[func](*args, **options | {"device": "meta"})
        return func(*args, **options)


def own_tensors(state: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors of a file as a network can have them for its own: of its types, none in two places.

    Those of unlike shapes stay as they are, for whoever loads them to name.
    """
    kinds = {n: v.dtype for n, v in wanted.items() if isinstance(v, Tensor)}
    seen: set[int] = set()
    found = dict(state)
    for name, value in state.items():
        if isinstance(value, Tensor) and name in kinds:
            whole = value.to(kinds[name]).contiguous()
            place = whole.untyped_storage().data_ptr()
            found[name] = whole.clone() if place in seen else whole
            seen.add(place)
    return found
