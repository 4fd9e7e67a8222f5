"""Whether what a checkpoint holds fits the networks, optimizers and trainer that are to take it."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import lightning
import torch
from lightning import Trainer
from torch import Tensor
from torch.optim import Optimizer

from ganlab.checks.fields import Unfit, count, is_count, is_number, leaf, mapping, refuse
from ganlab.checks.ranges import text_of
from ganlab.systems.optimizers import FUSED, INITIAL
from ganlab.systems.schema import DAMAGED, is_finite
from ganlab.systems.training import Training

MOMENTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")  # of Adam, shaped as their parameter
OTHERS = (  # of a forced resume, which compares no settings
    "; the file is damaged, or of optimizers of another kind than this config's "
    "(_target_, amsgrad), with which resume=force cannot go on"
)
ORDER = ("ready", "started", "processed", "completed")  # of Lightning's counts, none above another


def unfitting(checkpoint: Mapping[str, Any], system: Training, trainer: Trainer) -> str | None:
    """The first part of a checkpoint that this run cannot take, in one phrase, or None.

    The checkpoint passed `schema.RUN`, and names and shapes of its weights are the system's.
    """
    optimizers = system.configure_optimizers()
    try:
        fitting_weights(checkpoint["state_dict"], system.state_dict())
        fitting_optimizers(checkpoint["optimizer_states"], optimizers, system)
        fitting_numbers(checkpoint["optimizer_states"], checkpoint.get("moments"))
        if checkpoint["pytorch-lightning_version"] == lightning.__version__:
            fitting_counts(checkpoint["loops"], fresh_counts(trainer), "loops")
    except Unfit as unfit:
        forced = not system.exact_resume and str(unfit).startswith("optimizer_states")
        return f"{unfit}{OTHERS if forced else DAMAGED}"
    return None


def fresh_counts(trainer: Trainer) -> dict[str, Any]:
    """The progress of Lightning's loops before they began."""
    return {
        "fit_loop": trainer.fit_loop.state_dict(),
        "validate_loop": trainer.validate_loop.state_dict(),
        "test_loop": trainer.test_loop.state_dict(),
        "predict_loop": trainer.predict_loop.state_dict(),
    }


def fitting_weights(saved: Mapping[str, Any], fresh: Mapping[str, Any]) -> None:
    """Refuse weights of another kind of number, and stages that are none."""
    for name, value in fresh.items():
        place, old = f"state_dict.{name}", saved[name]
        if isinstance(value, Tensor):
            leaf(str(value.dtype), partial(_of_kind, value.dtype))(old, place)
        elif isinstance(value, dict):
            mapping(old, place)
            for key, plain in value.items():
                leaf("a finite number", partial(_like, plain))(old.get(key), f"{place}.{key}")


def _of_kind(kind: torch.dtype, value: object) -> bool:
    """Whether a weight is of a kind of number."""
    return isinstance(value, Tensor) and value.dtype == kind


def _like(example: object, value: object) -> bool:
    """Whether a number can stand where a whole or a broken one stands."""
    if not isinstance(example, int | float):
        return True
    whole = is_count(value)
    return whole or (isinstance(example, float) and isinstance(value, float) and 0 <= value <= 1)


def fitting_optimizers(saved: Any, optimizers: list[Optimizer], system: Training) -> None:
    """Refuse states of other optimizers than these fresh ones."""
    if len(saved) != len(optimizers):
        refuse("optimizer_states", f"of {len(saved)} optimizers", f"of {len(optimizers)}")
    for number, (state, optimizer) in enumerate(zip(saved, optimizers, strict=True)):
        place = f"optimizer_states[{number}]"
        fitting_groups(state["param_groups"], optimizer, f"{place}.param_groups", system)
        fitting_moments(state["state"], optimizer, f"{place}.state")


def fitting_numbers(saved: Any, moments: Any) -> None:
    """Refuse states of fewer or more parameters than were written, where that was noted."""
    found = [len(state["state"]) for state in saved]
    if moments is not None and list(moments) != found:
        refuse("moments", list(moments), f"as in optimizer_states, {found}")


