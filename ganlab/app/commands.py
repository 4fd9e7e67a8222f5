"""The line of `evaluate.py` that makes what a view shows."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from ganlab.arguments import PLAIN, quote

Value = str | int | float | Path | Sequence["Value"] | Mapping[str, "Value"] | None


def command(ckpt: str, study: str, options: Mapping[str, Value]) -> str:
    """`python evaluate.py ckpt=... study=...`, ready for a shell; options of None are left out."""
    words = [f"ckpt={ckpt}", f"study={study}"]
    for key, value in options.items():
        if value is not None:
            words.append(f"{'' if key == 'seed' else 'study.'}{key}={text_of(value)}")
    return shlex.join(["python", "evaluate.py", *words])


def text_of(value: Value) -> str:
    """A value as Hydra's grammar takes it."""
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{text_of(each)}' for key, each in value.items())}}}"
    if isinstance(value, str | Path):
        return str(value) if PLAIN.fullmatch(str(value)) else quote(str(value))
    if isinstance(value, Sequence):
        return f"[{','.join(map(text_of, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def addresses_text(indices: Sequence[int]) -> str | Sequence[int]:
    """Addresses in a row as a range, `0:24`, others as they are."""
    first, last = indices[0], indices[-1]
    return f"{first}:{last + 1}" if list(indices) == list(range(first, last + 1)) else list(indices)
