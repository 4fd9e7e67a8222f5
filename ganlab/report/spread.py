"""A mean that carries its spread into every form of a table."""

import statistics
from collections.abc import Sequence


class Mean(float):
    """The mean of several values, itself a number; shown as `mean ± std`."""

    spread: float  # sample standard deviation, n - 1 in the denominator
    count: int

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
