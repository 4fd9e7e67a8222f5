"""What the names in a pickle become: tensors, arrays, containers, and records of all else.

Of the names of Python, torch and NumPy those listed here are known, all others refused; a class of
anybody else becomes a `Record`, which is data. Element counts, offsets and strides are compared
with the bytes that are there before a tensor or an array is made.
"""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganlab.storage.pickles import Budget, Global, Record, RefusedPickle, key
from ganlab.storage.regular import DamagedFile

TYPES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
}
STORAGES = {  # those of a GPU are read as the CPU's
    f"{module}.{name}Storage": dtype
    for name, dtype in TYPES.items()
    for module in ("torch", "torch.cuda")
}
NUMBERS = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}
RESERVED = {*sys.stdlib_module_names, "__builtin__", "copy_reg", "torch", "numpy"}
DICTS = ("collections.OrderedDict", "dnnlib.util.EasyDict", "dnnlib.EasyDict")
MODULES = "torch.nn.modules."  # of networks that were pickled whole
RECORDS = {
    *("argparse.Namespace", "builtins.object", "__builtin__.object", "numpy.ndarray"),
    *(str(dtype) for dtype in TYPES.values()),
}
DIMENSIONS = 16


@dataclass
class Storage:
    """Numbers of one type in a row."""

    dtype: torch.dtype
    size: int  # elements
    data: bytearray | memoryview | None  # None while a file is only asked which storages it has


@dataclass
class NumberType:
    """NumPy's type of numbers; the byte order comes after it."""

    code: str
    order: str = "="

    @property
    def dtype(self) -> "np.dtype[Any]":
        """As NumPy has it."""
        return np.dtype(self.code if self.order == "|" else f"{self.order}{self.code}")


