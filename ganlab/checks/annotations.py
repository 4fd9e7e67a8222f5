"""Whether a config's plain value can be what a constructor's annotation asks for."""

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Literal, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

PLAIN = (bool, int, float, str, NoneType)
OPEN = (Any, object, inspect.Parameter.empty)  # annotations that take anything
NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    NoneType: "null",
}
PLURALS = NAMES | {int: "whole numbers", float: "numbers", str: "texts"}


def annotations(target: Callable[..., Any]) -> dict[str, Any]:
    """Parameter -> annotation, for those that can be read; a class's are its constructor's.

    `**options` adds those of the class they are handed to.
    """
    hints = _read(target.__init__ if inspect.isclass(target) else target)
    returned = hints.pop("return", None)
    kinds = {p.kind for p in inspect.signature(target).parameters.values()}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        bases = target.__mro__[1:2] if inspect.isclass(target) else (returned,)
        inherited = [
            annotations(base) for base in bases if inspect.isclass(base) and base is not object
        ]
        hints = {key: hint for each in inherited for key, hint in each.items()} | hints
    return hints


def _read(function: Callable[..., Any]) -> dict[str, Any]:
    """Each annotation by itself: one may use names that exist for type checkers alone."""
    found: dict[str, Any] = {}
    space = function.__globals__ if inspect.isfunction(function) else {}
    for key, annotation in inspect.get_annotations(function).items():
        with suppress(NameError, TypeError, AttributeError):
            alone: object = SimpleNamespace(__annotations__={key: annotation})
            found |= get_type_hints(alone, globalns=space)
    return found


def fits(value: object, hint: object) -> bool:
    """Whether a plain value may stand for the annotation; what has a `_target_` is built first."""
    if hint in OPEN or isinstance(hint, TypeVar):
        return True
    if get_origin(hint) in (Union, UnionType):
        return any(fits(value, option) for option in get_args(hint))
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if isinstance(value, dict) and "_target_" in value:
        if value.get("_partial_") is True:
            return hint not in PLAIN and may_be_partial(hint)
        return hint not in PLAIN and may_make(str(value["_target_"]), hint)
    if isinstance(value, dict):
        return _fits_mapping(value, hint)
    if isinstance(value, list):
        return _fits_list(value, hint)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in PLAIN:
        return isinstance(value, hint)
    return hint in (Path, os.PathLike) and isinstance(value, str)


def may_make(target: str, hint: object) -> bool:
    """Whether a target may be what the annotation asks for.

    A class of ours is no other class of ours, and a layer of torch's no function that is called in
    training; of functions, of users' classes and of what is not imported yet nothing is known.
    """
    module, _, name = target.rpartition(".")
    made = vars(sys.modules[module]).get(name) if module in sys.modules else None
    kind = get_origin(hint) or hint
    if not (inspect.isclass(made) and inspect.isclass(kind)) or Protocol in kind.__mro__:
        return True
    if Callable in (kind, hint):
        return not made.__module__.startswith("torch.")
    ours = made.__module__.startswith("ganlab.") and kind.__module__.startswith("ganlab.")
    return not ours or issubclass(made, kind)


def may_be_partial(hint: object) -> bool:
    """Whether what is called later may stand for the annotation."""
    if Callable in (get_origin(hint), hint):
        return True
    kind = get_origin(hint) or hint
    return not inspect.isclass(kind) or Protocol in kind.__mro__


def _fits_mapping(value: dict[Any, Any], hint: object) -> bool:
    if not _is_a(hint, Mapping):
        return False
    inner = get_args(hint)
    return len(inner) != 2 or all(fits(item, inner[1]) for item in value.values())


def _fits_list(value: list[Any], hint: object) -> bool:
    if hint is str or not _is_a(hint, Iterable) or _is_a(hint, Mapping):
        return False
    inner = [each for each in get_args(hint) if each is not Ellipsis]
    if _is_fixed(hint):
        return len(value) == len(inner) and all(map(fits, value, inner))
    return len(inner) != 1 or all(fits(item, inner[0]) for item in value)


def _is_fixed(hint: object) -> bool:
    """Whether this is a tuple of a known length."""
    return get_origin(hint) is tuple and Ellipsis not in get_args(hint)


def _is_a(hint: object, kind: type) -> bool:
    origin = get_origin(hint) or hint
    return inspect.isclass(origin) and issubclass(origin, kind)


def _is_container(hint: object) -> bool:
    return hint is not str and (_is_a(hint, Sequence) or _is_a(hint, Mapping))


def annotation_text(hint: object) -> str:
    """The annotation in words a config's author reads."""
    if get_origin(hint) in (Union, UnionType):
        options = get_args(hint)
        plain = [each for each in options if each in (bool, int, float, str) or _is_container(each)]
        options = tuple(each for each in options if each in (*plain, NoneType) or not plain)
        return " or ".join(dict.fromkeys(map(annotation_text, options)))
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    if _is_container(hint):
        return _spelled_container(hint)
    if hint in NAMES:
        return NAMES[hint]
    origin = get_origin(hint) or hint
    name = origin.__name__ if inspect.isclass(origin) else str(origin)
    if Callable in (origin, hint):
        return "a mapping with the _target_ of a function and _partial_: true"
    article = "an" if name[0] in "AEIO" else "a"
    path = hint in (Path, os.PathLike)
    return "a path" if path else f"a mapping with the _target_ of {article} {name}"


def _spelled_container(hint: object) -> str:
    if _is_a(hint, Mapping):
        return "a mapping"
    inner = [each for each in get_args(hint) if each is not Ellipsis]
    items = _plural(inner[0]) if len(set(inner)) == 1 else ""
    count = f"{len(inner)} " if _is_fixed(hint) else ""
    return f"a list of {count}{items}" if items else "a list"


def _plural(hint: Any) -> str:
    """What a list holds, in words; empty where there are none for it."""
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(filter(None, map(_plural, get_args(hint))))
    if _is_container(hint):
        return (
            annotation_text(hint).replace("a list", "lists", 1).replace("a mapping", "mappings", 1)
        )
    return PLURALS.get(hint, "")
