"""Means of runs and of pairs of runs: one number in a table, with what is sure of it."""

import math
import statistics
from collections.abc import Sequence

from scipy.special import stdtrit  # the quantile of Student's t


class Mean(float):
    """The mean of several values, itself a number; shown as `mean ± std` in every form."""

    spread: float  # sample standard deviation, n - 1 in the denominator
    count: int

    @property
    def beside(self) -> dict[str, float]:
        """What is sure of it, by the names of its columns in a file."""
        return {"std": self.spread}

    @classmethod
    def of(cls, values: Sequence[float]) -> float:
        """The mean of one or more values; a single one stays the plain number it is.

        A value that is not finite makes mean and spread so.
        """
        if len(values) == 1:
            return float(values[0])
        centre = sum(values) / len(values)
        mean = cls(centre)
        finite = centre - centre == 0  # neither NaN nor infinite
        mean.spread = statistics.stdev(values) if finite else float("nan")
        mean.count = len(values)
        return mean


class Difference(float):
    """The mean of paired differences, itself a number; shown with its interval in every form."""

    low: float  # ends of its 95% interval
    high: float

    @property
    def beside(self) -> dict[str, float]:
        """What is sure of it, by the names of its columns in a file."""
        return {"low": self.low, "high": self.high}

    @classmethod
    def of(cls, values: Sequence[float]) -> "Difference | None":
        """The mean of differences with Student's interval; None of fewer than two.

        mean +- t(0.975; n - 1) s / sqrt(n), with s their sample standard deviation: what the mean
        of more pairs would be, if they came from a normal distribution.
        """
        n = len(values)
        if n < 2:
            return None
        found = cls(sum(values) / n)
        finite = all(map(math.isfinite, values))
        spread = statistics.stdev(values) if finite else float("nan")
        half = float(stdtrit(n - 1, 0.975)) * spread / math.sqrt(n)
        found.low, found.high = found - half, found + half
        return found