class Values:
    """Makes plain values of what a pickle names and stores.

    Its methods raise RefusedPickle at a name that is not known, or is called otherwise than in
    files of tensors, and DamagedFile at shapes that do not fit the bytes.
    """

    def __init__(
        self,
        budget: Budget,
        stored: Callable[[str, torch.dtype, int], bytearray | memoryview | None]
        | None = None,  # by key
        inner: Callable[[memoryview], Any] | None = None,  # reads the pickles within this one
    ) -> None:
        self.budget, self.look_up, self.inner = budget, stored, inner
        self.storages: dict[str, Storage] = {}
        self.calls: Mapping[str, Callable[..., Any]] = {
            "torch._utils._rebuild_tensor": self.tensor,
            "torch._utils._rebuild_tensor_v2": self.tensor,
            "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
            "torch.storage._load_from_bytes": self.nested,
            "torch.Size": shape,
            "torch.device": lambda *_: "cpu",
            "numpy.dtype": number_type,
            "numpy.core.multiarray._reconstruct": empty_array,
            "numpy._core.multiarray._reconstruct": empty_array,
            "numpy.core.multiarray.scalar": self.scalar,
            "numpy._core.multiarray.scalar": self.scalar,
            "numpy.core.numeric._frombuffer": self.array,
            "numpy._core.numeric._frombuffer": self.array,
            "_codecs.encode": self.encode,
            "builtins.set": self.set_of,
            "__builtin__.set": self.set_of,
            "copyreg._reconstructor": lambda cls, *_: Record(cls.name),
            "copy_reg._reconstructor": lambda cls, *_: Record(cls.name),
            **dict.fromkeys(DICTS, self.dict_of),
        }

    def name(self, module: str, attribute: str) -> Global:
        """A name that may stand in a pickle."""
        whole = f"{module}.{attribute}"
        if not all(part.isidentifier() for part in whole.split(".")):
            raise RefusedPickle(f"it names {whole!a:.80}, which is no class")
        known = whole in self.calls or whole in STORAGES or whole in RECORDS
        if not known and not whole.startswith(MODULES) and module.split(".")[0] in RESERVED:
            raise RefusedPickle(f"it names {whole:.80}, which no file of weights needs")
        return Global(whole)

    def call(self, what: Global, arguments: Sequence[Any]) -> Any:
        """A value where what is known is called, otherwise the record of an object."""
        make = self.calls.get(what.name)
        return Record(what.name, tuple(arguments)) if make is None else make(*arguments)

    def fill(self, value: Any, state: Any) -> None:
        """State of a record or an array; attributes of a dict are no content."""
        if isinstance(value, Record):
            value.state = state
        elif isinstance(value, NumberType):
            value.order = state[1]
        elif isinstance(value, np.ndarray):
            self.fill_array(value, state)
        elif not isinstance(value, dict | Tensor):
            raise RefusedPickle(f"it gives a state to {type(value).__name__}")

    def stored(self, identity: Any) -> Storage:
        """The storage beside the pickle: ("storage", type, key, device, elements, ...)."""
        if self.look_up is None:
            raise RefusedPickle("its pickle refers to something outside of it")
        kind, what, name, _, size, *view = identity
        dtype = STORAGES.get(what.name) if isinstance(what, Global) else None
        if kind != "storage" or dtype is None or not isinstance(name, str) or any(view):
            raise RefusedPickle("its pickle refers to something else than numbers of a usual type")
        if name not in self.storages:
            check_counts([size])
            self.storages[name] = Storage(dtype, size, self.look_up(name, dtype, size))
        if self.storages[name].dtype != dtype:
            raise DamagedFile(f"its storage {name} is of two types")
        return self.storages[name]

    def tensor(
        self, storage: Storage, offset: int, size: Sequence[int], stride: Sequence[int], *_: Any
    ) -> Tensor | None:
        """A view of a storage, no larger than it; None while there is nothing in it."""
        if not isinstance(storage, Storage):
            raise DamagedFile("a tensor in it has no storage")
        check_counts([offset, *size, *stride])
        number = math.prod(size)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if number > storage.size or (number and last >= storage.size):
            raise DamagedFile(f"a tensor in it of shape {list(size)} has fewer numbers")
        if storage.data is None:
            return None
        self.budget.take(number * storage.dtype.itemsize)
        if not number:
            return torch.empty(tuple(size), dtype=storage.dtype)
        whole = torch.frombuffer(storage.data, dtype=storage.dtype)
        return whole.as_strided(tuple(size), tuple(stride), offset)

    def nested(self, content: bytes | memoryview) -> Any:
        """A storage in a pickle of its own, within this one."""
        if self.inner is None or not isinstance(content, bytes | memoryview):
            raise RefusedPickle("its pickles stand within each other more than once")
        self.budget.take(len(content))
        if isinstance(content, bytes):  # which nothing may write to
            return self.inner(memoryview(bytearray(content)))
        return self.inner(content)

    def array(self, content: bytes, kind: NumberType, shape: Sequence[int], order: str) -> Any:
        """An array as protocol 5 writes it."""
        made = empty_array()
        self.fill_array(made, (1, shape, kind, order == "F", bytes(content)))
        return made

    def fill_array(self, array: Any, state: Any) -> None:
        """NumPy's (version, shape, type, order, bytes) for an array made empty."""
        _, shape, kind, fortran, content = state
        check_counts(shape)
        raw = content.encode("latin1") if isinstance(content, str) else content  # of Python 2
        raw = bytes(raw) if isinstance(raw, memoryview) else raw
        if not isinstance(raw, bytes) or not isinstance(kind, NumberType):
            raise RefusedPickle("an array in it is of objects, not of numbers")
        if len(raw) != math.prod(shape) * kind.dtype.itemsize:
            raise DamagedFile(f"an array in it of shape {list(shape)} has {len(raw):,} bytes")
        self.budget.take(len(raw))
        array.__setstate__((1, tuple(shape), kind.dtype, bool(fortran), raw))

    def scalar(self, kind: NumberType, content: bytes | str) -> Any:
        """NumPy's single number as Python's."""
        raw = content.encode("latin1") if isinstance(content, str) else content
        return np.frombuffer(raw, kind.dtype, 1)[0].item()

    def encode(self, text: str, encoding: str) -> bytes:
        """Bytes that protocol 2 wrote as text."""
        if encoding != "latin1":
            raise RefusedPickle(f"it encodes a text as {encoding!a:.20}")
        self.budget.take(len(text))
        return text.encode("latin1")

    def set_of(self, values: Sequence[Any] = ()) -> set[Any]:
        """A set of keys."""
        self.budget.step(len(values))
        return set(map(key, values))

    def dict_of(self, pairs: Sequence[Any] = ()) -> dict[Any, Any]:
        """A dict of pairs, as Python 2 wrote ordered ones, or an empty one."""
        self.budget.step(len(pairs))
        return {key(name): value for name, value in pairs}


def empty_array(*_: object) -> Any:
    """An array that gets its content later."""
    return np.empty(0, np.uint8)


def number_type(code: str, *_: object) -> NumberType:
    """A type of numbers; one of objects, texts or fields is refused."""
    if code not in NUMBERS:
        raise RefusedPickle(f"an array in it is of {code!a:.20}, not of numbers")
    return NumberType(code)


def shape(sides: Sequence[Any] = ()) -> tuple[int, ...]:
    """A tensor's shape."""
    check_counts(sides)
    return tuple(sides)


def check_counts(counts: Sequence[Any]) -> None:
    """Refuse counts that are none.

    Raises:
        DamagedFile: not a few whole numbers from 0 on.
    """
    if not isinstance(counts, list | tuple) or len(counts) > 2 * DIMENSIONS + 1:
        raise DamagedFile("a shape in it is none")
    if any(type(count) is not int or not 0 <= count < 2**48 for count in counts):
        raise DamagedFile("a shape in it is none")
