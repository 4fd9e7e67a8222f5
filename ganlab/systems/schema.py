"""What each field of a checkpoint must be, declared in one place.

A file that is whole and was opened safely may still hold anything: it was cut, edited or written by
another program. Before a field is used, `complaint` says in one phrase which is not what it should
be. What depends on the run's networks, optimizers and trainer is `ganlab.systems.compatibility`.
"""

import math
import random
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganlab.checks.fields import (
    Check,
    all_of,
    count,
    fields,
    finite,
    is_count,
    is_number,
    items,
    leaf,
    mapping,
    mapping_of,
    number,
    optional,
    optional_fields,
    plain,
    refuse,
    text,
)
from ganlab.checks.fields import complaint as first_complaint
from ganlab.checks.ranges import text_of

DEEPEST = 64  # levels of a field
MOST = 10**7  # values of a field, tensors counted as one
PLAIN = (Tensor, dict, list, tuple, set, frozenset, str, bytes, int, float, type(None))
OBJECTS = "it holds pickled objects besides tensors and plain data, and was not opened for safety"
DAMAGED = "; the file is damaged or of another program"


def is_finite(value: object) -> bool:
    """Whether a tensor, or anything else, holds no NaN and no infinity."""
    return not isinstance(value, Tensor) or bool(torch.isfinite(value).all())


