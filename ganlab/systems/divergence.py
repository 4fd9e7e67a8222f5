"""Whether a run's losses left the range in which they mean something."""

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from lightning import Trainer

from ganlab.cli import tell
from ganlab.report.results import divergence_text
from ganlab.systems.random_state import gather
from ganlab.systems.training import Training

# The unit of every loss here is 1: a margin, a target, a nat, the slope that a critic may have.
# From 2^16 on neighbouring float32s are 2^-7 apart or more, no closer than bf16's are around 1,
# and bf16 is the coarsest arithmetic that we train in. Wasserstein losses, which have no zero of
# their own, drift to thousands in sound runs, not that far.
LOSS = 2.0**16
# From 2^24 on a float32 does not count units at all. That far a sum over pixels may go (half a
# squared error of images in [-1, 1] is at most 2 a value: 6e6 at 1024 x 1024), and a penalty until
# nothing is left of the loss that it is added to.
SUM = 2.0**24
SUMS = ("loss/reconstruction", "penalty/")


def threshold_of(name: str) -> float:
    """The magnitude from which the mean of this name means nothing."""
    if name.startswith(SUMS):
        return SUM
    return LOSS if name.startswith("loss/") else math.inf


def first_divergence(means: Mapping[str, float]) -> dict[str, Any] | None:
    """The first of these means that is out of range, NaN included: its name, value, threshold."""
    for name, value in means.items():
        limit = threshold_of(name)
        if limit < math.inf and not abs(value) < limit:
            return {"loss": name, "value": value, "threshold": limit}
    return None


def watch(trainer: Trainer, system: Training, means: Mapping[str, float]) -> bool:
    """Look at the newest means; whether the run has diverged, now or before, on any rank.

    All ranks look at the same moments, and the first finding stays in the system's running means
    and its checkpoints. Rank 0 says it once.
    """
    known = system.running_means.diverged
    seen_here = known or _found(system, means)
    system.running_means.diverged = next((each for each in gather(seen_here) if each), None)
    if system.running_means.diverged and not known and trainer.is_global_zero:
        told = divergence_text({"diverged": system.running_means.diverged})
        tell(f"diverged: {told}. {ADVICE}")
    return system.running_means.diverged is not None


def at_the_end(system: Training) -> dict[str, Any]:
    """What `result.json` says of it, the steps since the last row included; or nothing."""
    found = system.running_means.diverged
    with suppress(RuntimeError):  # of a device that is lost
        found = found or _found(system, system.running_means.read())
    return {"diverged": found} if found else {}


def _found(system: Training, means: Mapping[str, float]) -> dict[str, Any] | None:
    found = first_divergence(means)
    return found and {"at_kimg": system.images_seen / 1000, **found}


ADVICE = (
    "What follows means little and is no best.ckpt; Ctrl-C stops the run. Try a lower learning "
    "rate, or a larger penalty."
)
