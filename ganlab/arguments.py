"""Command-line words before Hydra reads them: flags, paths, nulls, and what a value is."""

import re
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

WORD = re.compile(r"([+~]*[\w./@]+)=(.+)", re.DOTALL)
PATH_KEY = re.compile(r".*(?:path|ckpt|dir|directory|file|weights)|fake|init|study\.held_out")
PATH_STARTS = ("~/", "/", "./", "../")
PLAIN = re.compile(r"[\w./:+\-@%]*", re.ASCII)  # what Hydra's grammar takes without quotes
VALUED = {  # Hydra's flags that take the next word
    *("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn"),
    *("--package", "-p", "--cfg", "-c", "--experimental-rerun"),
}
PORT = "--port"  # and the explorer's
CONFIG_DIR = ("--config-dir", "-cd")  # a user's own configs; so does
SEARCHED = "hydra.searchpath"
WHOSE = ("allow_targets", SEARCHED)  # whose parts and configs there are besides ours
INFO = ("--info", "-i")  # takes the next word if that is one of
INFOS = ("all", "aliases", "config", "defaults", "defaults-tree", "plugins", "searchpath")


def key_of(word: str) -> str:
    """`+model.generator.width=8` -> `model.generator.width`."""
    return word.lstrip("+~").split("=")[0]


def parse_override(word: str) -> Override:
    """An override as Hydra reads it.

    Raises:
        hydra.errors.HydraException: it is none.
    """
    return OverridesParser.create().parse_override(word)


def value_of(words: Iterable[str], key: str) -> Any:
    """What the words set a key to: text, a number, a list, or None where none does; the last one.

    Raises:
        ValueError: several values, as of a sweep, or what Hydra's grammar does not take.
    """
    said = [word for word in words if key_of(word) == key and "=" in word]
    if not said:
        return None
    try:
        override = parse_override(said[-1])
    except HydraException as error:
        way = f"put its value in apostrophes, as in \"{key}='...'\""
        raise ValueError(f"{said[-1]} cannot be read ({error}): {way}") from None
    if override.is_sweep_override():
        raise ValueError(f"{said[-1]}: one {key} at a time")
    return override.value()


def checkpoint_of(words: Iterable[str]) -> str | None:
    """The file that `ckpt=` names, if any.

    Raises:
        ValueError: several of them.
    """
    ckpt = value_of(words, "ckpt")
    return None if ckpt is None else str(ckpt)


def quote(text: str) -> str:
    """Text as Hydra's grammar takes it, in apostrophes."""
    return QuotedString(text, Quote.single).with_quotes()


def split_flags(words: Iterable[str]) -> tuple[list[str], list[str]]:
    """Hydra's flags with what they take, and the overrides."""
    flags: list[str] = []
    overrides: list[str] = []
    previous = ""
    for word in words:
        taken = previous in VALUED or previous == PORT or (previous in INFO and word in INFOS)
        (flags if taken or word.startswith("-") else overrides).append(word)
        previous = "" if taken else word
    return flags, overrides


def without_packages(words: Iterable[str]) -> list[str]:
    """Words for a command that builds nothing, without those that name users' parts and configs."""
    flags, overrides = split_flags(words)
    theirs = {at for at, flag in enumerate(flags) if flag in CONFIG_DIR}
    kept = [
        flag
        for at, flag in enumerate(flags)
        if not flag.startswith(CONFIG_DIR) and at - 1 not in theirs
    ]
    return [*kept, *(word for word in overrides if key_of(word) not in WHOSE)]


def arrange(words: Iterable[str], groups: Iterable[str]) -> list[str]:
    """Words that Hydra's grammar takes: `~` expanded, odd paths quoted, `callbacks=null` = none.

    Paths with commas between them are several, unless a file or folder has that very name. Flags
    come first, as Hydra reads no override behind one; with `sweep=` among the words they begin with
    `--multirun`.

    Raises:
        ValueError: another config group was set to null.
    """
    flags, overrides = split_flags(words)
    found = [_without_null(_quoted(word), set(groups)) for word in overrides]
    # A sweep's file asks for many runs, yet Hydra does not see it beside `seed=0,1`.
    if any(word.startswith("sweep=") for word in found) and not {"--multirun", "-m"} & {*flags}:
        flags = ["--multirun", *flags]
    behind = zip_longest(flags, flags[1:])  # where nothing is, a flag would take an override
    flags = [f"{INFO[0]}=all" if a in INFO and b not in INFOS else a for a, b in behind]
    return [*flags, *found]


def _quoted(word: str) -> str:
    match = WORD.fullmatch(word)
    if match is None or match[2].startswith("${") or match[2] in ("null", "???"):
        return word
    key, value = match.groups()
    if value[0] in "'\"[{" and _readable(word):
        return word
    whole = _on_disk(value) or key.startswith("hydra.")  # where one run writes is never several
    if PATH_KEY.fullmatch(key) or value.startswith(PATH_STARTS):
        return f"{key}={','.join(map(_plain, [value] if whole else value.split(',')))}"
    return f"{key}={quote(value)}" if whole and not PLAIN.fullmatch(value) else word


def _readable(word: str) -> bool:
    try:
        return bool(parse_override(word))
    except HydraException:
        return False


def _on_disk(value: str) -> bool:
    try:
        return Path(_at_home(value)).exists()
    except OSError:  # longer than a name can be
        return False


def _at_home(path: str) -> str:
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:  # nobody of that name
        return path


def _plain(path: str) -> str:
    """One path as Hydra's grammar takes it for text: quoted only where it must be."""
    path = _at_home(path)
    plain = PLAIN.fullmatch(path) and path and parse_override(f"path={path}").value() == path
    return path if plain else quote(path)


def _without_null(word: str, groups: set[str]) -> str:
    key, _, value = word.partition("=")
    if value != "null" or key not in groups:
        return word
    if key == "callbacks":
        return "callbacks=none"
    raise ValueError(f"{key}=null: {key} is a config group; choose one of its options (see --help)")


def overlaid(words: list[str]) -> list[str]:
    """For an evaluation whose data, features and model are the checkpoint's: keys added to them.

    So `data.path=x` changes that one key. Data chosen anew bring features of their own. Where files
    are evaluated there is no checkpoint.
    """
    if value_of(words, "fake") is not None:
        return words if any(key_of(word) == "ckpt" for word in words) else [*words, "ckpt=null"]
    chosen = {key_of(word) for word in words}
    groups = {"data": {"data"}, "features": {"data", "features"}, "model": set()}
    own = tuple(f"{group}." for group, by in groups.items() if not by & chosen)
    return [f"+{word}" if word.startswith(own) else word for word in words]
