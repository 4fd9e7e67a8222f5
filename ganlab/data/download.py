"""Files fetched once into the user's cache, never without a checksum."""

import gzip
import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path

from ganlab.downloads import download

LARGEST = 2**28  # bytes; the largest file read here has 47 million


def gunzip(path: Path) -> bytes:
    """Content of a file, unpacked if its name ends in .gz.

    Raises:
        ValueError: it unpacks to more than any file read here has.
        OSError, EOFError, zlib.error: it is damaged.
    """
    if path.suffix != ".gz":
        return path.read_bytes()
    with gzip.open(path) as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"{path} unpacks to more than {LARGEST / 2**20:,.0f} MB, and was not read")
    return content


def unpack(path: Path, sha256: str) -> bytes:
    """Content of a file, gunzipped if its name ends in .gz, checked.

    Raises:
        ValueError: the file is damaged or its content is not the one with this SHA-256.
    """
    try:
        content = gunzip(path)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}): delete it and get it again") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(
            f"{path} is not the published file: SHA-256 of its content is {found[:16]}..., not "
            f"{sha256[:16]}...; delete it and get it again"
        )
    return content


def check(path: Path, sha256: str) -> None:
    """Raise ValueError unless the file's content has this SHA-256."""
    unpack(path, sha256)


def fetch(urls: Sequence[str], destination: Path, sha256: str) -> None:
    """Download the first address that answers with the right content; atomic.

    Raises:
        ConnectionError: no address gave the file; says why for each.
        ValueError: an address answered, but the content has another SHA-256.
    """
    failures = []
    for url in urls:
        try:
            download(url, destination, lambda path: check(path, sha256))
            return
        except ConnectionError as error:
            failures.append(str(error))
    raise ConnectionError("; ".join(failures))
