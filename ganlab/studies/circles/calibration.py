"""Levels of the detector of circular artifacts from a stated rate of false positives.

seen = observe(generator_with_pn, range(2000), seed, reading_points(generator_with_pn))
levels = calibrated(seen, false_positive_rate=0.01).levels
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from torch import Tensor

from ganlab.studies.circles.levels import MINIMUM, PERSISTENCE, Levels, LevelsGiven, size_of
from ganlab.studies.circles.observation import Seen


@dataclass(frozen=True, eq=False)
class Calibration:
    """How levels were chosen on a generator that is taken to be free of artifacts."""

    levels: Levels
    scores: Tensor  # (N,) of these images, in units of the levels
    medians: Mapping[str, float]  # size -> median contrast

    @property
    def num_images(self) -> int:
        """How many were looked at."""
        return len(self.scores)

    @property
    def affected(self) -> int:
        """How many of them count as affected."""
        return int((self.scores > self.levels.threshold).sum())


def calibrated(
    seen: Seen,  # images of a generator that is taken to be free of artifacts, as one with PN
    false_positive_rate: float = 0.01,  # at most this share of them may count as affected
    minimum: LevelsGiven = MINIMUM,  # levels are never below this
    persistence: int = PERSISTENCE,
    source: str = "calibrated",
) -> Calibration:
    """Levels by which at most a given share of artifact-free images counts as affected.

    A size's level is the median contrast of these images, so that layers that peak by nature
    (coarse ones little, fine ones of few channels much) count alike; the threshold is the quantile
    of their scores. Levels never fall below `minimum` and the threshold never below 1: PN flattens
    maps so much that their small unevenness would make the levels.

    Raises:
        ValueError: a rate outside (0, 1).
    """
    if not 0 < false_positive_rate < 1:
        raise ValueError(
            f"study.false_positive_rate must be between 0 and 1, got {false_positive_rate}"
        )
    floor, contrasts = Levels(minimum), seen.contrasts().cpu()
    names = [seen.layers[i] for i in seen.steps]
    medians = {
        size_of(seen.layers[i]): float(contrasts[:, i].double().quantile(0.5)) for i in seen.steps
    }
    levels = {size_of(name): max(floor.of(name), medians[size_of(name)]) for name in names}
    scores = seen.detected(Levels(levels, 1.0, persistence)).score.cpu()
    rank = max(1, ceil((1 - false_positive_rate) * len(scores)))  # so many are not above it
    threshold = max(1.0, float(scores.kthvalue(rank).values))
    chosen = Levels(levels, threshold, persistence, source)
    return Calibration(chosen, scores, medians)
