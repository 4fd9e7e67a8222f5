"""What a scheduler asks of a run, and a run of SLURM: its job again, once it has saved."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping

AGAIN = (signal.SIGUSR1, signal.SIGUSR2)  # a scheduler's: save, stop, and run again later
PATIENCE = 60  # seconds that scontrol may take


def own_job(environment: Mapping[str, str] = os.environ) -> str | None:
    """The name of the job that this process must put back by itself, as scontrol takes it.

    None outside SLURM, and under submitit, which does it itself.
    """
    if environment.get("SUBMITIT_EXECUTOR"):
        return None
    name = environment.get("SLURM_JOB_ID", "")
    array, task = (environment.get(f"SLURM_ARRAY_{part}_ID") for part in ("JOB", "TASK"))
    if array and task:
        name = f"{array}_{task}"
    return name if re.fullmatch(r"\d+(_\d+)?", name) else None


def requeue() -> None:
    """Put this process's job back into the queue, if it is in one; says what came of it."""
    job = own_job()
    if job is None:
        return
    try:
        done = subprocess.run(
            ["scontrol", "requeue", job],
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        trouble = "" if done.returncode == 0 else done.stderr or f"exit code {done.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        trouble = str(error)
    if trouble:
        why = " ".join(trouble.split())
        print(f"error: job {job} was not requeued ({why}): submit it again", file=sys.stderr)
    else:
        print(f"job {job} is back in the queue and goes on when it is its turn", file=sys.stderr)
