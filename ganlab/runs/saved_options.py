"""What a checkpoint may say of its continuation and of its evaluation; it is untrusted input.

It may repeat the choices and keys that make a run what it is. It names no file to compose, no place
to write, no address, no file of weights, no tracker, no device, and widens nothing that may be
built: all that comes from the command line of today.
"""

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import Any

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.errors import HydraException
from omegaconf import OmegaConf

from ganlab.arguments import (
    CONFIG_DIR,
    SEARCHED,
    WHOSE,
    key_of,
    parse_override,
    quote,
    split_flags,
    value_of,
)
from ganlab.cli import conf_dir
from ganlab.hydra_versions import BASE

Exists = Callable[[str, str], bool]  # whether a config group has an option

GROUPS = ("model", "data", "features", "metrics", "callbacks", "experiment")
KEYS = re.compile(
    r"(?:model|data|features|metrics|scores|callbacks)(?:\.[\w-]+)*|seed|kimg"
    r"|(?:log|sample|score|checkpoint|keep)_every_kimg|stop(?:\.[\w-]+)*|max_hours"
)
NAME = re.compile(r"\w[\w.+-]*(?:/\w[\w.+-]*)*")  # of an option: no folder above, no absolute path
# Keys that name a place to write, an address or a file, in whatever section they stand.
PLACES = re.compile(
    r"(?:.*\.)?(?:(?:\w+_)?(?:path|ckpt|dir|directory|folder|files?|cache|url|weights)"
    r"|grids|checkpoints|results|compare|images?|mask|object|held_out|levels_from|class_names)"
    r"|.*\.(?:compare|files)\..*"
)
READ = ("data.path", "data.ckpt", "data.labels")  # a run's own images: said before they are opened
NO_PLACES = ("data.images",)  # an array's key within its file
OURS = ("ganlab", "torch.nn", "torch.optim")  # `config.check` looks at these more closely
RANKS = ("SLURM_PROCID", "RANK", "LOCAL_RANK")
DEEPEST = 40  # levels of a recipe
LONGEST = 10_000  # characters of a word
SHOWN = 20  # words of a line
MOST = 1_000  # words of a command line


class UntrustedError(ValueError):
    """A checkpoint says what none may; the message says how to go on."""


def continue_words(words: Iterable[str], saved: Iterable[str]) -> list[str]:
    """Today's words with those a run was started with before them; today's take precedence.

    What a checkpoint may not choose is left out, and one line on stderr says so.

    Raises:
        UntrustedError: an option that neither our configs have nor today's search path.
    """
    saved = list(dict.fromkeys(saved))
    if len(saved) > MOST:
        raise UntrustedError(f"the checkpoint says {len(saved)} words of its run, above {MOST}")
    flags, today = split_flags(words)
    said, allowed = {key_of(word) for word in today}, value_of(today, "allow_targets") or []
    said |= {SEARCHED} if any(flag.startswith(CONFIG_DIR) for flag in flags) else set()
    earlier = [word for word in saved if key_of(word) not in said]
    with options([*flags, *today]) as exists:
        try:
            left = words_to_leave(earlier, exists, allowed)
        except UntrustedError as error:
            whose = [shell_text(word) for word in earlier if key_of(word) in WHOSE]
            more = f"; its own command line had {' '.join(whose)}" if whose else ""
            raise UntrustedError(f"{error}{more}") from error
    kept = [word for word in earlier if word not in left]
    say_left(left)
    for word in kept:
        say_read(key_of(word), parse_override(word).value())
    return [*flags, *kept, *today]


@contextmanager
def options(words: Sequence[str]) -> Iterator[Exists]:
    """Which options there are: ours, and those of the search path that these words give."""
    flags, overrides = split_flags(words)
    more = [str(each) for each in value_of(overrides, SEARCHED) or []]
    for flag, value in zip_longest(flags, flags[1:], fillvalue=""):
        name, sign, attached = flag.partition("=")
        if name in CONFIG_DIR:
            more.append(f"file://{Path(attached if sign else value).absolute()}")
    word = f"{SEARCHED}=[{','.join(map(quote, more))}]"

    def exists(group: str, name: str) -> bool:
        place = PurePosixPath(group, name.removesuffix(".yaml"))
        found = loader.get_group_options(str(place.parent), ObjectType.CONFIG, "train", [word])
        return place.name in found

    with initialize_config_dir(str(conf_dir()), **BASE):
        loader = GlobalHydra.instance().config_loader()
        yield exists


