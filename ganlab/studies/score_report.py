"""Scores of a generator as a table."""

from collections.abc import Sequence
from typing import Any

from ganlab.report.tables import Table


def score_table(records: Sequence[dict[str, Any]]) -> Table:
    """One row, one column a score, with the protocol in the notes."""
    first = records[0]
    values = {record["metric"]: record["value"] for record in records}
    row = {"images_seen": first["images_seen"], "seed": first["seed"], **values}
    protocol = (
        f"{first['n_fake']} generated against {first['n_real']} real images; extractor "
        f"{first['extractor']} {first['extractor_sha256'][:12]}, resize {first['resize']}"
    )
    return Table([*row], [row], caption="Scores of the averaged generator", notes=[protocol])
