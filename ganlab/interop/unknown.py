"""What is said of a file that fits no format: its tensors, the nearest layout, what differs."""

import re
from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor

from ganlab.interop import nvidia_tensorflow
from ganlab.interop.foreign import unwrapped
from ganlab.interop.persistent import networks
from ganlab.storage.pickles import Record

SHOWN = 3  # names of a kind
LEVELS = 3  # of containers that are looked into


def describe(
    content: object,
    layouts: Mapping[str, Sequence[str]],  # format -> names of tensors that it has
) -> str:
    """One line; of a file without tensors what there is instead."""
    found = sorted(set(tensors(content)))
    if not found:
        kinds = sorted({each.name for each in objects(content)})
        return f"it holds no tensors{f' but objects of {kinds[0]}' if kinds else ''}"
    forms = {form(name) for name in found}
    likeness = {
        title: len(forms & {form(name) for name in names}) / len({form(name) for name in names})
        for title, names in layouts.items()
    }
    nearest = max(likeness, key=lambda title: likeness[title])
    known = {form(name) for name in layouts[nearest]}
    missing = [name for name in layouts[nearest] if form(name) not in forms]
    extra = [name for name in found if form(name) not in known]
    parts = [f"of its {len(found)} tensors the first are {name_list(found)}"]
    if likeness[nearest] == 0:
        return f"{parts[0]}, called like those of no format here"
    parts.append(f"nearest is {nearest}")
    parts += [f"which also has {name_list(missing)}"] if missing else []
    parts += [f"and which lacks {name_list(extra)}"] if extra else []
    return ", ".join(parts)


def form(name: str) -> str:
    """A name without its numbers and the prefix of wrappers."""
    return re.sub(r"\d+", "#", unwrapped(name))


def name_list(names: Sequence[str]) -> str:
    """The first of some names, as Python quotes them."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(f"{name!a:.60}" for name in names[:SHOWN]) + more


def tensors(content: object, level: int = 0) -> Iterator[str]:
    """Names of tensors, without those of the containers that hold them."""
    for network in networks(content).values():
        yield from network.state
    for each in content if isinstance(content, tuple | list) else ():
        yield from nvidia_tensorflow.names(each)
        yield from tensors(each, level + 1) if level < LEVELS else ()
    for key, value in content.items() if isinstance(content, dict) else ():
        if isinstance(value, Tensor):
            yield str(key)
        elif level < LEVELS:
            yield from tensors(value, level + 1)


def objects(content: object) -> Iterator[Record]:
    """Records at the top."""
    inside = content.values() if isinstance(content, dict) else [content]
    return (each for each in inside if isinstance(each, Record))
