"""A grid's final table on the dashboard that its cells report to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganlab.grid.records import CellRecord
from ganlab.report.tables import Table


def wandb_settings(records: Sequence[CellRecord]) -> dict[str, Any] | None:
    """The `logger.wandb` settings of the first cell that has any."""
    nodes = ((record.config.get("logger") or {}).get("wandb") for record in records)
    return next((node for node in nodes if isinstance(node, dict)), None)


def share(directory: Path, records: Sequence[CellRecord], table: Table) -> None:
    """Show the table in a run of the cells' group, of the job type `grid`; never raises for it."""
    node = wandb_settings(records)
    if node is None:
        return
    from ganlab.loggers import wandb_tracker

    group = node.get("group") or directory.name
    tracker = wandb_tracker(
        directory,
        project=node.get("project") or "ganlab",
        entity=node.get("entity"),
        name=f"{directory.name}/table",
        group=group,
        job_type="grid",
    )
    rows = [[row.get(column) for column in table.columns] for row in table.rows]
    tracker.log_table("table", table.columns, rows)
    tracker.finish(0)
