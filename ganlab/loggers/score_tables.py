"""A run's scores as one table of every tracker."""

from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch.loggers import Logger

from ganlab.loggers.tracker import trackers_of


def show_scores(loggers: Sequence[Logger], scores: Sequence[Mapping[str, Any]]) -> None:
    """Hand over the records of `result.json`, one row a score, one column a field."""
    columns = list(dict.fromkeys(name for record in scores for name in record))
    rows = [[record.get(name) for name in columns] for record in scores]
    for tracker in trackers_of(loggers) if rows else ():
        tracker.log_table("scores", columns, rows)
