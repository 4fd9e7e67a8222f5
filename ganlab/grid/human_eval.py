"""`python -m ganlab table` for files that people sent back from a real-or-fake test."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ganlab.grid.cell import GridError
from ganlab.grid.facts import GRID
from ganlab.grid.records import is_one
from ganlab.storage import read_text

KIND = "ganlab real_or_fake"
STEM = "judgements"


def are_judgements(places: Sequence[Path]) -> bool:
    """Whether these are result files of people, or folders of them, and not grids.

    Raises:
        GridError: some are and some are not.
    """
    found = {place: is_judgement(place) for place in places}
    if any(found.values()) and not all(found.values()):
        other = next(place for place, judged in found.items() if not judged)
        raise GridError(
            f"{other} is no result file of a real-or-fake test, the others are: "
            "make a table of grids or one of people"
        )
    return bool(found) and all(found.values())


def is_judgement(place: Path) -> bool:
    """Whether this is a file, or a folder with a file, that such a page wrote."""
    if place.is_dir():
        if is_one(place) or (place / GRID).exists():  # whose damaged file is its own row's matter
            return False
        return any(is_judgement(path) for path in sorted(place.glob("*.json")) if path.is_file())
    return place.suffix == ".json" and (not place.is_file() or kind_of(place) in (KIND, None))


def kind_of(path: Path) -> str | None:
    """What a JSON file says it is; None where it cannot be read, which its reader will explain."""
    try:
        content = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        return None
    return str(content.get("kind")) if isinstance(content, dict) else ""


def publish_judgements(
    places: Sequence[Path],  # files, or folders of them
    words: Mapping[str, str],  # rows=person
    into: Path | None = None,  # where the files go; None = beside the first one
) -> str:
    """Write judgements.csv, .md and .tex; what to print.

    Raises:
        GridError: a word that it does not know.
        FileNotFoundError, ValueError: see `studies.judgements.read_judgements`.
    """
    from ganlab.studies.human_eval.judgements import (  # torch comes in here
        judgement_table,
        read_judgements,
    )

    if any(pair != ("rows", "person") for pair in words.items()):
        said = ", ".join(f"{key}={value}" for key, value in words.items())
        raise GridError(f"a table of people takes rows=person and into=, not {said}")
    table = judgement_table(read_judgements(places), by_person="rows" in words)
    first = places[0]
    folder = into or (first if first.is_dir() else first.parent)
    table.write(folder, STEM)
    return table.markdown()
