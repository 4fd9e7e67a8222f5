"""What is wrong with a value of a config, in one line that names its key."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin

from hydra.errors import InstantiationException
from omegaconf import OmegaConf

from ganlab.checks.annotations import annotation_text, fits
from ganlab.checks.ranges import numbers, range_problem, text_of
from ganlab.cli import one_line


@dataclass(frozen=True)
class Fit:
    """What a word to Hydra may be."""

    words: str
    holds: Callable[[Any], bool]


_BOOLEAN = Fit("true or false", lambda value: isinstance(value, bool))
HYDRAS = {  # on how a node is built
    "_target_": Fit("text", lambda value: isinstance(value, str)),
    "_partial_": _BOOLEAN,
    "_recursive_": _BOOLEAN,
    "_convert_": Fit(
        "none, partial, object or all", lambda v: v in ("none", "partial", "object", "all")
    ),
    "_args_": Fit("a list", lambda value: isinstance(value, list)),
}
OURS = ("ganlab.", "torch.optim.")  # whose parameters' names mean what `ranges` says of them


def type_problem(
    path: str,  # the dotted key
    value: object,
    hint: object,  # the annotation of its parameter
    target: str,  # what takes it
) -> str | None:
    """What a value should be if it is of the wrong type or a number that cannot be; else None."""
    if path.endswith("._recursive_") and value is False and target.startswith(OURS):
        return f"{path}=False would leave its parts unbuilt: leave that out"
    if (word := HYDRAS.get(path.rpartition(".")[2])) is not None:
        return None if word.holds(value) else f"{path}={text_of(value)} should be {word.words}"
    if isinstance(value, dict) and value.get("_partial_") is True and not fits(value, hint):
        return f"{path}._partial_=true would leave it unbuilt: leave that out"
    if not fits(value, hint):
        path, value, hint = innermost(path, value, hint)
    said = f"{path}={text_of(value)} should be"
    if value is None and path.endswith(".extractor") and not fits(value, hint):
        return f"{path} needs features: give some, as in features=inception or features=classifier"
    if not fits(value, hint):
        return f"{said} {annotation_text(hint)}"
    if not all(isinstance(each, int) or math.isfinite(each) for each in numbers(value)):
        return f"{said} {annotation_text(hint)}, and finite"
    words = (
        range_problem(path.partition(".")[0], path.rpartition(".")[2], value)
        if target.startswith(OURS)
        else None
    )
    return f"{said} {words}" if words else None


def innermost(path: str, value: object, hint: object) -> tuple[str, Any, Any]:
    """The value of a mapping that does not fit, with its key, where the mapping itself does."""
    if isinstance(value, dict) and "_target_" not in value:
        for option in get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,):
            inner = get_args(option)
            wrong = (k for k, v in value.items() if len(inner) == 2 and not fits(v, inner[1]))
            if (key := next(wrong, None)) is not None:
                return innermost(f"{path}.{key}", value[key], inner[1])
    return path, value, hint


def refusal(node: dict[str, Any], section: str, error: InstantiationException) -> str:
    """What a constructor said, with the key of its node, and its settings where it names none."""
    said, place = one_line(error), re.search(r"full_key: (\S+)", str(error))
    if f"{section}." in said:  # one of our own, which names its key
        return said
    inner: Any = OmegaConf.select(OmegaConf.create(node), place[1]) if place else node
    path = f"{section}.{place[1]}" if place else section
    if any(re.search(rf"\b{re.escape(str(key))}\b", said) for key in inner):
        return f"{path}: {said}"
    given = ", ".join(f"{k}={text_of(v)}" for k, v in inner.items() if not str(k).startswith("_"))
    return f"{path} cannot be built{given and f' with {given}'}: {said}"
