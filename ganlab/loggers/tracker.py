"""What a logger of ours takes besides rows of numbers."""

from collections.abc import Sequence
from importlib.util import find_spec

from lightning.pytorch.loggers import Logger

from ganlab.loggers.pictures import Picture


class Tracker(Logger):
    """A logger with a place for pictures and tables, and an end; each is nothing unless defined."""

    def log_images(self, key: str, images: Picture, step: int) -> None:
        """Show one picture, or one grid of a batch, at `step` images seen."""

    def log_table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Show a table, its values as they are."""

    def truncate(self, images_seen: int) -> None:
        """Drop or hide what lies ahead of the clock."""

    def finish(self, exit_code: int = 0) -> None:
        """End the run, marked as failed unless `exit_code` is 0; twice is once."""

    def abandon(self) -> None:
        """Drop what would complain, or wait, when the process ends."""


def require_package(name: str, requirement: str) -> None:
    """Raise ModuleNotFoundError, naming what pip is to install, where a tracker's is missing."""
    if find_spec(name) is None:
        raise ModuleNotFoundError(f"logger={name} needs a package: pip install {requirement}")


def trackers_of(loggers: Sequence[Logger]) -> list[Tracker]:
    """Those that take more than rows: a plain logger of Lightning's gets its rows alone."""
    return [logger for logger in loggers if isinstance(logger, Tracker)]
