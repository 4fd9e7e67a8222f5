"""What this process can tell of others: of marks that some left, and of ranks started beside it."""

import hashlib
import math
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")
NUMBERS = Path("/proc/self/ns/pid")  # names the process numbers that this one sees
# Set where somebody else starts the ranks of a run, or one process of each node.
RANKS = ("SLURM_PROCID", "RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK")
# Sets of variables that name one start of a run's ranks; the first set that is there counts. Not
# the first node's address, whose spelling may differ, nor the steps that agents of torchrun run in.
STARTS = (
    ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "MASTER_PORT"),
    ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT"),
    ("MASTER_PORT",),
)


# Ask a process to save and end; a second one does not wait. A terminal that closes sends the last.
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def heeded_signals(numbers: Sequence[int]) -> tuple[int, ...]:
    """Those signals without a hangup that whoever started this process set aside, as nohup does."""
    aside = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return tuple(number for number in numbers if number != signal.SIGHUP or not aside)


def is_running(pid: int) -> bool:
    """Whether a process of this machine exists and has not ended; a zombie has.

    A number from a damaged file may be one that no process has.
    """
    if not 0 < pid < 2**31:
        return False
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


def start_of(pid: int) -> int | None:
    """When a process of this machine started, in ticks since it booted; None if unknown.

    A number that is used again is another process's, which started later.
    """
    fields = _stat(pid)
    return int(fields[19]) if len(fields) > 19 else None


def external_rank(environment: Mapping[str, str] = os.environ) -> int:
    """0 for the first of the processes that were started for one run, more for every other."""
    return max((int(environment[name]) for name in RANKS if environment.get(name)), default=0)


def start_token(environment: Mapping[str, str] = os.environ) -> str:
    """What the ranks of one start have in common, and those of another mostly not; "" for one."""
    said = ([environment.get(name, "") for name in names] for names in STARTS)
    return next(("/".join(values) for values in said if values[0]), "")


def place() -> str | None:
    """Twelve hexadecimal digits of where a process number means the same process; None if unknown.

    Another machine, another container and the time before a restart are other places.
    """
    try:
        facts = f"{socket.gethostname()}\n{BOOT.read_text()}\n{NUMBERS.readlink()}"
    except OSError:  # no Linux
        return None
    return hashlib.sha256(facts.encode()).hexdigest()[:12]
