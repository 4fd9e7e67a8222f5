"""Files that are either whole or absent."""

import os
import threading
from pathlib import Path

from ganlab.storage import located


def replace_file(path: Path, data: bytes) -> Path:
    """Put `data` at `path`: a reader, or a kill at any moment, finds the old or the new file.

    Missing parent folders are created; the file's permissions follow the umask. Raises OSError,
    with the path, where the folder cannot be written, and then leaves nothing behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with located(path), temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
