"""Scores of a generator as a table."""

from collections.abc import Sequence
from typing import Any

from ganlab.report.protocols import protocol_stamp, protocol_text
from ganlab.report.tables import Table


def score_table(records: Sequence[dict[str, Any]]) -> Table:
    """One row, one column a score; a note for each protocol says which scores it is that of."""
    first = records[0]
    values = {record["metric"]: record["value"] for record in records}
    row = {"images_seen": first["images_seen"], "seed": first["seed"], **values}
    measured: dict[str, list[str]] = {}
    for record in records:
        measured.setdefault(protocol_text(protocol_stamp(record)), []).append(record["metric"])
    notes = list(measured)
    if len(measured) > 1:
        notes = [f"{', '.join(names)}: {text}" for text, names in measured.items()]
    return Table([*row], [row], caption="Scores of the averaged generator", notes=notes)
