"""What a system refuses before it starts, by the names of the keys."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from torch import nn

from ganlab.losses.penalties import check_strength
from ganlab.networks.base import Discriminator, Generator, StyleGenerator
from ganlab.systems.conditioning import Conditioner

PROMISED = ("latent_dim", "resolution", "channels")  # by every generator, which sets them


def check_network(key: str, network: nn.Module, kind: type[nn.Module]) -> None:
    """Refuse a network that does not promise what those of the house of its kind do.

    Raises:
        ValueError: names the key, and what is to be added.
    """
    name = type(network).__name__
    if not isinstance(network, kind):
        raise ValueError(f"model.{key}: {name} is no {kind.__module__}.{kind.__name__}")
    missing = [each for each in PROMISED if kind is Generator and not hasattr(network, each)]
    if missing:
        told = f"{name} sets no {', '.join(missing)}"
        raise ValueError(f"model.{key}: {told}, which every generator does (docs/extending.md)")


def check_penalties(kinds: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a name that two kinds of penalties share, and negative weights.

    Raises:
        ValueError: names the key.
    """
    for one, other in combinations(kinds, 2):
        if both := sorted(kinds[one].keys() & kinds[other].keys()):
            raise ValueError(f"model.{one} and model.{other} share {both}")
    for kind, penalties in kinds.items():
        for name, penalty in penalties.items():
            weight = getattr(penalty, "keywords", {}).get("weight", 0)
            check_strength(f"model.{kind}.{name}.weight", weight)


def check_intervals(intervals: Mapping[str, int], penalties: set[str]) -> None:
    """Refuse intervals of no penalty, or that are no number of steps.

    Raises:
        ValueError: names the key.
    """
    if unknown := sorted(set(intervals) - penalties):
        raise ValueError(
            "model.intervals names no penalty of model.penalties or model.generator_penalties: "
            f"{unknown}"
        )
    for name, every in intervals.items():
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(
                f"model.intervals.{name} must be a whole number of steps, at least 1, got {every}; "
                f"to do without the penalty: ~model.penalties.{name} ~model.intervals.{name}"
            )


def check_mixing(probability: float, generator: Generator) -> None:
    """Refuse no probability, or one for a generator without styles.

    Raises:
        ValueError: names the key.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"model.mixing_probability must be from 0.0 to 1.0, got {probability}")
    if probability and not isinstance(generator, StyleGenerator):
        raise ValueError(
            f"model.mixing_probability={probability} needs a generator with styles; set it to 0.0"
        )


def check_labels(conditioner: Conditioner, networks: Mapping[str, nn.Module]) -> None:
    """Refuse networks that take other classes than they are told, or that are told none.

    Raises:
        ValueError: names the keys.
    """
    taken = {
        name: network.num_labels
        for name, network in networks.items()
        if isinstance(network, Generator | Discriminator)
    }
    told, ways = conditioner.num_labels, "model/conditioner=labels sets all of them"
    for name, number in taken.items():
        if number and not told and conditioner.at is None:
            raise ValueError(
                f"model.{name}.num_labels={number}, and nothing tells it labels: "
                "model/conditioner=labels does"
            )
        if told and number not in (0, told):
            raise ValueError(
                f"model.{name}.num_labels={number} and model.conditioner.num_labels={told} "
                f"differ: {ways}"
            )
    if told and not any(taken.values()):
        raise ValueError(
            f"model.conditioner tells {told} labels, and neither network takes any "
            f"(model.generator.num_labels=0): {ways}"
        )


def freeze(discriminator: Discriminator, count: int) -> None:
    """Let the finest blocks learn nothing: FreezeD (Mo et al., arXiv:2002.10964, section 3).

    Raises:
        ValueError: there are not so many; names the key.
    """
    blocks, key = discriminator.finest_first, "model.freeze_discriminator"
    if not 0 <= count <= len(blocks):
        there = f"{len(blocks)} blocks that can be" if blocks else "no blocks that can be"
        raise ValueError(
            f"{key}={count}: {type(discriminator).__module__}.Discriminator has {there} frozen"
        )
    for block in blocks[:count]:
        for module in block:
            module.requires_grad_(False)


def check_precision(precision: str, penalties: list[str]) -> None:
    """Refuse half precision where a penalty needs a second derivative.

    Raises:
        ValueError: names the penalties.
    """
    if penalties and precision.startswith("16"):
        raise ValueError(
            f"trainer.precision={precision} overflows in the penalties {', '.join(penalties)}; "
            "use bf16-mixed or 32-true"
        )