def taken(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Whether a state can be given to a stream of random numbers of its own."""

    def test(value: object) -> bool:
        try:
            return fits(value)
        except Exception:  # each library has its own ways to say no
            return False

    return test


def python_random(value: Any) -> bool:
    """Give a Python stream its state."""
    version, internal, gauss = value
    random.Random().setstate((version, tuple(internal), gauss))
    return gauss is None or is_number(gauss)


def numpy_random(value: Any) -> bool:
    """Give a NumPy stream its state."""
    keys, position, has_gauss, cached = value
    state = ("MT19937", keys.numpy().astype(np.uint32), int(position), int(has_gauss), cached)
    np.random.RandomState().set_state(state)
    words = keys.dtype == torch.int64 and bool(((keys >= 0) & (keys < 2**32)).all())
    return words and 0 <= position <= 624 and has_gauss in (0, 1) and math.isfinite(cached)


def torch_random(value: Any) -> bool:
    """Give a stream of torch its state."""
    torch.Generator().set_state(value)
    return True


def tree(value: object, place: str) -> None:
    """Plain values in lists and mappings, as a config is."""
    if isinstance(value, dict):
        for name, item in value.items():
            tree(item, f"{place}.{name}")
    elif isinstance(value, list | tuple):
        items(tree)(value, place)
    else:
        plain(value, place)


def _numbers(value: object, shape: tuple[int, ...]) -> bool:
    """Whether this is a tensor of finite broken numbers of this shape."""
    if not isinstance(value, Tensor) or tuple(value.shape) != shape:
        return False
    return value.is_floating_point() and is_finite(value)


def signs(value: Tensor) -> bool:
    """Whether a sum can be one of as many signs."""
    total, number = value.tolist()
    return bool(abs(total) <= number)


curve = leaf("one finite number", lambda v: isinstance(v, Tensor) and v.ndim == 0 and is_finite(v))
record = all_of(fields(metric=text, value=number), mapping_of(plain))  # as in `result.json`
weights = mapping_of(
    leaf("finite numbers", lambda v: isinstance(v, Tensor | dict) and is_finite(v))
)
version = leaf("a version", lambda v: isinstance(v, str) and bool(re.match(r"\d+\.\d+", v)))
bytes_ = leaf("bytes", lambda v: isinstance(v, Tensor) and v.dtype == torch.uint8 and v.ndim == 1)

# What any use of a checkpoint needs.
DESCRIBED = fields(recipe=mapping, images_seen=count, state_dict=weights)
RECIPE = fields(
    model=all_of(mapping, tree),
    data=all_of(mapping, tree),
    features=optional(all_of(mapping, tree)),
    metrics=optional(all_of(mapping, tree)),
    seed=count,
    precision=leaf(
        "text or a number", lambda v: isinstance(v, str | int) and not isinstance(v, bool)
    ),
    overrides=items(text),
    choices=mapping_of(text),
)
RANDOM = fields(
    torch=leaf("a state of torch's random numbers", taken(torch_random)),
    cuda=optional(bytes_),
    numpy=leaf("a state of NumPy's random numbers", taken(numpy_random)),
    python=leaf("a state of Python's random numbers", taken(python_random)),
)
CALLBACKS: dict[str, Check] = {
    "Scores": fields(
        monitor=optional(text),
        best=optional(finite),
        latest=mapping_of(number),
        scored_at=optional(count),
        records=items(record),
        size=optional(text),
    ),
    "CircleIncidence": fields(records=items(record)),
}
FIELDS = fields(
    {
        "pytorch-lightning_version": leaf(
            "a version", lambda v: isinstance(v, str) and bool(re.match(r"\d+\.\d+", v))
        )
    },
    format=count,
    recipe=RECIPE,
    images_seen=count,
    counters=fields(images_seen=count, steps=count, images_at_ema=count),
    tally=items(
        fields(
            sums=mapping_of(curve),
            counts=mapping_of(leaf("a whole number above 0", lambda v: is_count(v) and v > 0)),
        ),
        least=1,
    ),
    sampler=fields(position=count, content=optional(text)),
    random=items(RANDOM, least=1),
    open_tick=optional(count),
    state_dict=weights,
    epoch=count,
    global_step=count,
    lr_schedulers=items(mapping),
    optimizer_states=items(fields(state=mapping, param_groups=items(mapping, least=1)), least=1),
    loops=mapping_of(mapping),
)
PATIENCE = fields(
    best=optional(finite), metric=optional(text), waited=count, looked_at=optional(count)
)
AUGMENT = optional_fields(
    p=leaf("one number from 0 to 1", lambda v: _numbers(v, ()) and 0 <= float(v) <= 1),
    signs=leaf("a sum of signs and their number", lambda v: _numbers(v, (2,)) and signs(v)),
    adapted_at=count,
)
STATES = optional_fields(
    callbacks=optional_fields(**CALLBACKS),
    moments=items(count),
    patience=PATIENCE,
    augment=items(AUGMENT, least=1),
)


def agreeing(checkpoint: Mapping[str, Any], place: str) -> None:
    """Refuse counters and states of ranks that cannot be those of one moment of one run."""
    seen, counters = checkpoint["images_seen"], checkpoint["counters"]
    for name, value in (
        ("counters.images_seen", counters["images_seen"]),
        ("sampler.position", checkpoint["sampler"]["position"]),
    ):
        if value != seen:
            refuse(name, value, f"images_seen, {seen}")
    for name, value in (
        ("counters.steps", counters["steps"]),
        ("counters.images_at_ema", counters["images_at_ema"]),
        ("open_tick", checkpoint["open_tick"] or 0),
    ):
        if value > seen:
            refuse(name, value, f"at most images_seen, {seen}")
    if (counters["steps"] == 0) != (seen == 0):
        refuse("counters.steps", counters["steps"], f"those of {seen} images")
    ranks = len(checkpoint["random"])
    if len(checkpoint["tally"]) != ranks:
        refuse("tally", f"of {len(checkpoint['tally'])} processes", f"of {ranks}, as random is")
    for rank, tally in enumerate(checkpoint["tally"]):
        if tally["sums"].keys() != tally["counts"].keys():
            refuse(f"tally[{rank}].counts", list(tally["counts"]), "of the same names as sums")


RUN = all_of(FIELDS, STATES, agreeing)  # what a resume needs


def overgrown(checkpoint: Mapping[Any, Any]) -> str | None:
    """The first field that is more than its file: nested past any depth, or holding itself.

    Parts of a pickle may stand in many places, and a tensor's elements may be one number: what is
    written in a kilobyte would take a lifetime, or a terabyte, to look through.
    """
    for name, field in checkpoint.items():
        waiting, count = [(field, 0)], 0
        while waiting:
            node, depth = waiting.pop()
            count += 1
            if not isinstance(node, PLAIN):
                return OBJECTS
            if isinstance(node, Tensor) and not is_dense(node):
                return f"{text_of(name)} holds a tensor that is not in the file in full{DAMAGED}"
            if depth > DEEPEST or count > MOST:
                return f"{text_of(name)} is nested too deeply, or holds too much{DAMAGED}"
            if isinstance(node, dict):
                node = (*node, *node.values())
            if isinstance(node, list | tuple | set | frozenset):
                waiting += [(inner, depth + 1) for inner in node]
    return None


def is_dense(tensor: Tensor) -> bool:
    """Whether each element of a tensor is a number of its own in memory."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_nested:
        return False
    return tensor.nbytes <= tensor.untyped_storage().nbytes()


def complaint(checkpoint: Mapping[str, Any], schema: Check) -> str | None:
    """The first field that is not what it should be, in one phrase; None if all are."""
    wrong = first_complaint(checkpoint, schema)
    return wrong and wrong + DAMAGED
