"""One process at a time writes a directory: the lock, and the record of who holds it.

The lock is the system's, on `.lock`; it goes with the process, however that ends. `.holder` says
who that is. On a file system without such locks this record alone decides: it is made by whoever
finds none, and stale once its process is gone.
"""

import atexit
import errno
import fcntl
import json
import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import IO, Any

from ganlab.processes import is_running, place, start_of, start_token
from ganlab.storage import DamagedFile
from ganlab.storage.atomic import replace_file, temporary
from ganlab.storage.regular import open_regular

LOCK, HOLDER = ".lock", ".holder"
HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)  # what flock says of a lock that is taken
PATIENCE = 3.0  # seconds that a look at a lock, which holds it for a moment, may keep others out
BIRTH = 10.0  # seconds in which a record that was begun is completed


class InUseError(ValueError):
    """Another process writes this directory; the message names both."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a directory, as far as it has said."""

    host: str = ""
    place: str | None = None  # see `processes.place`
    pid: int = 0
    started: int | None = None  # see `processes.start_of`; tells a number that is used again
    since: str = ""  # local time
    job: str = ""  # of SLURM
    restarts: int = 0  # of that job
    group: str = ""  # see `processes.start_token`
    said: dict[str, Any] = field(default_factory=dict)  # to the other ranks of its run

    def __str__(self) -> str:
        if not self.pid:
            return "another process"
        return f"another process ({self.pid} on {self.host}, since {self.since})"


def this_process() -> Holder:
    """What this process says of itself."""
    return Holder(
        host=socket.gethostname(),
        place=place(),
        pid=os.getpid(),
        started=start_of(os.getpid()),
        since=time.strftime("%Y-%m-%d %H:%M:%S"),
        job=os.environ.get("SLURM_JOB_ID", ""),
        restarts=int(os.environ.get("SLURM_RESTART_COUNT") or 0),
        group=start_token(),
    )


_held: dict[Path, IO[str]] = {}  # directories of this process -> their open locks


def _home(directory: Path) -> Path:
    """Where a directory is, by whatever links it is named, a loop of them too."""
    return Path(os.path.realpath(directory))


def is_ours(directory: Path) -> bool:
    """Whether this process holds a directory."""
    return _home(directory) in _held


def is_lost(directory: Path) -> bool:
    """Whether a directory that this process holds was moved or removed: it is no longer its own."""
    home = _home(directory)
    return home in _held and not _is_still(_held[home], home / LOCK)


