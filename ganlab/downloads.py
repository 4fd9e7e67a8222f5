"""Files kept once for all runs: where they lie, and how they get there whole."""

import http.client
import os
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

STALL_SECONDS = 60.0  # a download that is silent for so long has failed


def cache_dir() -> Path:
    """Where downloads are kept: $GANLAB_CACHE, else ganlab under $XDG_CACHE_HOME or ~/.cache."""
    if own := os.environ.get("GANLAB_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "ganlab"


def download(
    url: str,
    target: Path,  # where the file goes once it is whole and verified
    verify: Callable[[Path], None],  # raises unless the file is the right one
) -> Path:
    """Fetch a file; it appears under its name verified or not at all.

    Processes that fetch the same file together do not disturb each other.

    Raises:
        ConnectionError: the address did not answer, or the answer was cut short.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="partial-", dir=target.parent) as folder:
        partial = Path(folder, target.name)
        _receive(url, partial)
        verify(partial)
        partial.replace(target)
    return target


def _receive(url: str, target: Path) -> None:
    try:
        with (
            urllib.request.urlopen(url, timeout=STALL_SECONDS) as answer,
            target.open("wb") as file,
        ):
            while chunk := answer.read(1 << 20):
                file.write(chunk)
            if missing := getattr(answer, "length", 0):
                raise ConnectionError(f"cut short by {missing} bytes")
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionError(f"download of {url} failed ({error})") from error