def fitting_groups(saved: Any, optimizer: Optimizer, place: str, system: Training) -> None:
    """Refuse groups of other parameters, or, of an exact resume, of other settings.

    What moves is its schedule's; `initial_lr` and `initial_betas` are what it starts from.
    """
    fresh = optimizer.state_dict()["param_groups"]
    if len(saved) != len(fresh):
        refuse(place, f"of {len(saved)} groups", f"of {len(fresh)}")
    for number, (old, new) in enumerate(zip(saved, fresh, strict=True)):
        started = {first: new[key] for first, key in INITIAL.items() if first in old and key in new}
        wanted = {**new, **started}
        for key, value in wanted.items():
            where = f"{place}[{number}].{key}"
            if key not in old:
                raise Unfit(f"{where} is missing")
            moves = key in system.moving
            if key == "params" or (system.exact_resume and not moves and key != FUSED):
                leaf(text_of(value), partial(_same, value))(old[key], where)


def _same(one: object, other: object) -> bool:
    """Whether two settings are equal, of one type: but a tuple may have become a list."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return ((is_number(one) and is_number(other)) or type(one) is type(other)) and bool(
        one == other
    )


def fitting_moments(saved: Mapping[Any, Any], optimizer: Optimizer, place: str) -> None:
    """Refuse moments of no parameter, of another shape, not finite, or not all there."""
    groups = optimizer.param_groups
    parameters = [(each, read_of(optimizer, group)) for group in groups for each in group["params"]]
    for key, state in saved.items():
        where = f"{place}.{key}"
        if not is_count(key) or key >= len(parameters):
            refuse(place, f"of parameter {text_of(key)}", f"of parameters below {len(parameters)}")
        mapping(state, where)
        parameter, read = parameters[key]
        for name in read:
            if name not in state:
                raise Unfit(f"{where}.{name} is missing")
        for name, value in state.items():
            fitting_moment(name, value, parameter, f"{where}.{name}")


def read_of(optimizer: Optimizer, group: Mapping[str, Any]) -> list[str]:
    """What a step reads of a parameter's state, where that is known."""
    if not isinstance(optimizer, torch.optim.Adam):
        return []
    return ["step", "exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else [])]


def fitting_moment(name: object, value: object, parameter: Tensor, place: str) -> None:
    """Refuse one entry of a parameter's state."""
    leaf("finite numbers", is_finite)(value, place)
    shape, kind = tuple(parameter.shape), parameter.dtype
    if name in MOMENTS:
        leaf(f"a tensor of {shape}, {kind}", lambda v: _shaped(v, shape, kind))(value, place)
        if name != "exp_avg":
            leaf("squares, which are not negative", lambda v: not bool((v < 0).any()))(value, place)
    if name == "step":
        leaf("one number of at least 1", lambda v: _shaped(v, (), None) and float(v) >= 1)(
            value, place
        )


def _shaped(value: Any, shape: tuple[int, ...], kind: torch.dtype | None) -> bool:
    """Whether this is a tensor of broken numbers of this shape and kind, if one is asked for."""
    right = isinstance(value, Tensor) and tuple(value.shape) == shape
    return right and (value.is_floating_point() if kind is None else value.dtype == kind)


def fitting_counts(saved: Any, fresh: Any, place: str) -> None:
    """Refuse progress of Lightning's loops that has not its form, or counts that cannot be."""
    if isinstance(fresh, bool):
        leaf("true or false", lambda v: isinstance(v, bool))(saved, place)
    elif isinstance(fresh, int):
        count(saved, place)
    elif isinstance(fresh, dict):
        mapping(saved, place)
        for name, inner in fresh.items():
            if name not in saved:
                raise Unfit(f"{place}.{name} is missing")
            fitting_counts(saved[name], inner, f"{place}.{name}")
        steps = [saved[name] for name in ORDER if name in fresh]
        if steps != sorted(steps, reverse=True):
            refuse(place, steps, "of counts none of which is above the one before")
