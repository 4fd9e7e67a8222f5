"""Which way a score improves, by its name."""

import re

# distances, likeness among the generated, how often people or distances told fakes apart, and how
# many images have an artifact
_LOWER = re.compile(
    r"(fid|kid|swd|ms_ssim|ppl|lpips|copies|human_accuracy|artifact_incidence)(?=[\d_]|$)"
)
_HIGHER = re.compile(r"(precision|recall|pr|realism|is|density|coverage|parzen)(?=[\d_]|$)")
_SPREAD = re.compile(r"[a-z_]*_(std|se|sigma|slope)(\d|_|$)")  # how sure a score is, not how good


def way_of(metric: str) -> str | None:
    """`min` or `max`; None for a spread, or for a score that improves neither way or is unknown."""
    name = metric.lower()
    if _SPREAD.match(name):
        return None
    return "min" if _LOWER.match(name) else "max" if _HIGHER.match(name) else None


def is_spread(metric: str) -> bool:
    """Whether a value says how sure another score is."""
    return bool(_SPREAD.match(metric.lower()))


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value of this score is the better one."""
    return way_of(metric) == "min"
