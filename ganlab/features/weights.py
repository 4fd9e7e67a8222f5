"""Files of frozen weights: found, verified, downloaded once, opened safely.

A file is looked for where the user says, or else in the user's cache. It is fetched only by
`WeightsFile.fetch`, which is called before training; opening never touches the network.
"""

import functools
import hashlib
import os
import queue
import socket
import sys
import threading
import urllib.request
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn

from ganlab.downloads import cache_dir, download
from ganlab.storage import DamagedFile
from ganlab.storage.archive import read_archive

PROBE_SECONDS = 1.0  # how long `preflight` waits for the host that has the file


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    digest, chunk = hashlib.sha256(), memoryview(bytearray(1 << 18))
    with path.open("rb", buffering=0) as file:
        while number := file.readinto(chunk):
            digest.update(chunk[:number])
    return digest.hexdigest()


def _version(path: Path) -> tuple[Path, int, int]:
    status = path.stat()
    return path, status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=16)
def _remembered_sha256(path: Path, size: int, changed: int) -> str:
    """The digest of one version of a file, so that every record does not read it again."""
    return sha256_of(path)


@dataclass(frozen=True)
class WeightsFile:
    """One file of weights and where it may come from.

    Every problem is one error that names the config key, the place and the way out:
    `FileNotFoundError` when there is no file, `ConnectionError` when a download fails, `ValueError`
    when the file is not what it should be.
    """

    path: Path | None  # the user's own copy; None looks into the cache
    url: str = ""  # where a missing file is downloaded from; empty when it cannot be
    size: int = 0  # bytes of the file at `url`, for messages
    sha256: str | None = None  # what the file's digest must be; None accepts any
    key: str = "features.weights"  # the config key by which a user names a file
    name: str = ""  # of the file in the cache; empty = the last part of `url`
    advice: str = ""  # what to say after a tensor of another shape

    @property
    def place(self) -> Path:
        """Where the file is, or will be after a download."""
        return self.path or cache_dir() / (self.name or self.url.rpartition("/")[2])

    @property
    def digest(self) -> str:
        """SHA-256 of the file: the expected one, or else that of the bytes on disk."""
        return self.sha256 or _remembered_sha256(*_version(self.existing()))

    def existing(self) -> Path:
        """The file's path, once it is known to be there."""
        if not self._is_there():
            raise FileNotFoundError(self._missing())
        return self.place

    def _is_there(self) -> bool:
        try:
            return self.place.is_file()
        except OSError as error:  # a name longer than any file's
            raise ValueError(f"{self.key}={str(self.place)[:40]}...: {error.strerror}") from None

    def preflight(self) -> None:
        """Raise unless the file is here and intact, or its host answers within a second."""
        if self._is_there() or self.path:
            self._verify(self.existing())
        elif not (self.url and _reachable(self.url)):
            raise FileNotFoundError(self._missing())

    def fetch(self) -> Path:
        """Make sure the file is on this machine, downloading it into the cache if it must be."""
        if self.path or not self.url or self._is_there():
            return self.existing()
        with one_process(self.place.parent):
            if self._is_there():  # another process has fetched it meanwhile
                return self.place
            print(f"downloading {self._offer()} to {self.place}", file=sys.stderr)
            try:
                return download(self.url, self.place, self._verify_download)
            except ConnectionError as error:
                raise ConnectionError(f"{error}; {self._missing()}") from error

    def state(self, network: nn.Module) -> dict[str, Tensor]:
        """All of `network`'s tensors as the file has them, in float32 on the CPU.

        Names and shapes must agree; batch norm's counters (`num_batches_tracked`) may be missing,
        and are zero.
        """
        tensors, everything = self._open(), network.state_dict()
        wanted = _without_counters(everything)
        for name, tensor in wanted.items():
            if name not in tensors:
                raise self._invalid(f"has no tensor {name!r}")
            if tensors[name].shape != tensor.shape:
                shapes = f"{tuple(tensors[name].shape)}, not {tuple(tensor.shape)}"
                raise self._invalid(f"has {name!r} in shape {shapes}{self.advice}")
        if extra := [name for name in tensors if name not in wanted]:
            raise self._invalid(f"has a tensor {extra[0]!r} this network lacks")
        counter = torch.zeros((), dtype=torch.int64)
        return {n: tensors[n].float() if n in wanted else counter.clone() for n in everything}

    def other_ways(self) -> str:
        """What else a user can do who has no file here."""
        scores = self.key.startswith("features.")  # and not what a model is conditioned on
        other = ", or score with features=classifier, which needs no file" if scores else ""
        return f", or name your copy with {self.key}=<file>{other}"

    def _open(self) -> dict[str, Tensor]:
        path = self._verified()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the one about TorchScript; the error says it all
                content = self._content(path)
        except DamagedFile as error:
            raise self._invalid(f"is damaged: {error}") from error
        except Exception as error:  # a damaged pickle raises whatever its bytes happen to say
            raise self._invalid("is not a file of plain tensors and was not opened") from error
        if not _is_state_dict(content):
            raise self._invalid("holds something else than named dense tensors of real numbers")
        return _without_counters(content)

    def _verified(self) -> Path:
        """The file, once it is known to be the right one."""
        path = self.existing()
        self._verify(path)
        return path

    def _content(self, path: Path) -> Any:
        return read_archive(path, older=True)

    def _verify_download(self, path: Path) -> None:
        self._verify(path, origin=f"what {self.url} sent")

    def _verify(self, path: Path, origin: str = "") -> None:
        if self.sha256 is None or (found := sha256_of(path)) == self.sha256:
            return
        raise ValueError(
            f"{origin or path} has sha256 {found}, not {self.sha256}: damaged, or another file; "
            f"replace {self.place} by the file of {self.url or 'the package'}, "
            f"or name your copy with {self.key}=<file>"
        )

    def _offer(self) -> str:
        return " ".join(filter(None, (self.url, f"({self.size / 1e6:.0f} MB)" * bool(self.size))))

    def _missing(self) -> str:
        text = f"no weights at {self.place}"
        if self.path or not self.url:
            text += f" ({self.key}={'null' if self.path is None else self.path})"
        if not self._offer():
            return f"{text}; correct {self.key}"
        return f"{text}; put the file {self._offer()} there{self.other_ways()}"

    def _invalid(self, problem: str) -> ValueError:
        return ValueError(f"{self.place} ({self.key}) {problem}")


