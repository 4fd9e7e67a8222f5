"""Images of chosen latents without and with interventions: scored and compared in one pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from ganlab.features import Extractor
from ganlab.metrics.repair import Repair, repair, tap_features
from ganlab.nn.ablation import Census, share_silenced
from ganlab.sampling import Edits, EditsAt
from ganlab.studies.bench import Bench


@dataclass(frozen=True)
class Measured:
    """What was measured on the images under one intervention."""

    values: dict[str, float]  # metric -> score; empty without a suite
    features: Tensor | None  # (N, d) in the order of the latents; None without an extractor
    silenced: float = 0.0  # share of the layers' activated neurons that were set to zero
    repair: Repair | None = None  # against the same images without; None where no features are


class Interventions:
    """Scores images of the same latents again and again, and keeps them beside the plain ones.

    The baseline is the score of those very images without any intervention. Without a suite nothing
    is scored, and features come from `extractor`; without either, images are made for the census.
    """

    def __init__(self, bench: Bench, indices: Sequence[int], extractor: Extractor | None) -> None:
        self.bench, self.indices = bench, indices
        self.extractor = extractor if bench.suite is None else bench.suite.extractor
        if self.extractor is not None:
            self.extractor.to(bench.device)

    @cached_property
    def baseline(self) -> Measured:
        """The baseline, on record."""
        values, features = self.evaluate("baseline", None)
        self.bench.record(values)
        compared = None if features is None else repair(features, features)
        return Measured(values, features, repair=compared)

    @property
    def monitor(self) -> str | None:
        """The metric that decides what is best; None where nothing is scored."""
        return self.bench.monitor(self.baseline.values)

    def measure(self, title: str, edits: Edits | EditsAt, census: Census) -> Measured:
        """The same images under these edits, which the census watches."""
        before = self.baseline.features
        values, features = self.evaluate(title, edits)
        counts = self.bench.ranks.sum(census.counts)
        compared = None if before is None or features is None else repair(before, features)
        return Measured(values, features, share_silenced(counts), compared)

    def evaluate(
        self, title: str, edits: Edits | EditsAt | None
    ) -> tuple[dict[str, float], Tensor | None]:
        """Scores, and features in the order of the latents, all ranks together."""
        bench = self.bench
        if self.extractor is None:
            for _ in bench.images(title, self.indices, edits):
                pass
            return {}, None
        values: dict[str, float] = {}
        with tap_features(self.extractor) as features:
            if bench.suite is not None:
                values = bench.score(title, self.indices, edits)
            else:
                for images in bench.images(title, self.indices, edits):
                    self.extractor(images.float())
        return values, bench.ranks.gather(features)

    def left_out(self) -> list[str]:
        """What a reader must know where something is left out."""
        notes = []
        if self.bench.suite is None:
            notes.append("no reals (study.suite=null): nothing is scored")
        if self.extractor is None:
            notes.append("no extractor: repair and replacement are not told apart")
        return notes


def preflight(suite: object | None, extractor: Extractor | None) -> None:
    """Raise if the weights of an extractor that stands in for a suite's are not to be had."""
    if suite is None and extractor is not None:
        extractor.preflight()


def check(bench: Bench, extractor: Extractor | None, num: int) -> None:
    """Refuse so few images that a score is undefined; fetch the weights of the extractor."""
    bench.scoring.check_sizes(num)
    if bench.suite is None and extractor is not None:
        extractor.prepare()