def may_stay(word: str, exists: Exists, allowed: Sequence[str]) -> bool:
    """Whether a remembered word is one that shapes the run and names nothing outside of it.

    Raises:
        UntrustedError: it chooses an option that does not exist.
    """
    try:
        override = parse_override(word[:LONGEST])
    except (HydraException, RecursionError, ValueError):  # a number of more digits than are read
        return False
    if len(word) > LONGEST or override.is_sweep_override() or override.package is not None:
        return False
    key, value = override.key_or_group, override.value()
    if key in GROUPS or "/" in key:
        return may_choose(key, value, exists)
    return bool(KEYS.fullmatch(key)) and is_harmless(key, value, allowed)


def words_to_leave(words: Sequence[str], exists: Exists, allowed: Sequence[str]) -> list[str]:
    """Those of a run's words that its checkpoint may not choose.

    Raises:
        UntrustedError: see `may_stay`.
    """
    left = [word for word in words if not may_stay(word, exists, allowed)]
    parts = (key_of(word).removesuffix("_target_") for word in left)
    untold = tuple(part for part in parts if part.endswith("."))  # settings of no known target
    return [word for word in words if word in left or key_of(word).startswith(untold)]


def words_to_repeat(words: Sequence[str]) -> list[str]:
    """Words of this run that are to be said again when it goes on from its checkpoint."""
    allowed = value_of(words, "allow_targets") or []
    named = [word for word in words if is_named(word)]
    files = [word for word in words if word not in named]
    return [*words_to_leave(named, lambda *_: True, allowed), *files]


def is_named(word: str) -> bool:
    """Whether a word may be judged at all: an option that is no name is the user's own file."""
    try:
        may_stay(word, lambda *_: True, [])
    except UntrustedError:
        return False
    return True


def may_choose(group: str, value: object, exists: Exists) -> bool:
    """Whether options of a group may be remembered.

    Raises:
        UntrustedError: there is no such option.
    """
    if group.partition("/")[0] not in GROUPS:
        return False
    for name in value if isinstance(value, list) else [value]:
        known = NAME.fullmatch(group) and NAME.fullmatch(str(name)) and exists(group, str(name))
        if name is not None and not known:
            raise UntrustedError(
                f"the checkpoint's run was started with {shell_text(f'{group}={value}')}, "
                "which names no option of ganlab's configs nor of a search path on this command "
                "line: give --config-dir=<folder> again if it is yours, or say another "
                f"{shell_text(group)}="
            )
    return True


def is_harmless(key: str, value: object, allowed: Sequence[str] = ()) -> bool:
    """Whether a value is plain, and neither a place nor a target outside of ours and `allowed`."""
    if isinstance(value, dict):
        return all(is_harmless(f"{key}.{part}", each, allowed) for part, each in value.items())
    if isinstance(value, list):
        return all(is_harmless(key, each, allowed) for each in value)
    if "_args_" in key.split(".") or "${" in key or (isinstance(value, str) and "${" in value):
        return False
    if key.endswith("._target_"):
        return isinstance(value, str) and f"{value}.".startswith(packages(allowed))
    return key in READ or not is_place(key, value)


def packages(allowed: Sequence[str]) -> tuple[str, ...]:
    """How the targets that may be named begin."""
    return tuple(f"{package}." for package in (*OURS, *allowed))


def is_place(key: str, value: object) -> bool:
    """Whether a setting names a place to write, an address or a file."""
    return isinstance(value, str) and key not in NO_PLACES and bool(PLACES.fullmatch(key))