@contextmanager
def one_process(folder: Path) -> Iterator[None]:
    """Keep the machine's other processes out, so that several ranks download a file once.

    Where there are no locks, each downloads for itself, which costs time and nothing else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as undo:
        with suppress(ImportError, OSError):
            import fcntl

            descriptor = os.open(folder, os.O_RDONLY)
            undo.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def _is_state_dict(content: object) -> bool:
    return isinstance(content, Mapping) and all(
        isinstance(name, str) and isinstance(value, Tensor) and _is_plain(name, value)
        for name, value in content.items()
    )


def _is_plain(name: str, tensor: Tensor) -> bool:
    """Whether a tensor has its numbers in the file, as floats; counters are whole numbers."""
    stored = tensor.layout == torch.strided and not tensor.is_meta
    return stored and (tensor.is_floating_point() or name.endswith(".num_batches_tracked"))


def _without_counters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: t for name, t in state.items() if not name.endswith(".num_batches_tracked")}


def _reachable(url: str) -> bool:
    """Whether the host of `url`, or the proxy before it, accepts a connection in a second."""
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()
    # A thread, since looking up a name can hang for longer than any socket's timeout.
    threading.Thread(target=lambda: answers.put(_accepts(url)), daemon=True).start()
    try:
        return answers.get(timeout=PROBE_SECONDS)
    except queue.Empty:
        return False


def _accepts(url: str) -> bool:
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=PROBE_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True
