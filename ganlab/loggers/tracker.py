"""What a logger of ours takes besides rows of numbers."""

import os
import re
import secrets
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from lightning.pytorch.loggers import Logger

from ganlab.loggers.pictures import Picture
from ganlab.storage.atomic import replace_file
from ganlab.storage.regular import read_text

ID = re.compile(r"[\w.-]{1,128}")  # of a run


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


class ProjectTracker(Tracker):
    """A tracker by a client's own functions: one run, within a project, for one run folder."""

    def __init__(
        self,
        directory: Path,  # the run's folder
        project: str,
        server: str | None,  # its address; None = this machine
    ) -> None:
        super().__init__()
        self.directory, self.project, self.server = directory, project, server
        self.run: str | None = None

    @property
    def name(self) -> str:
        """The project."""
        return self.project

    @property
    def version(self) -> str | None:
        """What the run is told by there; None before its first row."""
        return self.run


def require_package(name: str, requirement: str) -> None:
    """Raise ModuleNotFoundError, naming what pip is to install, where a tracker's is missing."""
    if find_spec(name) is None:
        raise ModuleNotFoundError(f"logger={name} needs a package: pip install {requirement}")


def trackers_of(loggers: Sequence[Logger]) -> list[Tracker]:
    """Those that take more than rows: a plain logger of Lightning's gets its rows alone."""
    return [logger for logger in loggers if isinstance(logger, Tracker)]


def shown_name(directory: Path) -> str:
    """What a dashboard calls the run of a folder where nobody named it: the folder's last parts."""
    return "/".join(directory.absolute().parts[-3:])


def remembered_id(directory: Path, package: str = "wandb") -> str:
    """The id of the run that this directory tracks, drawn and kept at first.

    Raises:
        ValueError: `<package>_id.txt`, or `<PACKAGE>_RUN_ID` in the environment, holds no id.
    """
    path = directory / f"{package}_id.txt"
    if (known := known_id(path)) is not None:
        return known
    said = f"{package.upper()}_RUN_ID"  # by an agent that waits for that run
    # not from the run's random streams, which stay as they are
    drawn = os.environ.get(said) or secrets.token_hex(4)
    if not ID.fullmatch(drawn):
        raise ValueError(f"{said}={drawn!r} is no id of a run: letters, digits, _ . - alone")
    return keep_id(path, drawn)


def keep_id(path: Path, drawn: str) -> str:
    """Write a run's id to its file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, f"{drawn}\n".encode())
    return drawn


def known_id(path: Path) -> str | None:
    """The id of a run that a file keeps; None where there is no file.

    Raises:
        ValueError: it holds something else.
    """
    if not path.exists():
        return None
    try:
        found = read_text(path).strip()
    except ValueError as error:
        raise ValueError(f"{path}: {error}; move it away") from error
    if not ID.fullmatch(found):
        raise ValueError(f"{path} holds no id of a run; move it away")
    return found