def plain_part(node: object, path: str = "recipe", depth: int = 0) -> Any:
    """A part of a recipe, once it is known to hold text and numbers alone.

    Raises:
        UntrustedError: names what else it holds.
    """
    if depth > DEEPEST:
        raise UntrustedError(f"the checkpoint's {path[:60]}... is nested too deeply to be a recipe")
    if isinstance(node, dict):
        if "_args_" in node:
            raise UntrustedError(f"the checkpoint's {path} has _args_; parameters have names")
        return {key: plain_part(each, f"{path}.{key}", depth + 1) for key, each in node.items()}
    if isinstance(node, list | tuple):
        return [plain_part(each, path, depth + 1) for each in node]
    if not isinstance(node, str | int | float | None):
        raise UntrustedError(f"the checkpoint's {path} is neither text nor a number")
    if isinstance(node, str) and ("${" in node or node == "???"):
        raise UntrustedError(f"the checkpoint's {path} is {node!a}: a recipe's values are resolved")
    return node


def without_places(node: Any, path: str) -> tuple[Any, dict[str, str]]:
    """A section of a recipe with null for every place in it, and those by their dotted keys.

    A run's own images are no such places.
    """
    if isinstance(node, dict):
        parts = {key: without_places(each, f"{path}.{key}") for key, each in node.items()}
        found = {place: value for _, left in parts.values() for place, value in left.items()}
        return {key: part for key, (part, _) in parts.items()}, found
    if isinstance(node, list):
        items = [without_places(each, path) for each in node]
        return [part for part, _ in items], {k: v for _, left in items for k, v in left.items()}
    return (None, {path: node}) if path not in READ and is_place(path, node) else (node, {})


def with_places(node: object, section: str, given: object) -> Any:
    """A section of a checkpoint's recipe with what this command line gives for it.

    Raises:
        UntrustedError: it is no plain data, or names a file that the command line does not.
    """
    shown, places = without_places(plain_part(node, section), section)
    said = dict(leaves(given, section))
    if missing := [f"{key}={quote(value)}" for key, value in places.items() if key not in said]:
        raise UntrustedError(
            f"the checkpoint's run was started with {' '.join(map(shell_text, missing))}, and no "
            "checkpoint may choose that: repeat it, or give another"
        )
    return OmegaConf.to_container(OmegaConf.merge(shown, given)) if said else shown


def refuse_all_but_places(given: object, section: str) -> None:
    """Refuse to change a section that is the checkpoint's own; the files in it may be named.

    Raises:
        UntrustedError: names the first key that is none of a file.
    """
    for key, _ in leaves(given, section):
        if not PLACES.fullmatch(key):
            raise UntrustedError(
                f"{key}: the {section} is the checkpoint's; only its files may be named"
            )


def leaves(node: object, path: str) -> Iterator[tuple[str, Any]]:
    """Dotted keys of nested mappings with their values."""
    if isinstance(node, dict):
        for key, each in node.items():
            yield from leaves(each, f"{path}.{key}")
    else:
        yield path, node


def records_of(node: object) -> dict[str, Any]:
    """What a checkpoint records in names and numbers; anything else is ignored."""
    known = node.items() if isinstance(node, dict) else ()
    return {str(key): each for key, each in known if isinstance(each, str | int)}


def additions(node: Any) -> dict[str, Any] | None:
    """What a command line adds to a section of the checkpoint's; None where it chose another."""
    if node is not None and "_target_" in node:
        return None
    plain_node: Any = OmegaConf.to_container(node) if node is not None else {}
    return dict(plain_node)


def say_left(words: Sequence[str]) -> None:
    """Say in one line what is not taken from a checkpoint, in words to repeat."""
    if words:
        more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
        say(
            "note: a checkpoint may not choose these words of its run, so they do not hold now; "
            f"repeat those you want: {' '.join(map(shell_text, words[:SHOWN]))}{more}"
        )


def say_read(key: str, value: object) -> None:
    """Say which images a checkpoint names, before they are opened."""
    if key in READ and isinstance(value, str):
        say(f"note: {shell_text(f'{key}={value}')} is the checkpoint's choice")


def say(line: str) -> None:
    """One line on stderr, of the first of several processes."""
    if all((os.environ.get(name) or "0") == "0" for name in RANKS):
        print(line, file=sys.stderr)


def shell_text(word: str) -> str:
    """A word to be pasted into a shell; what a terminal could take for commands is escaped."""
    shown = word if len(word) <= 300 else f"{word[:300]}..."
    return shlex.quote(shown) if shown.isprintable() else ascii(shown)
