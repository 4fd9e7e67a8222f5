"""Checks of plain values from files, put together like the values: fields, lists, mappings.

A check is told a value and its dotted place, and raises `Unfit` with both where it does not fit.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from ganlab.checks.ranges import text_of

Check = Callable[[Any, str], None]  # value, its dotted place
MOST = 2**63  # of counters


class Unfit(Exception):  # noqa: N818 - carries a phrase from a check to `complaint`
    """A field that is not what it should be."""


def refuse(place: str, value: object, words: str) -> None:
    """Leave the check of a field, whose value should be what the words say."""
    raise Unfit(f"{place} is {' '.join(text_of(value).split())} and should be {words}")


def leaf(words: str, test: Callable[[Any], bool]) -> Check:
    """A value that passes a test."""

    def check(value: object, place: str) -> None:
        if not test(value):
            refuse(place, value, words)

    return check


def optional(inner: Check) -> Check:
    """None, or what the inner check takes."""
    return lambda value, place: None if value is None else inner(value, place)


def fields(missing: Mapping[str, Check] | None = None, /, **known: Check) -> Check:
    """A mapping that has these fields; those of `missing`, whose names are no words, too."""
    known = {**(missing or {}), **known}

    def check(value: Any, place: str) -> None:
        mapping(value, place or "the file")
        for name, inner in known.items():
            where = f"{place}.{name}" if place else name
            if name not in value:
                raise Unfit(f"{where} is missing")
            inner(value[name], where)

    return check


def optional_fields(**known: Check) -> Check:
    """A mapping in which these fields may be missing or null."""

    def check(value: Any, place: str) -> None:
        mapping(value, place or "the file")
        for name, inner in known.items():
            if value.get(name) is not None:
                inner(value[name], f"{place}.{name}" if place else name)

    return check


def all_of(*checks: Check) -> Check:
    """A value that passes every one of the checks."""

    def check(value: object, place: str) -> None:
        for inner in checks:
            inner(value, place)

    return check


def mapping_of(
    inner: Check, key: Callable[[Any], bool] = lambda key: isinstance(key, str)
) -> Check:
    """A mapping whose names pass a test and whose every value passes a check."""

    def check(value: Any, place: str) -> None:
        mapping(value, place)
        for name, item in value.items():
            if not key(name):
                raise Unfit(f"{place} has the name {text_of(name)}, which no run writes")
            inner(item, f"{place}.{name}")

    return check


def items(inner: Check, least: int = 0) -> Check:
    """A list whose every item passes a check."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, list | tuple) or len(value) < least:
            refuse(place, value, f"a list of at least {least}" if least else "a list")
        for number, item in enumerate(value):
            inner(item, f"{place}[{number}]")

    return check


def is_count(value: object) -> bool:
    """Whether this is a whole number that a counter can have."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST


def is_number(value: object) -> bool:
    """Whether this is a number, NaN and infinities included; a whole one has at most 64 bits."""
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2 * MOST
    return whole or isinstance(value, float)


mapping = leaf("a mapping", lambda value: isinstance(value, dict))
count = leaf("a whole number from 0 to 2^63 - 1", is_count)
number = leaf("a number", is_number)
finite = leaf("a finite number", lambda value: is_number(value) and math.isfinite(value))
text = leaf("text", lambda value: isinstance(value, str))
plain = leaf("text or a number", lambda v: v is None or isinstance(v, str | int | float))


def complaint(value: object, schema: Check) -> str | None:
    """The first field that is not what it should be, in one phrase; None if all are."""
    try:
        schema(value, "")
    except Unfit as unfit:
        return str(unfit)
    return None
