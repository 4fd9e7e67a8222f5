"""What counts as a circular artifact: how far a peak must stand out, and over how many layers."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ganlab.checks.fields import is_number
from ganlab.storage import read_text
from ganlab.storage.atomic import replace_file
from ganlab.studies.circles.channels import FEWEST, NUM

LevelsGiven = float | Mapping[str, float]
FILE = "levels.json"
PERSISTENCE = 2  # consecutive resolutions
MINIMUM = 2.5  # peak over the 90% quantile, below which nothing counts as standing out


def size_of(layer: str) -> str:
    """`8x8` of `8x8/1`."""
    return layer.partition("/")[0]


@dataclass(frozen=True)
class Levels:
    """What counts as an artifact, and how that was chosen."""

    levels: LevelsGiven = MINIMUM  # contrast that stands out; by size, as {8x8: 3}
    threshold: float = 1.0  # an image is affected above this score, in units of its levels
    persistence: int = PERSISTENCE  # consecutive resolutions a peak must be found at
    source: str = "as configured"
    channel: float | None = None  # one channel's peak over its highest elsewhere; None = not asked
    reference: int = NUM  # images in which it is looked for elsewhere

    def __post_init__(self) -> None:
        if (self.channel is not None and self.channel <= 0) or self.reference < FEWEST:
            raise ValueError(
                f"study.channel_level={self.channel} must be above 0 or null, and "
                f"study.num_reference={self.reference} at least {FEWEST}"
            )
        values = self.levels.values() if isinstance(self.levels, Mapping) else [self.levels]
        if any(value <= 0 for value in values) or self.threshold <= 0 or self.persistence < 1:
            raise ValueError(
                f"study.levels={self.levels}, study.threshold={self.threshold} and "
                f"study.persistence={self.persistence} must be above 0"
            )

    @property
    def compared_with(self) -> int | None:
        """How many other images a channel is compared with; None = channels are not looked at."""
        return None if self.channel is None else self.reference

    def of(self, layer: str) -> float:
        """The contrast that stands out in a layer; where sizes are listed, of others `MINIMUM`."""
        if isinstance(self.levels, Mapping):
            return self.levels.get(size_of(layer), MINIMUM)
        return self.levels

    def text(self) -> str:
        """For notes and records."""
        given = self.levels if isinstance(self.levels, Mapping) else {"": self.levels}
        shown = {"": next(iter(given.values()))} if len(set(given.values())) == 1 else given
        text = ", ".join(f"{size} {value:.3g}".strip() for size, value in shown.items())
        found = (
            f"peak over {self.threshold:.3g} x its level ({text}) times the 90% quantile at "
            f"{self.persistence} consecutive resolutions"
        )
        if self.channel is None:
            return found
        return (
            f"{found}, or one channel's clearance over {self.threshold:.3g} x {self.channel:.3g} "
            f"times what it reaches in {self.reference} other images"
        )

    def save(self, path: Path) -> Path:
        """Write them as JSON, for another run's `study.levels_from`."""
        facts = asdict(self)
        if isinstance(self.levels, Mapping):
            facts["levels"] = dict(self.levels)
        return replace_file(path, json.dumps(facts, indent=2).encode())

    @classmethod
    def load(cls, path: str | Path) -> "Levels":
        """Read a file of `save`, or `levels.json` of a run's directory.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it holds no levels.
        """
        path = Path(path).expanduser()
        path = path / FILE if path.is_dir() else path
        try:
            return cls._of(json.loads(read_text(path)))
        except FileNotFoundError:
            raise FileNotFoundError(
                f"study.levels_from={path}: no such file; give a checkpoint of a generator "
                "without artifacts, or a run of study=circular_artifacts"
            ) from None
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"study.levels_from={path} holds no levels: {error}") from error

    @classmethod
    def _of(cls, found: Mapping[str, Any]) -> "Levels":
        """What a file says; raises ValueError or TypeError where that cannot be."""
        made = cls(**found)
        several = made.levels if isinstance(made.levels, dict) else {"": made.levels}
        values: list[Any] = [*several.values(), made.threshold, made.persistence, made.reference]
        values += [] if made.channel is None else [made.channel]
        for value in values:
            if not is_number(value) or not math.isfinite(value):
                raise ValueError(f"{value!r:.40} is no level")
        counts = (made.persistence, made.reference)
        if not all(type(count) is int for count in counts) or not isinstance(made.source, str):
            raise ValueError("persistence and reference are whole numbers and source a text")
        return made
