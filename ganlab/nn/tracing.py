"""Watching and editing activations: the only forward hooks in the project.

with recorded(generator.layers) as activations:
    images = generator(latents)
activations["8x8/0"]                                  # (N, C, 8, 8)

with edited(generator.layers, {"8x8/0": lambda x: x * keep}):
    repaired = generator(latents)                     # later layers see the edited tensor
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn

Edit = Callable[[Tensor], Tensor]


def _require(layers: Mapping[str, nn.Module], names: Mapping[str, object] | list[str]) -> None:
    unknown = [name for name in names if name not in layers]
    if unknown:
        raise KeyError(f"no layer {', '.join(unknown)}; this network has {', '.join(layers)}")


@contextmanager
def recorded(
    layers: Mapping[str, nn.Module],  # name -> activation module, a generator's `layers`
    names: list[str] | None = None,  # which of them; None = all
) -> Iterator[dict[str, Tensor]]:
    """Yield a dict that each forward pass fills with the chosen layers' outputs, in firing order.

    Raises:
        KeyError: a name that the network does not have; the message lists those it has.
    """
    names = list(layers) if names is None else names
    _require(layers, names)
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            outputs[name] = output

        return hook

    with ExitStack() as stack:
        for name in names:
            handle = layers[name].register_forward_hook(keep(name))
            stack.callback(handle.remove)
        yield outputs


@contextmanager
def edited(layers: Mapping[str, nn.Module], edits: Mapping[str, Edit]) -> Iterator[None]:
    """Replace each named layer's output by `edit(output)` before the next layer sees it.

    Raises:
        KeyError: a name that the network does not have; the message lists those it has.
    """
    _require(layers, edits)

    def replace(edit: Edit) -> Callable[..., Tensor]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
            return edit(output)

        return hook

    with ExitStack() as stack:
        for name, edit in edits.items():
            handle = layers[name].register_forward_hook(replace(edit))
            stack.callback(handle.remove)
        yield
