"""Folders of sets that are being decoded; what killed processes left of theirs is cleared away."""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ganlab.processes import is_running, place

PREFIX, PIXELS, DESCRIPTION = "partial-", "pixels", "json"  # of a folder, and what it holds
# Place and number of the process; older folders name none.
NAME = re.compile(rf"{PREFIX}(?:([0-9a-f]{{12}}|None)-(\d+)-)?[a-z0-9_]{{8}}")
SILENCE = 7 * 86400  # seconds without a write after which nobody is taken to be still at it


@contextmanager
def partial_folder(directory: Path) -> Iterator[Path]:
    """A folder for files that are not whole yet, named after this process; gone at the end."""
    prefix = f"{PREFIX}{place()}-{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=directory) as folder:
        yield Path(folder)


def clear_abandoned(directory: Path) -> None:
    """Delete partial folders whose process is gone.

    Of processes elsewhere, and of folders that name none, only their last write is known.
    """
    for folder in directory.glob(f"{PREFIX}*"):
        if _abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _abandoned(folder: Path) -> bool:
    named = NAME.fullmatch(folder.name)
    try:
        found = list(folder.iterdir()) if named else []
        last = max(path.stat().st_mtime for path in (folder, *found))
    except OSError:  # a file, or somebody renames or deletes in it this moment
        return False
    if not named or not found or {path.name for path in found} - {PIXELS, DESCRIPTION}:
        return False  # the directory is the user's choice: not everything in it is ours
    if named[1] is not None and named[1] == place():
        return not is_running(int(named[2]))
    return time.time() - last > SILENCE
