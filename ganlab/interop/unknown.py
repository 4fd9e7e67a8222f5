"""What is said of a file that fits no format: its tensors, the nearest layout, what differs."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from ganlab.interop import nvidia_tensorflow
from ganlab.interop.foreign import unwrapped
from ganlab.interop.persistent import CALL, attributes_of, tensors
from ganlab.storage.pickles import Record

SHOWN = 3  # names of a kind
LEVELS = 3  # of containers that are looked into
CRITICS = {  # a tensor that discriminators alone have -> whose
    "b4.out.weight": "NVIDIA's StyleGAN2 or StyleGAN3",
    "final_linear.1.weight": "rosinality's StyleGAN2",
    "input0.weight": "genforce's or Hammer's",
    "final_converter.weight": "BMSG-GAN's",
}
ALONE = "torch.save(model.state_dict(), 'weights.pt') where its code is makes what may be read"


def describe(
    content: object,
    layouts: Mapping[str, Sequence[str]],  # format -> names of tensors that it has
) -> str:
    """One line; of a file without tensors what there is instead."""
    networks = list(states(content))
    if not networks:
        kinds = sorted({each.name for each in objects(content)})
        if isinstance(content, Tensor):
            return "it is one tensor, without a name"
        return f"it holds no tensors{f' but objects of {kinds[0]}' if kinds else ''}"
    critics = {critic_of(each) for each in networks}
    if None not in critics:
        of = " and ".join(sorted(map(str, critics)))
        return (
            f"it holds a discriminator alone, {of}, which paints nothing: name its generator's file"
        )
    whole = next((each.name for each in objects(content) if is_module(each)), None)
    said = likeness(sorted({name for each in networks for name in each}), layouts)
    return said if whole is None else f"{said}; it is a network pickled whole, of {whole}: {ALONE}"


def critic_of(names: Collection[str]) -> str | None:
    """Whose discriminator has tensors of these names, if any has."""
    plain = {unwrapped(name) for name in names}
    return next((whose for name, whose in CRITICS.items() if name in plain), None)


def likeness(found: Sequence[str], layouts: Mapping[str, Sequence[str]]) -> str:
    """The first of some names of tensors, the nearest layout, and what differs from it."""
    forms = {form(name) for name in found}
    alike = {
        title: len(forms & {form(name) for name in names}) / len({form(name) for name in names})
        for title, names in layouts.items()
    }
    nearest = max(alike, key=lambda title: alike[title])
    known = {form(name) for name in layouts[nearest]}
    missing = [name for name in layouts[nearest] if form(name) not in forms]
    extra = [name for name in found if form(name) not in known]
    parts = [f"of its {len(found)} tensors the first are {name_list(found)}"]
    if alike[nearest] == 0:
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


def states(content: object, level: int = 0) -> Iterator[list[str]]:
    """Names of the tensors of each network inside, without those of the containers that hold it."""
    if level > LEVELS:
        return
    if isinstance(content, Record):
        inside = [*tensors(attributes_of(content)), *nvidia_tensorflow.names(content)]
        yield from [inside] if inside else []
    if isinstance(content, dict):
        own = [str(name) for name, value in content.items() if isinstance(value, Tensor)]
        yield from [own] if own else []
    for each in parts_of(content).values():
        yield from states(each, level + 1)


def parts_of(content: object) -> dict[Any, Any]:
    """What a container holds, by key or by place; nothing of what is none."""
    if isinstance(content, tuple | list):
        return dict(enumerate(content))
    return content if isinstance(content, dict) else {}


def places(content: object, level: int = LEVELS) -> Iterator[tuple[str, Any]]:
    """How Python names each part, of any depth, and the part."""
    for key, value in parts_of(content).items() if level else ():
        name = f"[{key!a:.60}]"
        yield name, value
        yield from ((f"{name}{inner}", part) for inner, part in places(value, level - 1))


def is_module(record: Record) -> bool:
    """Whether it was a network that was pickled whole."""
    return record.name != CALL and "_modules" in attributes_of(record)


def objects(content: object) -> Iterator[Record]:
    """Records at the top."""
    inside = [content, *parts_of(content).values()]
    return (each for each in inside if isinstance(each, Record))
