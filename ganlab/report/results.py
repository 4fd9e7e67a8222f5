"""`result.json`: the truth of a run, written whole or not at all.

The file is strict JSON. Numbers that JSON lacks are written as the strings "NaN", "Infinity" and
"-Infinity" and come back as floats.
"""

import json
import math
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from ganlab.checks.fields import (
    all_of,
    complaint,
    fields,
    finite,
    items,
    leaf,
    mapping,
    mapping_of,
    optional_fields,
    text,
)
from ganlab.checks.fields import number as numeric
from ganlab.checks.fields import plain as scalar
from ganlab.storage import read_text
from ganlab.storage.atomic import replace_file

NAME = "result.json"
WAYS = ("min", "max", "neither")  # in which a score improves
STATUSES = ("running", "done", "interrupted", "failed")

SCORE = all_of(
    fields(metric=text, value=numeric),
    optional_fields(
        **dict.fromkeys(("intervention", "size", "classes", "extractor", "extractor_sha256"), text)
    ),
    optional_fields(
        **dict.fromkeys(("truncation", "n_real", "n_fake", "seed", "images_seen"), numeric)
    ),
    optional_fields(best=leaf("min, max or neither", lambda value: value in WAYS)),
    mapping_of(scalar),
)
RESULT = optional_fields(  # what others read
    status=leaf(f"one of {', '.join(STATUSES)}", lambda value: value in STATUSES),
    **dict.fromkeys(("error", "kind", "model", "data", "study", "config_hash"), text),
    **dict.fromkeys(("images_seen", "seconds", "kimg"), finite),
    scores=items(SCORE),
    config=optional_fields(logger=mapping),
    overrides=items(text),
    versions=mapping,
)

_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def write_result(directory: Path, payload: Mapping[str, Any]) -> Path:
    """Write `payload` to `directory/result.json` atomically and return the file's path.

    Paths, tensors, arrays, sets and config containers become plain JSON values; anything else that
    JSON cannot hold is stored as its text, so that an odd value never costs a finished run.
    Raises ValueError for a `status` outside `STATUSES`.
    """
    status = payload.get("status", "done")
    if status not in STATUSES:
        raise ValueError(f"status is {status!r}; it must be one of {', '.join(STATUSES)}")
    return write_json(Path(directory) / NAME, payload)


def write_json(path: Path, payload: Mapping[str, Any]) -> Path:
    """Write strict JSON atomically, odd values as in `write_result`."""
    text = json.dumps(_plain(payload), indent=2, ensure_ascii=False, allow_nan=False)
    return replace_file(path, (text + "\n").encode("utf-8", "replace"))


def read_result(directory: Path) -> dict[str, Any]:
    """Read the `result.json` of a run directory (or the file itself) back into plain values.

    Raises FileNotFoundError where there is none, ValueError where it is broken; both name the file.
    """
    path = Path(directory)
    path = path / NAME if path.is_dir() or path.suffix != ".json" else path
    try:
        return read_json(path)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} does not exist: the run is still going, or it was killed before its end"
        ) from None


def read_json(path: Path) -> dict[str, Any]:
    """Read a file of `write_json`; raises OSError, or ValueError with its name where broken."""
    try:
        payload = _restored(json.loads(read_text(path)))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); delete it or rerun") from None
    if not isinstance(payload, dict):
        raise ValueError(f"{path} holds a {type(payload).__name__}, not a JSON object")
    return payload


def checked_result(directory: Path) -> dict[str, Any]:
    """`read_result` where the values are to be relied on; raises ValueError for odd ones too."""
    payload = read_result(directory)
    if wrong := complaint(payload, RESULT):
        raise ValueError(f"{Path(directory) / NAME} is damaged: {wrong}; delete it or rerun")
    return payload


def believable(result: Mapping[str, Any]) -> dict[str, Any]:
    """What of a result can be shown: values of other kinds than they should be are left out."""
    listed = result.get("scores")
    scores = [
        each for each in (listed if isinstance(listed, list) else []) if not complaint(each, SCORE)
    ]
    kept = {key: each for key, each in result.items() if not complaint({key: each}, RESULT)}
    return {**kept, "scores": scores} if "scores" in result else kept


def divergence_text(result: Mapping[str, Any]) -> str:
    """When which loss left the range of sense; nothing of a run whose losses did not."""
    found = result.get("diverged")
    if not isinstance(found, Mapping):
        return ""
    value, limit, at = (_number(found.get(key)) for key in ("value", "threshold", "at_kimg"))
    return f"{found.get('loss')} was {value} at {at} kimg, beyond {limit}"


def _number(value: Any) -> str:
    try:
        return f"{float(value):g}"
    except (TypeError, ValueError, OverflowError):
        return "?"


def _plain(value: object) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _finite_or_name(float(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Set):
        return sorted((_plain(item) for item in value), key=str)
    return _plain_sequence(value)


def _plain_sequence(value: object) -> Any:
    if hasattr(value, "tolist"):  # tensors, arrays and their scalars
        return _plain(value.tolist())
    if hasattr(value, "__iter__") and hasattr(value, "__len__"):  # tuples, ListConfig
        return [_plain(item) for item in value]
    return str(value)


def _finite_or_name(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _restored(value: object) -> Any:
    if isinstance(value, dict):
        return {key: _restored(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_restored(item) for item in value]
    return _NON_FINITE.get(value, value) if isinstance(value, str) else value
