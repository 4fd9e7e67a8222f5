"""Files that are either whole or absent, and the names of those that are not whole yet."""

import os
import re
import threading
from pathlib import Path

from ganlab.storage import located

PARTIAL = ".partial"  # ends the name of a checkpoint that is being written
# Names of all files that are written here and renamed once they are whole: those of `temporary`,
# with the number of a process and mostly of a thread, and checkpoints, kept ones by their images.
LEFT = re.compile(rf"\..+\.\d+(-\d+)?\.tmp|(last|best|\d+)\.ckpt{re.escape(PARTIAL)}")


def temporary(path: Path) -> Path:
    """Where this thread writes what will stand at `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")


def replace_file(path: Path, data: bytes) -> Path:
    """Put `data` at `path`: a reader, or a kill at any moment, finds the old or the new file.

    Missing parent folders are created; the file's permissions follow the umask. Raises OSError,
    with the path, where the folder cannot be written, and then leaves nothing behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = temporary(path)
    try:
        with located(path), partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path
