"""What the files of a cell must hold, and what is wrong with one that holds something else."""

import json
from pathlib import Path
from typing import Any

from ganlab.checks.fields import (
    complaint,
    count,
    fields,
    finite,
    items,
    leaf,
    mapping,
    mapping_of,
    optional_fields,
    plain,
    text,
)
from ganlab.report.results import checked_result
from ganlab.storage import read_text

ATTEMPT = "attempt.json"
CELL_FIELDS = fields(  # of `cell.yaml`
    kind=leaf("train or evaluate", lambda value: value in ("train", "evaluate")),
    grid=text,
    values=mapping_of(plain),
    overrides=items(text),
    choices=mapping_of(text),
    config=optional_fields(logger=mapping, kimg=finite),
    inputs=mapping,
)
ATTEMPT_FIELDS = optional_fields(  # of `attempt.json`
    **dict.fromkeys(("state", "error", "host"), text),
    **dict.fromkeys(("number", "pid"), count),
    **dict.fromkeys(("started", "ended", "exit_code"), finite),
)


def attempt_of(directory: Path) -> dict[str, Any]:
    """What `attempt.json` says.

    Raises:
        OSError, ValueError: there is none, or it is damaged; names it.
    """
    path = Path(directory) / ATTEMPT
    try:
        found: Any = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error})") from error
    if wrong := complaint(found, ATTEMPT_FIELDS):
        raise ValueError(f"{path} is damaged: {wrong}")
    return dict(found)


def damage(directory: Path) -> str | None:
    """What keeps a cell's result or record from being read, in one line; None where nothing does.

    That a file is not there is no damage.
    """
    for read in (checked_result, attempt_of):
        try:
            read(directory)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            return " ".join(str(error).split())
    return None
