"""Names of grids and cells: the same command finds the same directories."""

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from ganlab.arguments import key_of

LONGEST = 96  # characters of a cell's name; file systems end at 255 bytes
# Words that say how or where cells run, not what they are.
MANNER = re.compile(
    r"-m$|--multirun$|[+~]*(hydra[./](launcher|mode|job|verbose)|hydra\.sweep\.|grid\.(fresh|name|table))"
)
KIND_OF_VALUE = (
    (re.compile(r"[+-]?\d+"), int),
    (re.compile(r"[+-]?[\d.]+(e[+-]?\d+)?", re.I), float),
)


def digest(value: object) -> str:
    """Eight hexadecimal digits that agree for equal values."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def grid_name(words: Iterable[str], axes: Sequence[str]) -> str:
    """The name of a command's grid: its sweep or its swept keys, and a hash of its words.

    The order of the words does not count, and neither does where the cells run.
    """
    said = sorted(word for word in words if not MANNER.match(word))
    sweep = next((word.partition("=")[2] for word in said if word.startswith("sweep=")), "")
    stem = _safe(sweep) if sweep else "+".join(map(_safe, short_names(axes).values())) or "grid"
    return f"{stem[:48]}-{digest(said)}"


def short_names(axes: Iterable[str]) -> dict[str, str]:
    """Axis -> the fewest last parts of its key that no other axis ends with."""
    parts = {axis: re.split(r"[./@]", axis) for axis in axes}
    names: dict[str, str] = {}
    for axis, mine in parts.items():
        others = [each for other, each in parts.items() if other != axis]
        count = next(
            (n for n in range(1, len(mine)) if all(o[-n:] != mine[-n:] for o in others)), len(mine)
        )
        names[axis] = ".".join(mine[-count:])
    return names


def cell_values(axes: Sequence[str], words: Iterable[str]) -> dict[str, Any]:
    """Axis -> the value this cell's override words give it, numbers as numbers; the last one said.

    An axis that no word mentions is left out.
    """
    said = {key_of(word): word.partition("=")[2] for word in words}
    return {axis: plain_value(said[axis]) for axis in axes if axis in said}


def plain_value(text: str) -> Any:
    """The text of an override's value without quotes; a number where it is one."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1].replace("\\" + text[0], text[0])
    for pattern, kind in KIND_OF_VALUE:
        if pattern.fullmatch(text):
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def cell_name(values: Mapping[str, Any]) -> str:
    """A directory name such as `norm-pin+seed-2`; a hash at its end where characters were lost."""
    names = short_names(values)
    text = "+".join(f"{_safe(names[axis])}-{_safe(text_of(v))}" for axis, v in values.items())
    lossless = all(_safe(text_of(v)) == text_of(v).replace("/", "_") for v in values.values())
    if lossless and len(text) <= LONGEST:
        return text or "only"
    return f"{text[: LONGEST - 9]}-{digest(dict(values))}"


def is_cell_name(name: object) -> bool:
    """Whether `cell_name` could have made it: a folder within its grid's."""
    return isinstance(name, str) and re.fullmatch(r"(?!\.)[A-Za-z0-9_.+-]{1,128}", name) is not None


def text_of(value: object) -> str:
    """A value as text; the last checkpoint of a run is named by the run alone."""
    return re.sub(r"/checkpoints/(last|(best))\.ckpt$", _of_run, str(value))


def _of_run(found: re.Match[str]) -> str:
    return "/best" if found[2] else ""


def _safe(text: str) -> str:
    """What may stand in a file name and in an override without quotes; never `+`, our separator."""
    return re.sub(r"[^\w.-]+", "_", text.replace("/", "_"), flags=re.ASCII).strip("_.") or "_"


def parse_words(words: Sequence[str], config_loader: Any = None) -> list[Override]:
    """Override words as Hydra reads them."""
    return OverridesParser.create(config_loader=config_loader).parse_overrides(list(words))


def swept_keys(words: Sequence[str], params: Mapping[str, Any] | None) -> list[str]:
    """Keys that a sweeper's `params` or a word with several values vary, in that order."""
    inner = [f"{key}={value}" for key, value in (params or {}).items()]
    several = [each for each in parse_words([*inner, *words]) if each.is_sweep_override()]
    return list(dict.fromkeys(key_of(str(each.input_line)) for each in several))


def expected_cells(
    words: Sequence[str],
    params: Mapping[str, Any] | None,
    axes: Sequence[str],
    config_loader: object = None,  # for glob(...)
) -> list[dict[str, Any]]:
    """The values of every cell of a plain grid: the product of all values, as Hydra expands it."""
    inner = [f"{key}={value}" for key, value in (params or {}).items()]
    overrides = parse_words([*inner, *words], config_loader)
    choices = {each.get_key_element(): _alternatives(each) for each in overrides}  # last one counts
    return [cell_values(axes, product) for product in itertools.product(*choices.values())]


def _alternatives(override: Override) -> list[str]:
    key = override.get_key_element()
    if override.is_sweep_override() and override.is_discrete_sweep():
        return [f"{key}={value}" for value in override.sweep_string_iterator()]
    return [f"{key}={override.get_value_element_as_str()}"]
