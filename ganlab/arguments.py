"""Command-line words before Hydra reads them: paths, nulls, and what a checkpoint remembers."""

import re
from collections.abc import Iterable
from pathlib import Path

WORD = re.compile(r"([+~]*[\w./@]+)=(.+)", re.DOTALL)
PATH_KEY = re.compile(r".*(?:path|ckpt|dir|directory|file|weights)")
PATH_STARTS = ("~/", "/", "./", "../")
PLAIN = re.compile(r"[\w./:+\-@%]*", re.ASCII)  # what Hydra's grammar takes without quotes

# What a checkpoint may say about its own continuation. It is untrusted: nothing that names a place
# to write, an address to fetch from, a package to import, or Hydra's own settings.
REMEMBERED = re.compile(
    r"[+~]*(?:(?:model|data|features|metrics|trainer)(?:[./@][\w./@]*)?"
    r"|callbacks|logger|scores|experiment|seed|kimg|\w+_every_kimg)(?==|$)"
)
FORGOTTEN = re.compile(r"(?:cache_dir|directory|dir|url)$")


def key_of(word: str) -> str:
    """`+model.generator.width=8` -> `model.generator.width`."""
    return word.lstrip("+~").split("=")[0]


def arranged(words: Iterable[str], groups: Iterable[str]) -> list[str]:
    """Words that Hydra's grammar takes: `~` expanded, odd paths quoted, `callbacks=null` = none.

    Paths with commas between them are several, unless a file or folder has that very name. With
    `sweep=` among the words they begin with `--multirun`.

    Raises:
        ValueError: another config group was set to null.
    """
    found = [_without_null(_quoted(word), set(groups)) for word in words]
    # A sweep's file asks for many runs, yet Hydra does not see it beside `seed=0,1`.
    several = any(word.startswith("sweep=") for word in found) and "--multirun" not in found
    return ["--multirun", *found] if several and "-m" not in found else found


def _quoted(word: str) -> str:
    match = WORD.fullmatch(word)
    if match is None or match[2][0] in "'\"[{$" or match[2] in ("null", "???"):
        return word
    key, value = match.groups()
    whole = _on_disk(value)
    if not (PATH_KEY.fullmatch(key) or value.startswith(PATH_STARTS) or whole):
        return word
    return f"{key}={','.join(map(_plain, [value] if whole else value.split(',')))}"


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
    """One path as Hydra's grammar takes it: quoted only where it must be."""
    path = _at_home(path)
    if PLAIN.fullmatch(path):
        return path
    escaped = path.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _without_null(word: str, groups: set[str]) -> str:
    key, _, value = word.partition("=")
    if value != "null" or key not in groups:
        return word
    if key == "callbacks":
        return "callbacks=none"
    raise ValueError(f"{key}=null: {key} is a config group; choose one of its options (see --help)")


def continued(words: list[str], saved: Iterable[str]) -> list[str]:
    """Today's words with those a run was started with before them; today's take precedence."""
    said = {key_of(word) for word in words}
    kept = [
        word
        for word in saved
        if REMEMBERED.match(word)
        and key_of(word) not in said
        and not FORGOTTEN.search(key_of(word))
    ]
    return kept + words


def overlaid(words: list[str]) -> list[str]:
    """For an evaluation whose data is the checkpoint's: `data.path=x` changes that one key."""
    if any(word.startswith("data=") for word in words):
        return words
    return [f"+{word}" if word.startswith("data.") else word for word in words]