@contextmanager
def hold(directory: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Hold a directory inside the block, or go on holding it.

    Raises:
        InUseError: see `take`.
    """
    new = take(directory, patience)
    try:
        yield
    finally:
        if new:
            release(directory)


def take(directory: Path, patience: float = PATIENCE) -> bool:
    """Hold a directory, made if it is missing, until `release` or this process's end.

    Returns:
        Whether this process did not hold it before.

    Raises:
        InUseError: another process holds it.
    """
    home = _home(directory)
    if home in _held:
        return False
    home.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + patience
    while (file := _attempt(home)) is None:
        if time.monotonic() > until:
            raise InUseError(in_use(directory, holder(home) or Holder()))
        time.sleep(0.05)
    _held[home] = file
    return True


def in_use(directory: Path, who: Holder) -> str:
    """The line for a process that comes second."""
    far = who.pid and who.place != place() and not _has_locks(directory)
    hint = f"; if that process is gone, delete {Path(directory) / HOLDER}" if far else ""
    return f"{directory} is being written by {who}{hint}"


def _attempt(home: Path) -> IO[str] | None:
    """The open lock, if it is ours now."""
    file = (home / LOCK).open("a+")
    got = _flocked(file)
    if got is None:
        got = _recorded(home)
    elif got:
        got = _is_still(file, home / LOCK)
        if got:
            (home / HOLDER).unlink(missing_ok=True)  # at once: it is of an earlier process
            with suppress(OSError):  # on a full disk the lock is enough
                _write(home, this_process())
    if got:
        return file
    file.close()
    return None


def _flocked(file: IO[str], kind: int = fcntl.LOCK_EX) -> bool | None:
    """Whether the lock is ours now; None where the file system has no locks."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in HELD:
            return False
        _warn_of_no_locks(error.strerror)
        return None
    return True


def _has_locks(home: Path) -> bool:
    """Whether the file system has locks; it is taken to, where nobody locked anything."""
    if not (Path(home) / LOCK).exists():
        return True
    with (Path(home) / LOCK).open() as file:
        return _flocked(file, fcntl.LOCK_SH) is not None


@cache  # once a process
def _warn_of_no_locks(why: str) -> None:
    warnings.warn(
        f"this file system has no locks ({why}): whether a directory is in use is known from "
        f"{HOLDER} in it, which a process that is killed on another machine leaves behind",
        stacklevel=1,
    )


def _is_still(file: IO[str], path: Path) -> bool:
    """Whether an open file is the one at that path: somebody may have deleted it in between."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return False


def _write(home: Path, who: Holder) -> None:
    replace_file(home / HOLDER, json.dumps(asdict(who)).encode())


def _recorded(home: Path) -> bool:
    """Make the record where there is none; a stale one is cleared away for the next attempt."""
    try:
        with (home / HOLDER).open("x", encoding="utf-8") as file:
            file.write(json.dumps(asdict(this_process())))
        return True
    except FileExistsError:
        with suppress(FileNotFoundError):
            _clear_stale(home / HOLDER)
        return False


def _clear_stale(path: Path) -> None:
    """Remove the record of a process that is gone, and no other that takes its place meanwhile."""
    text = _text(path)
    if _lives(path, text):
        return
    aside = temporary(path)
    path.rename(aside)
    if _text(aside) != text:
        with suppress(FileExistsError):
            os.link(aside, path)
    aside.unlink()


def _lives(path: Path, text: bytes) -> bool:
    """Whether the process of a record may still run."""
    who = _parsed(text)
    if who is None:
        return abs(time.time() - path.stat().st_mtime) < BIRTH  # clocks may be set back
    if who.place is None or who.place != place():
        requeued = who.job and who.job == os.environ.get("SLURM_JOB_ID")
        before = who.restarts < int(os.environ.get("SLURM_RESTART_COUNT") or 0)
        here = who.place is None and place() is None and who.host == socket.gethostname()
        return is_running(who.pid) if here else not (requeued and before)
    return is_running(who.pid) and who.started == start_of(who.pid)


def _text(path: Path) -> bytes:
    """What a record says; nothing where something else stands in its place."""
    try:
        with open_regular(path) as file:
            return file.read()
    except DamagedFile:
        return b""


def _parsed(text: bytes) -> Holder | None:
    """A record; None where it is damaged."""
    try:
        found = json.loads(text)
        who = Holder(**{each.name: found[each.name] for each in fields(Holder)})
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    whole = type(who.pid) is int and who.pid > 0 and type(who.restarts) is int
    return who if whole and isinstance(who.said, dict) else None


def holder(directory: Path) -> Holder | None:
    """The process that holds a directory at this moment, this one too; None where nobody does."""
    home = _home(directory)
    if not (home / LOCK).exists():
        return None
    with (home / LOCK).open() as file:  # who looks may have no right to write here
        free = _flocked(file, fcntl.LOCK_SH)  # a look keeps no other look out
    if free:
        return None
    if free is False:
        return _named(home / HOLDER)
    try:
        text = _text(home / HOLDER)
        return (_parsed(text) or Holder()) if _lives(home / HOLDER, text) else None
    except OSError:
        return None


def _named(path: Path) -> Holder:
    """Who has a lock, given a moment to say so."""
    for wait in (0.0, 0.1, 0.3, 0.6):
        time.sleep(wait)
        with suppress(OSError):
            if who := _parsed(_text(path)):
                return who
    return Holder()


def say(directory: Path, **facts: object) -> None:
    """Let the other ranks of this run hear something of the process that holds the directory.

    Raises:
        OSError: it could not be written.
    """
    _write(_home(directory), replace(this_process(), said=facts))


def release(directory: Path) -> None:
    """Hold a directory no longer."""
    home = _home(directory)
    file = _held.pop(home, None)
    if file is not None:
        with suppress(OSError):  # somebody moved the directory away
            (home / HOLDER).unlink(missing_ok=True)
        file.close()


@atexit.register
def release_all() -> None:
    """Hold nothing any more."""
    for home in list(_held):
        release(home)


def _let_go() -> None:
    """In a forked child: the lock is its parent's, and goes with that."""
    for file in _held.values():
        file.close()
    _held.clear()


os.register_at_fork(after_in_child=_let_go)
