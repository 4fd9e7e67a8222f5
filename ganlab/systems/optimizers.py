"""Optimizers that the training step needs and torch does not have ready-made."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Adam, Optimizer

INITIAL = {"initial_lr": "lr", "initial_betas": "betas"}  # of a group: before any schedule
FUSED = "fused"  # in a group: how a step is computed, not what it is
RATE_SHARE = "rate_share"  # in an optimizer's defaults: its share of the rate of plain Adam


def lazy_adam(
    parameters: Iterable[Tensor],
    lr: float,  # of a step without lazy regularization
    betas: Sequence[float],  # likewise
    interval: int,  # k: the regularizer has a step of its own after every k; 1 = it is in the loss
    eps: float = 1e-8,
) -> Adam:
    """Adam for k + 1 steps where there were k: lr c and betas ** c with c = k / (k + 1).

    Karras et al. 2020 (arXiv:1912.04958), appendix B: so that k ordinary steps and the one of the
    regularizer, k times as strong, weigh what k steps on both together would.

    Raises:
        ValueError: an interval below 1.
    """
    if interval < 1:
        raise ValueError(
            f"generator_optimizer / discriminator_optimizer: interval must be at least 1, "
            f"got {interval}"
        )
    share = interval / (interval + 1) if interval > 1 else 1.0
    beta1, beta2 = betas
    adam = Adam(parameters, lr=lr * share, betas=(beta1**share, beta2**share), eps=eps)
    adam.defaults[RATE_SHARE] = share  # a schedule that sets other rates must shrink them, too
    return adam


def optimizer_of(
    key: str,  # of the model's section, for a message
    factory: Callable[..., Optimizer],
    parameters: Iterable[Tensor],
    fused: bool = False,  # whether the step of Adam is one kernel
) -> Optimizer:
    """The optimizer of these parameters.

    Raises:
        ValueError: settings that it cannot have; names the key.
    """
    try:
        optimizer = factory(parameters)
    except (ValueError, TypeError) as error:
        raise ValueError(f"model.{key}: {error}") from error
    if fused and isinstance(optimizer, Adam):
        for group in optimizer.param_groups:
            group[FUSED] = True
    return optimizer


def step_alike(states: Sequence[dict[str, Any]], optimizers: Sequence[Optimizer]) -> None:
    """Let saved states of others step in one kernel, or in many, as these optimizers do.

    Groups are matched by position.
    """
    for state, optimizer in zip(states, optimizers, strict=True):
        for saved, fresh in zip(state["param_groups"], optimizer.param_groups, strict=True):
            saved.update({key: fresh[key] for key in (FUSED,) if key in fresh})


def optimizers_of(
    networks: Mapping[str, nn.Module],
    factories: Iterable[Callable[..., Optimizer]],
    fused: bool = False,
) -> list[Optimizer]:
    """One for each network, whose name begins its key; see `optimizer_of`."""
    return [
        optimizer_of(f"{name}_optimizer", factory, network.parameters(), fused)
        for (name, network), factory in zip(networks.items(), factories, strict=True)
    ]


def renew_settings(states: Sequence[dict[str, Any]], optimizers: Sequence[Optimizer]) -> None:
    """Put what these optimizers are set to (rate, betas and so on) into saved states of others.

    The moments stay. Groups are matched by position.
    """
    for state, optimizer in zip(states, optimizers, strict=True):
        for saved, fresh in zip(state["param_groups"], optimizer.param_groups, strict=True):
            for first in INITIAL:
                saved.pop(first, None)
            saved.update({key: value for key, value in fresh.items() if key != "params"})


def set_rates(
    optimizer: Optimizer,
    listed: float | None,  # the rate in the place of the optimizer's default; None = its own
    share: float = 1.0,  # of every group's rate
) -> None:
    """Set the rate of every group, from the one it was made with."""
    defaults = optimizer.defaults
    for group in optimizer.param_groups:
        own = group.setdefault("initial_lr", group["lr"])
        wanted = defaults["lr"] if listed is None else listed * defaults.get(RATE_SHARE, 1.0)
        group["lr"] = (own * wanted / defaults["lr"] if defaults["lr"] else wanted) * share
