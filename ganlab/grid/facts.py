"""`grid.json`: what a grid is, and which cells it should have, for whoever reads it later."""

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganlab.checks.fields import complaint, items, mapping, mapping_of, optional_fields, plain, text
from ganlab.grid.naming import cell_name, is_cell_name
from ganlab.storage import read_text
from ganlab.storage.atomic import replace_file

GRID = "grid.json"
TABLE = optional_fields(  # of `grid.table`
    caption=text,
    **dict.fromkeys(("metrics", "rows", "columns"), items(text)),
    labels=mapping_of(mapping_of(plain)),
    paper=optional_fields(source=text, axes=items(text), values=items(mapping_of(plain))),
)
FACTS = optional_fields(
    cells=mapping_of(mapping_of(plain), is_cell_name),
    axes=items(text),
    command=text,
    name=text,
    table=mapping,
)


def write_grid(
    directory: Path,
    kind: str,
    axes: Sequence[str],
    expected: list[dict[str, Any]] | None,  # the values of each cell, where they are known
    settings: dict[str, Any],
) -> None:
    """`grid.json`: what the grid is; cells that an earlier command of its name had stay named."""
    older = read_grid(directory)
    known = {**older.get("cells", {}), **{cell_name(each): each for each in expected or []}}
    facts = {
        "name": directory.name,
        "kind": kind,
        "command": shlex.join(["python", f"{kind}.py", *sys.argv[1:]]),
        "axes": list(dict.fromkeys([*older.get("axes", []), *axes])),
        "cells": known,
        "table": settings.get("table") or older.get("table") or {},
    }
    replace_file(directory / GRID, json.dumps(facts, indent=2, default=str).encode())


def read_grid(directory: Path) -> dict[str, Any]:
    """What `grid.json` says; nothing where there is none to read."""
    try:
        found = json.loads(read_text(Path(directory) / GRID))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if complaint(found, FACTS) is None else {}
