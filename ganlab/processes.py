"""What this process can tell of others, that ran or still run, from the marks they left."""

import hashlib
import math
import os
import socket
from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")
NUMBERS = Path("/proc/self/ns/pid")  # names the process numbers that this one sees


def is_running(pid: int) -> bool:
    """Whether a process of this machine exists and has not ended; a zombie has."""
    try:
        os.kill(pid, 0)  # asks, and sends nothing
        return (_stat(pid) or ["R"])[0] not in "ZX"
    except PermissionError:  # somebody else's
        return True
    except OSError:
        return False


def is_stopped(pid: int) -> bool:
    """Whether a process of this machine was stopped, by SIGSTOP or Ctrl-Z, and not continued."""
    return (_stat(pid) or ["R"])[0] == "T"


def busy_seconds(pid: int) -> float:
    """Processor time that a process has used so far; infinite where it waits for a disk."""
    fields = _stat(pid)
    if not fields:
        return 0.0
    ticks = os.sysconf("SC_CLK_TCK")
    return math.inf if fields[0] == "D" else sum(map(int, fields[11:13])) / ticks


def _stat(pid: int) -> list[str]:
    """What Linux tells of a process, from its state on; nothing elsewhere, or of one long gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def place() -> str | None:
    """Twelve hexadecimal digits of where a process number means the same process; None if unknown.

    Another machine, another container and the time before a restart are other places.
    """
    try:
        facts = f"{socket.gethostname()}\n{BOOT.read_text()}\n{NUMBERS.readlink()}"
    except OSError:  # no Linux
        return None
    return hashlib.sha256(facts.encode()).hexdigest()[:12]
