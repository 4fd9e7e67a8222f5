"""Which classes a conditional generator is told, as a study's options name them."""

from collections.abc import Sequence

Class = int | str  # by number or name


def asked_classes(label: Class | None, labels: Sequence[Class] | Class | None) -> list[Class]:
    """The classes of `study.label` or `study.labels`, as named; none = neither says any.

    Raises:
        ValueError: both are given, or no class is named.
    """
    if label is not None and labels is not None:
        raise ValueError("study.label and study.labels are two answers: give one of them")
    if labels is None:
        return [] if label is None else [label]
    found = [labels] if isinstance(labels, int | str) else list(labels)
    if not found:
        raise ValueError("study.labels=[] names no class; null leaves them to the checkpoint")
    return found


def class_index(
    label: Class,
    names: Sequence[str],  # of the classes
    key: str = "study.labels",
) -> int:
    """The number of a class. Raises ValueError where there is none of this name or number."""
    if str(label) in names:
        return list(names).index(str(label))
    if str(label).isdecimal() and int(label) < len(names):
        return int(label)
    known = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    raise ValueError(f"{key}={label} is no class; there are {len(names)}: {known}")
