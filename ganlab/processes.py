"""What this process can tell of others, that ran or still run, from the marks they left."""

import hashlib
import os
import socket
from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")
NUMBERS = Path("/proc/self/ns/pid")  # names the process numbers that this one sees


def is_running(pid: int) -> bool:
    """Whether a process of this machine exists and has not ended; a zombie has."""
    try:
        os.kill(pid, 0)  # asks, and sends nothing
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except PermissionError:  # somebody else's
        return True
    except OSError:
        return False


def place() -> str | None:
    """Twelve hexadecimal digits of where a process number means the same process; None if unknown.

    Another machine, another container and the time before a restart are other places.
    """
    try:
        facts = f"{socket.gethostname()}\n{BOOT.read_text()}\n{NUMBERS.readlink()}"
    except OSError:  # no Linux
        return None
    return hashlib.sha256(facts.encode()).hexdigest()[:12]
