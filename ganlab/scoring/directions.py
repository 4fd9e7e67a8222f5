"""Which way each score improves, and which of them decides what is best."""

import math
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from ganlab.metrics import Suite
from ganlab.report.directions import UNSAID, Ways, way_of


def direction(metric: str, ways: Ways = UNSAID) -> str:
    """`min` or `max`: which way the named metric improves.

    Raises:
        ValueError: a name of no known family, or one that improves neither way.
    """
    found = way_of(metric, ways)
    if found is None:
        raise ValueError(f"monitor={metric}: cannot tell whether less or more is better")
    return found


def better(metric: str, new: float, old: float | None, ways: Ways = UNSAID) -> bool:
    """Whether a score beats the best so far; what is not finite never does, all else beats nothing.

    No score of a metric that improves neither way is better than another, or than nothing.
    """
    way = way_of(metric, ways)
    if way is None or not math.isfinite(new):
        return False
    return old is None or (new < old if way == "min" else new > old)


def chosen_monitor(names: Sequence[str], asked: str | None, ways: Ways = UNSAID) -> str:
    """The metric that decides which checkpoint is best: the one asked for, else the first FID.

    Without a FID it is the first that improves in one way, if any does.

    Raises:
        ValueError: one that is not computed, of which the message lists those that are, or one of
            which neither less nor more is better.
    """
    if asked is None:
        fids = [name for name in names if name.startswith("fid")]
        return [*fids, *(name for name in names if way_of(name, ways)), *names][0]
    if asked not in names:
        near = get_close_matches(asked, names, 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"monitor={asked} is not computed{meant}; there are {', '.join(names)}")
    direction(asked, ways)
    return asked


def marks(columns: Iterable[str], metric: str | None, ways: Ways = UNSAID) -> dict[str, str]:
    """Table columns of a metric with the way in which their best is; none if it has no way."""
    way = None if metric is None else way_of(metric, ways)
    return {} if way is None else dict.fromkeys(columns, way)


def refuse_unknown(metric: str, suite: Suite) -> None:
    """Refuse, before anything is trained, a metric that no score of the suite can go by.

    Raises:
        ValueError: its name ends otherwise than those of the suite's scores, or improves neither
            way.
    """
    names = suite.known_names()
    direction(metric, suite.ways)
    if names is not None:
        chosen_monitor(names, metric, suite.ways)
        return
    endings = {suite.name_of("", score.protocol, score.source) for score in suite.metrics.values()}
    if not any(metric.endswith(ending) for ending in endings):
        raise ValueError(
            f"scores.monitor={metric} is not computed: the names of these scores end in "
            f"{', '.join(sorted(endings))}"
        )
