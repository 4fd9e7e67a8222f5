"""Which latents a study works on, as its options say it: a list, a range, or a file."""

from collections.abc import Sequence
from pathlib import Path

from ganlab.checks.places import file_named

LARGEST = 2**63 - 1  # address; files of numbers hold no larger one
MOST = 10_000_000  # addresses at once

ARRAYS = (".npy", ".npz")  # what files of latents themselves are called

Latents = int | Sequence[int] | str | None  # addresses, "0:1300", or a file


def addresses(latents: int | Sequence[int] | str, key: str = "study.latents") -> list[int]:
    """The addresses a list, a range `start:stop[:step]` or a text file of numbers stands for.

    Raises:
        FileNotFoundError: a text that is neither a range nor a file.
        ValueError: no address, one below 0, one that is named twice, or a file of something else.
    """
    found: list[int]
    if isinstance(latents, int):
        found = [latents]
    elif isinstance(latents, str):
        found = _from_range(latents, key) or _from_file(latents, key)
    else:
        found = [int(index) for index in latents]
    if len(set(found)) < len(found):
        raise ValueError(f"{key} needs latent indices from 0, each once, got {_short(latents)}")
    return check_addresses(found, key)


def check_addresses(found: list[int], key: str) -> list[int]:
    """The addresses themselves.

    Raises:
        ValueError: none, one that is no address, or more than `MOST`.
    """
    if not found or min(found) < 0 or max(found) > LARGEST:
        raise ValueError(f"{key} needs latent indices from 0 to 2^63 - 1, got {_short(found)}")
    if len(found) > MOST:
        raise ValueError(f"{key} names {len(found):,} latents, at most {MOST:,} go at once")
    return found


def _short(latents: object) -> str:
    text = str(latents)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _from_range(text: str, key: str) -> list[int]:
    """`start:stop[:step]`; nothing where the text is no range."""
    parts = text.split(":")
    if len(parts) not in (2, 3) or not all(part.strip().isdecimal() for part in parts):
        return []
    start, stop, step = (*map(int, parts), 1)[:3]
    if step == 0 or stop <= start:
        raise ValueError(f"{key}={text} is an empty range; 0:1300 are the first 1,300 latents")
    num = (stop - start - 1) // step + 1
    if num > MOST:  # before they fill the memory
        raise ValueError(f"{key}={text} names {num:,} latents, at most {MOST:,} go at once")
    return list(range(start, stop, step))


def _from_file(named: str, key: str) -> list[int]:
    takes = "give a list such as [3,17], a range such as 0:1300, or a file of indices"
    if Path(named).suffix in ARRAYS:
        raise ValueError(
            f"{key}={named} names an array of latents or styles, and this needs indices, from "
            f"which latents are drawn again: {takes}"
        )
    path = file_named(named, key, takes)
    words = path.read_text(encoding="utf-8", errors="replace").replace(",", " ").split()
    if not all(word.isdecimal() for word in words):
        raise ValueError(f"{key}={path} is no file of latent indices separated by spaces or lines")
    return [int(word) for word in words]
