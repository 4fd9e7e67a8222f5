"""Whether a config's plain value can be what a constructor's annotation asks for."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

PLAIN = (bool, int, float, str, NoneType)
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
    function = target.__init__ if inspect.isclass(target) else target
    try:
        hints = get_type_hints(function)
    except (NameError, TypeError, AttributeError):  # names that exist for type checkers alone
        return {}
    returned = hints.pop("return", None)
    kinds = {p.kind for p in inspect.signature(target).parameters.values()}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        bases = target.__mro__[1:2] if inspect.isclass(target) else (returned,)
        inherited = [
            annotations(base) for base in bases if inspect.isclass(base) and base is not object
        ]
        hints = {key: hint for each in inherited for key, hint in each.items()} | hints
    return hints


def fits(value: Any, hint: Any) -> bool:
    """Whether a plain value may stand for the annotation; what is not plain is left to Python."""
    if get_origin(hint) in (Union, UnionType):
        return any(fits(value, option) for option in get_args(hint))
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if isinstance(value, dict):
        return hint not in PLAIN
    if isinstance(value, list):
        return _fits_list(value, hint)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in PLAIN:
        return isinstance(value, hint)
    return not _is_container(hint) or not isinstance(value, bool | int | float)


def _fits_list(value: list[Any], hint: Any) -> bool:
    if hint in PLAIN:
        return False
    inner = [each for each in get_args(hint) if each is not Ellipsis]
    if get_origin(hint) is tuple or len(inner) != 1:
        return True
    return all(fits(item, inner[0]) for item in value)


def _is_container(hint: Any) -> bool:
    origin = get_origin(hint) or hint
    return inspect.isclass(origin) and issubclass(origin, Sequence | Mapping)


def spelled(hint: Any) -> str:
    """The annotation in words a config's author reads."""
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(dict.fromkeys(spelled(option) for option in get_args(hint)))
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    if _is_container(hint) and hint is not str:
        return _spelled_container(hint)
    return NAMES.get(hint, str(getattr(hint, "__name__", hint)))


def _spelled_container(hint: Any) -> str:
    if not issubclass(get_origin(hint) or hint, Sequence):
        return "a mapping"
    inner = [each for each in get_args(hint) if each is not Ellipsis]
    items = _plural(inner[0]) if len(inner) == 1 else ""
    return f"a list of {items}" if items else "a list"


def _plural(hint: Any) -> str:
    """What a list holds, in words; empty where there are none for it."""
    if get_origin(hint) in (Union, UnionType):
        options = [_plural(option) for option in get_args(hint)]
        return " or ".join(options) if all(options) else ""
    if _is_container(hint) and hint is not str:
        return spelled(hint).replace("a list", "lists", 1).replace("a mapping", "mappings", 1)
    return PLURALS.get(hint, "")
