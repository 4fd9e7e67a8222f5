"""A step's batch in parts that go through the networks one after the other.

Sample i of the batch of all processes belongs to part (i div world) mod parts of process i mod
world: each part is to the draws of a step what a process is. So the parts of one process see what
as many processes would, and where a loss is a mean over samples their mean gradient is the batch's.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrize import is_parametrized

from ganlab.losses.adversarial import Loss
from ganlab.networks.base import Condition, Images
from ganlab.nn.dropout import Dropout
from ganlab.nn.minibatch import MinibatchStd
from ganlab.systems.randomness import Rows, StepRandomness

KEY = "model.accumulate"


@dataclass(frozen=True)
class Part:
    """What goes through the networks at once."""

    real: Images
    condition: Condition | None
    n: int  # samples
    randomness: StepRandomness
    masks: Rows | None  # of dropout, one stream for the whole step; None = nothing drops


def parts_of(
    real: Images,
    condition: Condition | None,
    n: int,  # samples of this process
    randomness: StepRandomness,
    network: nn.Module,  # whose dropout is drawn
    count: int,  # parts
) -> list[Part]:
    """This process's samples in equal, strided parts.

    Raises:
        ValueError: they cannot be shared equally; names the key.
    """
    if n % count:
        raise ValueError(f"{KEY}={count} does not divide the {n} images that a process has a step")
    drops = any(isinstance(module, Dropout) for module in network.modules())
    found: list[Part] = []
    for number in range(count):
        rows = slice(number, None, count)
        own = randomness.part(number, count)
        shown = [each[rows] for each in real] if isinstance(real, list) else real[rows]
        told = None if condition is None else condition.rows(rows)
        masks = own.masks("dropout") if drops else None
        found.append(Part(shown, told, n // count, own, masks))
    return found if count > 1 else [replace(found[0], real=real, condition=condition)]


def check_parts(
    networks: Mapping[str, nn.Module],
    batches: Iterable[int],  # images of all processes in a step, of a growing network's several
    world: int,  # processes
    count: int,
) -> None:
    """Refuse parts that cannot be, or that would not hold whole minibatch groups.

    Raises:
        ValueError: names the keys.
    """
    for batch in (each // world for each in batches):
        if batch % count:
            raise ValueError(
                f"{KEY}={count} does not divide the {batch} images that a process has a step "
                "(data.batch_size)"
            )
        for name, network in networks.items():
            for module in network.modules():
                if isinstance(module, MinibatchStd) and batch // count % module.group_size:
                    raise ValueError(
                        f"{KEY}={count} leaves {batch // count} images at a time, which are no "
                        f"whole groups of model.{name}.group_size={module.group_size}: take a "
                        "smaller accumulate or group_size"
                    )


def is_mean_over_samples(loss: Loss) -> bool:
    """Whether a batch's loss is the mean of its samples' losses, as tried on two of them."""
    real, fake = torch.tensor([-3.0, 5.0]), torch.tensor([4.0, -2.0])  # beyond a hinge
    ways: tuple[Callable[[Tensor, Tensor], Tensor], ...] = loss.discriminator, loss.generator
    for way in ways:
        each = torch.stack([way(real[i : i + 1], fake[i : i + 1]) for i in range(2)])
        if not torch.allclose(way(real, fake), each.mean()):
            return False
    return True


def warn_of_differences(
    networks: Mapping[str, nn.Module], loss: Loss, penalties: Mapping[str, Any], each: int
) -> None:
    """Say what looks at a part where it would look at the batch."""
    modules = [module for network in networks.values() for module in network.modules()]
    means = loss.relativistic and not is_mean_over_samples(loss)
    looks = [
        *(["batch norm"] if any(isinstance(m, _BatchNorm) for m in modules) else []),
        *(["an iteration of spectral norm"] if any(map(is_parametrized, modules)) else []),
        *(["the relativistic loss's means"] if means else []),
        *(["the running mean of path lengths"] if "path_length" in penalties else []),
    ]
    if looks:
        print(
            f"note: {KEY}: {', '.join(looks)} of {each} images at a time; all else is as with the "
            "whole batch",
            file=sys.stderr,
        )
