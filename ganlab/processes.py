"""What this process can tell of others, that ran or still run, from the marks they left."""

import hashlib
import os
import socket
from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")
NUMBERS = Path("/proc/self/ns/pid")  # names the process numbers that this one sees


def alive(pid: int) -> bool:
    """Whether a process of that number runs where this one does."""
    try:
        os.kill(pid, 0)  # asks, and sends nothing
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def place() -> str | None:
    """Twelve hexadecimal digits of where a process number means the same process; None if unknown.

    Another machine, another container and the time before a restart are other places.
    """
    try:
        facts = f"{socket.gethostname()}\n{BOOT.read_text()}\n{NUMBERS.readlink()}"
    except OSError:  # no Linux
        return None
    return hashlib.sha256(facts.encode()).hexdigest()[:12]
