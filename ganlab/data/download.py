"""Files fetched once into the user's cache, never without a checksum."""

import gzip
import hashlib
import shutil
import tempfile
import urllib.request
import zlib
from collections.abc import Sequence
from pathlib import Path

TIMEOUT = 30.0  # seconds without a byte


def unpacked(path: Path, sha256: str) -> bytes:
    """Content of a file, gunzipped if its name ends in .gz, checked.

    Raises:
        ValueError: the file is damaged or its content is not the one with this SHA-256.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}): delete it and get it again") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(
            f"{path} is not the published file: SHA-256 of its content is {found[:16]}..., not "
            f"{sha256[:16]}...; delete it and get it again"
        )
    return content


def fetch(urls: Sequence[str], destination: Path, sha256: str) -> None:
    """Download the first address that answers with the right content; atomic.

    Raises:
        ConnectionError: no address gave the file; says why for each.
        ValueError: an address answered, but the content has another SHA-256.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for url in urls:
        with tempfile.TemporaryDirectory(prefix="partial-", dir=destination.parent) as folder:
            partial = Path(folder, destination.name)
            try:
                with (
                    urllib.request.urlopen(url, timeout=TIMEOUT) as answer,
                    partial.open("wb") as f,
                ):
                    shutil.copyfileobj(answer, f)
            except OSError as error:  # URLError, HTTPError and time-outs are OSErrors
                failures.append(f"{url}: {error}")
                continue
            unpacked(partial, sha256)
            partial.replace(destination)
            return
    raise ConnectionError("; ".join(failures))
