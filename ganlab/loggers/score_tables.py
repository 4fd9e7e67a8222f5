"""A run's scores as one table of every tracker that takes tables."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lightning.pytorch.loggers import Logger


def show_scores(loggers: Iterable[Logger], scores: Sequence[Mapping[str, Any]]) -> None:
    """Hand over the records of `result.json`, one row a score, one column a field."""
    columns = list(dict.fromkeys(name for record in scores for name in record))
    rows = [[record.get(name) for name in columns] for record in scores]
    for logger in loggers:
        log_table = getattr(logger, "log_table", None)
        if rows and log_table is not None:
            log_table("scores", columns, rows)
