"""Which way a score improves: as its record says, in whose metric's class it was declared."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

Ways = Mapping[str, str]  # full name of a score -> `min`, `max` or `neither`
UNSAID: Ways = MappingProxyType({})

# Scores whose results do not say. Lower: distances, likeness among the generated, how often people
# or distances told fakes apart, and how many images have an artifact.
_LOWER = re.compile(
    r"(fid|kid|mind|swd|ms_ssim|ppl|lpips|copies|human_accuracy|artifact_incidence)(?=[\d_]|$)"
)
_HIGHER = re.compile(
    r"(precision|recall|pr|realism|is|(clipped_)?(density|coverage)|rarity_share|parzen)(?=[\d_]|$)"
)
_SPREAD = re.compile(r"[a-z_]*_(std|se|sigma|slope)(\d|_|$)")  # how sure a score is, not how good


def ways_of(records: Iterable[Mapping[str, Any]]) -> Ways:
    """What records of scores say of themselves."""
    return {str(each["metric"]): each["best"] for each in records if "best" in each}


def way_of(metric: str, ways: Ways = UNSAID) -> str | None:
    """`min` or `max`; None for a spread, or for a score that improves neither way or is unknown.

    A score that `ways` does not name is judged by its own name.
    """
    if metric in ways:
        return None if ways[metric] == "neither" else ways[metric]
    name = metric.lower()
    if _SPREAD.match(name):
        return None
    return "min" if _LOWER.match(name) else "max" if _HIGHER.match(name) else None


def is_spread(metric: str) -> bool:
    """Whether a value says how sure another score is."""
    return bool(_SPREAD.match(metric.lower()))
