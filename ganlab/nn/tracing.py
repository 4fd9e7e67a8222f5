"""Watching and editing activations: the only forward hooks in the project.

::

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


class Reached(Exception):  # noqa: N818 - a way out of the forward pass, not an error
    """The last layer asked for has fired; the rest of the forward pass is not needed."""


def _require(layers: Mapping[str, nn.Module], names: Mapping[str, object] | list[str]) -> None:
    unknown = [name for name in names if name not in layers]
    if unknown:
        raise KeyError(f"no layer {', '.join(unknown)}; this network has {', '.join(layers)}")


@contextmanager
def observed(
    layers: Mapping[str, nn.Module],  # name -> activation module, a generator's `layers`
    names: list[str],  # which of them
    observe: Callable[[str, Tensor, Tensor], object],  # told name, what it was given, its output
    stop: bool = False,  # end the forward pass after the last of them
) -> Iterator[None]:
    """Call `observe` each time one of the chosen layers fires; nothing is kept from freeing.

    With `stop` a forward pass raises `Reached`, which the caller suppresses.

    Raises:
        KeyError: a name that the network does not have; the message lists those it has.
    """
    _require(layers, names)
    last = [name for name in layers if name in names][-1] if stop and names else None

    def told(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            observe(name, inputs[0], output)
            if name == last:
                raise Reached

        return hook

    with ExitStack() as stack:
        for name in names:
            handle = layers[name].register_forward_hook(told(name))
            stack.callback(handle.remove)
        yield


@contextmanager
def recorded(
    layers: Mapping[str, nn.Module],  # name -> activation module, a generator's `layers`
    names: list[str] | None = None,  # which of them; None = all
    stop: bool = False,  # end the forward pass after the last of them, see `observed`
) -> Iterator[dict[str, Tensor]]:
    """Yield a dict that each forward pass fills with the chosen layers' outputs, in firing order.

    Raises:
        KeyError: a name that the network does not have; the message lists those it has.
    """
    outputs: dict[str, Tensor] = {}

    def keep(name: str, received: Tensor, output: Tensor) -> None:
        outputs[name] = output

    with observed(layers, list(layers) if names is None else names, keep, stop):
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


@contextmanager
def guided(
    activations: Mapping[str, nn.Module],  # name -> ReLU or LeakyReLU module
) -> Iterator[None]:
    """Let gradients pass these activations only where value and gradient are both positive.

    Guided backpropagation (Springenberg et al., arXiv:1412.6806, figure 1): of a forward pass made
    inside the block, R^l = (f^l > 0) (R^{l+1} > 0) R^{l+1}. Values are as without it, and so is the
    slope where the gradient passes.
    """

    def gate(module: nn.Module, inputs: object, output: Tensor) -> None:
        if output.requires_grad:
            active = output.detach() > 0
            output.register_hook(lambda gradient: gradient.clamp(min=0) * active)

    with ExitStack() as stack:
        for module in activations.values():
            handle = module.register_forward_hook(gate)
            stack.callback(handle.remove)
        yield
