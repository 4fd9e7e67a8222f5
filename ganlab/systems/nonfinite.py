"""Stops a run at the first number that is not finite, and says where it came from."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ganlab.losses.penalties import scales
from ganlab.nn.tracing import recorded
from ganlab.systems.clock import crossed

GUARD_IMAGES = 2_000  # how often an accelerator is asked whether all is finite; a CPU always is


class NonFiniteError(FloatingPointError):
    """A loss, a weight or an activation became NaN or infinite."""


def _finite(value: object) -> bool:
    return not isinstance(value, Tensor) or bool(torch.isfinite(value).all())


def is_broken(loss: Tensor, before: int, after: int) -> bool:
    """Whether a loss is not finite; an accelerator is only asked now and then, as asking waits.

    `before` and `after` are the clock, in images, at both ends of the step.
    """
    due = loss.device.type == "cpu" or crossed(before, after, GUARD_IMAGES)
    return due and not bool(torch.isfinite(loss))


def bad_parameter(networks: Mapping[str, nn.Module]) -> str | None:
    """Dotted name of the first parameter or buffer that is not finite, in definition order."""
    for prefix, network in networks.items():
        for name, value in network.state_dict().items():
            if not _finite(value):
                return f"{prefix}.{name}"
    return None


@torch.no_grad()
def bad_output(prefix: str, network: nn.Module, *inputs: object) -> str | None:
    """Dotted name of the first leaf module, in firing order, whose output is not finite."""
    leaves = {
        name: module
        for name, module in network.named_modules()
        if name and not [*module.children()]
    }
    with recorded(leaves) as outputs:
        network(*inputs)
    for name, value in outputs.items():
        if not _finite(value):
            return f"{prefix}.{name}"
    return None


def diagnose(
    generator: nn.Module,
    discriminator: nn.Module,
    latents: Tensor,  # (N, Z)
    real: Tensor | list[Tensor],  # what the discriminator sees
    condition: object = None,  # what both are told
) -> str:
    """One phrase that names the module holding the first bad tensor, or says none was found."""
    networks = {"generator": generator, "discriminator": discriminator}
    if (name := bad_parameter(networks)) is not None:
        return f"first bad tensor: {name}"
    if not all(map(_finite, scales(real))):
        return "first bad tensor: the batch of real images"
    told = () if condition is None else (condition,)
    for prefix, network, inputs in (
        ("generator", generator, latents),
        ("discriminator", discriminator, real),
    ):
        if (name := bad_output(prefix, network, inputs, *told)) is not None:
            return f"first bad tensor: output of {name}"
    return "weights and activations are finite; the loss or a penalty overflowed"


ADVICE = (
    "Nothing was written over the last good checkpoint. Try a lower learning rate, a larger R1 or "
    "gradient-penalty weight, trainer.precision=32-true, or `python -m ganlab data check <path>`."
)
