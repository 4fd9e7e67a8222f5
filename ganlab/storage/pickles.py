"""Pickles of strangers read as data: a stack machine that can build nothing but plain values.

Python's own unpickler calls whatever a file names. This one knows the instructions of protocols 2
to 5 and leaves to `storage.rebuilding` what a name may become: a tensor, an array, a container, or
a `Record` in the place of an object. Lengths are compared with what is left of the file before
anything is read, and work and memory with its size.
"""

import pickletools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol, cast

from ganlab.storage.bounded import Bounded
from ganlab.storage.regular import DamagedFile

STEPS = 500_000  # instructions of a pickle; a network of 1024 px with its training has 100,000
TEXT = 2**24  # bytes of one text; the sources that NVIDIA's files carry have 40,000
LARGE = 2**16  # bytes from which on there is one copy of them
INTEGER = 255  # bytes of a whole number
DEEPEST = 100  # containers within each other
LARGEST = 2_000_000  # values, those of shared containers counted at every place they stand
SPARE = 2**20  # bytes that a small file may ask for beyond its size
TIMES = 4  # how often the bytes of a file may be made into values

_CODES: dict[bytes, tuple[str, Callable[[BinaryIO], Any] | None]] = {
    each.code.encode("latin1"): (each.name, each.arg.reader if each.arg else None)
    for each in pickletools.opcodes
}
_WATCHED = {"FRAME", "LONG_BINPUT", "LONG1", "LONG4"}
_TEXTS = {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
_ARGUMENTS = {
    *_TEXTS,
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINSTRING"),
    *("SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_BYTES = {"BINBYTES": 4, "BINBYTES8": 8}  # bytes of their length


class RefusedPickle(ValueError):  # noqa: N818 - the name states the finding
    """A pickle that asks for more than plain values; nothing of it was run."""


@dataclass(frozen=True)
class Global:
    """A name that a pickle uses; nothing is imported for it."""

    name: str  # `module.attribute`


@dataclass
class Record:
    """What stands in the place of an object: its class by name, and what it was to be made of."""

    name: str
    arguments: tuple[Any, ...] = ()
    state: object = None
    items: list[Any] = field(default_factory=list)  # of a class of lists
    entries: dict[Any, Any] = field(default_factory=dict)  # of a class of dicts


class Rebuilding(Protocol):
    """What names and stored bytes become; `storage.rebuilding` has the rules."""

    def name(self, module: str, attribute: str) -> Global:
        """The name, or a RefusedPickle."""
        ...

    def call(self, what: Global, arguments: Sequence[Any]) -> Any:
        """The value instead of a call."""
        ...

    def fill(self, value: object, state: object) -> None:
        """Give a value its state."""
        ...

    def stored(self, identity: object) -> Any:
        """What lies outside of the pickle."""
        ...


@dataclass
class Budget:
    """What reading one file may cost, pickles within its pickles included."""

    bytes: int
    steps: int = STEPS

    @classmethod
    def of(cls, size: int) -> "Budget":
        """For a file of so many bytes."""
        return cls(TIMES * size + SPARE)

    def step(self, number: int = 1) -> None:
        """Count instructions, or elements that one of them copies."""
        self.steps -= number
        if self.steps < 0:
            raise RefusedPickle(f"its pickle has more than {STEPS:,} instructions")

    def take(self, number: int) -> None:
        """Count bytes before they are made into values."""
        self.bytes -= number
        if self.bytes < 0:
            raise RefusedPickle("its values would take far more memory than the file has bytes")


class Machine:
    """Runs one pickle from the file's position to its end, and leaves the file there."""

    def __init__(self, file: Bounded, rebuild: Rebuilding, budget: Budget) -> None:
        self.file, self.rebuild, self.budget = file, rebuild, budget
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []  # stacks below the marks
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The value of the pickle.

        Raises:
            RefusedPickle: it asks for more than plain values or for too much of them.
            DamagedFile: it is cut short, or no pickle.
        """
        with sound():
            for name, argument in self.instructions():
                self.perform(name, argument)
            (value,) = self.stack
            if isinstance(value, dict | list | tuple | Record):
                refuse_large(value)
        return value

    def instructions(self) -> Iterator[tuple[str, Any]]:
        """Names of instructions with their arguments, up to the end of the pickle."""
        size, file, left = self.file.left, cast(BinaryIO, self.file), self.budget
        while True:
            left.step()
            name, reader = _CODES[self.file.read(1)]
            self.file.longest = TEXT if name in _TEXTS else self.file.left
            argument: Any = None
            if name in _BYTES:
                argument = self.numbers(int.from_bytes(self.file.read(_BYTES[name]), "little"))
            elif reader is not None:
                argument = reader(file)
            if name in _WATCHED:
                check_argument(name, argument, size, self.file.left)
            if name == "STOP":
                return
            yield name, argument

    def numbers(self, size: int) -> bytes | memoryview:
        """Bytes of a pickle: many of them, which are a network's, in memory that is not copied."""
        return self.file.read(size) if size < LARGE else self.file.view(size)

    def perform(self, name: str, argument: Any) -> None:
        """One instruction.

        Raises:
            RefusedPickle: one that no file of tensors has.
        """
        operation = OPERATIONS.get(name)
        if operation is None:
            raise RefusedPickle(f"its pickle has the instruction {name}, which is not carried out")
        operation(self, argument)

    def since_mark(self) -> list[Any]:
        """The values above the last mark, taken from the stack."""
        values, self.stack = self.stack, self.marked.pop()
        return values

    def mark(self, _: None) -> None:
        """Begin a stack on top of this one."""
        self.marked.append(self.stack)
        self.stack = []

    def put(self, index: int | None) -> None:
        """Keep the top under a number."""
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def named(self, line: str) -> None:
        """A name of one line, `module attribute`."""
        module, attribute = line.split(" ")
        self.stack.append(self.rebuild.name(module, attribute))

    def named_by_texts(self, _: None) -> None:
        """A name whose parts are on the stack."""
        attribute, module = self.stack.pop(), self.stack.pop()
        if type(module) is not str or type(attribute) is not str:
            raise DamagedFile("a name in its pickle is no text")
        self.stack.append(self.rebuild.name(module, attribute))

    def call(self, _: None) -> None:
        """What stands in the place of a call, or of a new object."""
        arguments, what = self.stack.pop(), self.stack.pop()
        if not isinstance(what, Global) or not isinstance(arguments, tuple):
            raise RefusedPickle("its pickle calls something else than a name")
        self.stack.append(self.rebuild.call(what, arguments))

    def call_with_keywords(self, _: None) -> None:
        """A new object with keywords as well."""
        keywords = self.stack.pop()
        arguments, what = self.stack.pop(), self.stack.pop()
        if not isinstance(what, Global):
            raise RefusedPickle("its pickle calls something else than a name")
        self.stack.append(self.rebuild.call(what, (*arguments, keywords)))

    def append(self, values: list[Any]) -> None:
        """Values to the list below them."""
        target = self.stack[-1]
        if not isinstance(target, list | Record):
            raise DamagedFile("its pickle adds values to what is no list")
        (target.items if isinstance(target, Record) else target).extend(values)

    def update(self, values: list[Any]) -> None:
        """Keys and values to the dict below them."""
        target = self.stack[-1]
        if not isinstance(target, dict | Record):
            raise DamagedFile("its pickle adds keys to what is no dict")
        found = target.entries if isinstance(target, Record) else target
        found.update(zip(map(key, values[::2]), values[1::2], strict=True))

    def add(self, values: list[Any]) -> None:
        """Values to the set below them."""
        target = self.stack[-1]
        if not isinstance(target, set):
            raise DamagedFile("its pickle adds values to what is no set")
        target.update(map(key, values))

    def popped(self, number: int) -> list[Any]:
        """The top values in the order in which they came."""
        return [self.stack.pop() for _ in range(number)][::-1]


def check_argument(name: str, argument: int, size: int, left: int) -> None:
    """Refuse numbers that ask for more than there is.

    Raises:
        DamagedFile: a frame past the end, a place in a memo past the size, thousands of digits.
    """
    if name == "FRAME" and argument > left:
        raise DamagedFile(f"a frame of {argument:,} bytes begins near its end")
    if name == "LONG_BINPUT" and argument > size:
        raise DamagedFile(f"it numbers a value {argument:,}, and has {size:,} bytes")
    if name in ("LONG1", "LONG4") and argument.bit_length() > 8 * INTEGER:
        raise DamagedFile("a whole number in it has thousands of digits")


Operation = Callable[[Machine, Any], None]


def key(value: object) -> Any:
    """A key, which is hashed in no time.

    Raises:
        RefusedPickle: an object, or a tuple, whose hash could take for ever.
    """
    if not isinstance(value, str | int | float | None) or (
        isinstance(value, int) and abs(value) > sys.maxsize >> 2  # many larger ones have one hash
    ):
        raise RefusedPickle("a key in it is neither text nor a number of usual size")
    return value


def _pop(machine: Machine, _: None) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.since_mark()


def _drop(machine: Machine, _: None) -> None:
    machine.since_mark()


def _list(machine: Machine, _: None) -> None:
    values = machine.since_mark()
    machine.stack.append(values)


def _tuple(machine: Machine, _: None) -> None:
    values = tuple(machine.since_mark())
    machine.stack.append(values)


def _dict(machine: Machine, _: None) -> None:
    values = machine.since_mark()
    machine.stack.append({})
    machine.update(values)


def _tuple_of(number: int) -> Operation:
    def make(machine: Machine, _: None) -> None:
        machine.stack.append(tuple(machine.popped(number)))

    return make


def _constant(value: object) -> Operation:
    return lambda machine, _: machine.stack.append(value)


def _new(kind: Callable[[], Any]) -> Operation:
    return lambda machine, _: machine.stack.append(kind())


def _fill(machine: Machine, _: None) -> None:
    state = machine.stack.pop()
    machine.rebuild.fill(machine.stack[-1], state)


OPERATIONS: dict[str, Operation] = {
    **dict.fromkeys(("PROTO", "FRAME"), lambda machine, _: None),
    **dict.fromkeys(_ARGUMENTS, lambda machine, value: machine.stack.append(value)),
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    **{f"EMPTY_{kind.__name__.upper()}": _new(kind) for kind in (list, dict, tuple, set)},
    **{f"TUPLE{number}": _tuple_of(number) for number in (1, 2, 3)},
    "MARK": Machine.mark,
    "POP": _pop,
    "POP_MARK": _drop,
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "BINPUT": Machine.put,
    "LONG_BINPUT": Machine.put,
    "MEMOIZE": Machine.put,
    "BINGET": lambda machine, index: machine.stack.append(machine.memo[index]),
    "LONG_BINGET": lambda machine, index: machine.stack.append(machine.memo[index]),
    "LIST": _list,
    "TUPLE": _tuple,
    "DICT": _dict,
    "APPEND": lambda machine, _: machine.append(machine.popped(1)),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.update(machine.popped(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.since_mark()),
    "ADDITEMS": lambda machine, _: machine.add(machine.since_mark()),
    "GLOBAL": Machine.named,
    "STACK_GLOBAL": Machine.named_by_texts,
    "REDUCE": Machine.call,
    "NEWOBJ": Machine.call,
    "NEWOBJ_EX": Machine.call_with_keywords,
    "BUILD": _fill,
    "BINPERSID": lambda machine, _: machine.stack.append(
        machine.rebuild.stored(machine.stack.pop())
    ),
}


@contextmanager
def sound() -> Iterator[None]:
    """Whatever damaged bytes lead to is one finding."""
    try:
        yield
    except (RefusedPickle, DamagedFile):
        raise
    except Exception as error:
        raise DamagedFile(f"its pickle is damaged or none ({type(error).__name__})") from error


def parts(value: object) -> list[Any]:
    """The values that a value holds."""
    match value:
        case dict():
            return list(value.values())
        case list() | tuple():
            return list(value)
        case Record():
            return [value.arguments, value.state, value.items, value.entries]
    return []


def refuse_large(value: object) -> None:
    """Refuse what a walk through it would not come to the end of.

    Raises:
        RefusedPickle: it holds itself, is nested too deeply, or is large by sharing its parts.
    """
    sizes: dict[int, tuple[int, int]] = {}  # of containers that are done: values, depth
    open_: set[int] = set()
    waiting = [value]
    while waiting:
        node = waiting[-1]
        inner = [each for each in parts(node) if isinstance(each, dict | list | tuple | Record)]
        if id(node) in sizes:
            waiting.pop()
        elif id(node) in open_:
            done = [sizes[id(each)] for each in inner]
            number = len(parts(node)) + sum(size for size, _ in done)
            depth = 1 + max((deep for _, deep in done), default=0)
            if number > LARGEST or depth > DEEPEST:
                raise RefusedPickle("what it holds is nested too deeply, or without end")
            sizes[id(node)] = number, depth
            open_.remove(id(node))
        else:
            open_.add(id(node))
            if any(id(each) in open_ for each in inner):
                raise RefusedPickle("something in it holds itself")
            waiting += [each for each in inner if id(each) not in sizes]
