"""Stops a run whose score no longer improves: a rule of the system, fed by whoever scores it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ganlab.systems.scorer import Scorer, Scoring


@dataclass
class Patience:
    """How many scorings in a row may fail to improve the best by more than a difference.

    Scores of images that are smaller than they will be, while networks grow, do not count, nor do
    those before the first that is finite.

    Raises:
        ValueError: names the key.
    """

    patience: int | None = None  # scorings; None = the run ends at its length alone
    min_delta: float = 0.0  # what is an improvement is larger than this
    best: float | None = None  # of the monitored score
    metric: str | None = None  # its name
    waited: int = 0  # scorings since the best
    looked_at: int | None = None  # images seen at the newest scoring it knows

    def __post_init__(self) -> None:
        if self.patience is not None and (type(self.patience) is not int or self.patience < 1):
            raise ValueError(
                f"stop.patience={self.patience} should be null or a whole number from 1"
            )
        number = isinstance(self.min_delta, int | float) and not isinstance(self.min_delta, bool)
        if not number or not 0 <= self.min_delta < math.inf:
            raise ValueError(f"stop.min_delta={self.min_delta} should be a number of at least 0")

    @property
    def exhausted(self) -> bool:
        """Whether it is time to stop."""
        return self.patience is not None and self.best is not None and self.waited >= self.patience

    def anew(self, scorers: Sequence[Scorer]) -> None:
        """Begin as a branch: what the run that it left was told by these is no score of its own."""
        self.best, self.metric, self.waited = None, None, 0
        if (newest := newest_of(scorers)) is not None:
            self.looked_at = newest.images_seen

    def look(self, scorers: Sequence[Scorer]) -> None:
        """Take note of the newest scoring, if there is one that is not known."""
        newest = newest_of(scorers)
        if newest is None or newest.images_seen == self.looked_at:
            return
        self.looked_at = newest.images_seen
        if newest.metric != self.metric or newest.unfinished:
            self.metric, self.best, self.waited = newest.metric, None, 0
        if newest.unfinished:
            return
        if self.improves(newest):
            self.best, self.waited = newest.value, 0
        elif self.best is not None:
            self.waited += 1

    def improves(self, newest: Scoring) -> bool:
        """Whether a score is better than the best by more than `min_delta`."""
        if not math.isfinite(newest.value):
            return False
        if self.best is None:
            return True
        gain = self.best - newest.value if newest.way == "min" else newest.value - self.best
        return gain > self.min_delta

    @property
    def told(self) -> str:
        """Why a run was stopped, and how it goes on."""
        return (
            f"{self.metric} has not improved on {self.best:g} by more than {self.min_delta:g} in "
            f"{self.waited} scorings; stop.patience={2 * self.waited} would go on"
        )

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        names = ("best", "metric", "waited", "looked_at")
        return {name: vars(self)[name] for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.best, self.metric = state["best"], state["metric"]
        self.waited, self.looked_at = state["waited"], state["looked_at"]


def newest_of(scorers: Sequence[Scorer]) -> Scoring | None:
    """The newest scoring of the first of these that goes by one; None where none does yet."""
    return next((each.newest for each in scorers if each.newest is not None), None)
