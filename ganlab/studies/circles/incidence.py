"""How often a generator makes circular artifacts: in a study, or at the end of a training run."""

import warnings
from dataclasses import dataclass
from typing import Any

from lightning import Trainer

from ganlab.metrics import wilson_interval
from ganlab.metrics.suite import short_count
from ganlab.sampling import Sampler
from ganlab.studies.circles.channels import NUM, usual_peaks
from ganlab.studies.circles.levels import MINIMUM, PERSISTENCE, Levels, LevelsGiven
from ganlab.studies.circles.observation import Detected, Seen, observe, reading_of, reading_points
from ganlab.studies.ranks import Ranks
from ganlab.systems.scorer import Scorer

METRIC = "artifact_incidence"


@dataclass(frozen=True)
class Incidence:
    """The share of affected images, with its Wilson interval."""

    share: float
    low: float
    high: float
    num_images: int
    confidence: float  # of the interval

    @classmethod
    def of(cls, found: Detected, confidence: float = 0.95) -> "Incidence":
        """Of these images.

        Raises:
            ValueError: a confidence outside (0, 1).
        """
        num = len(found.score)
        share = found.affected.double().mean().cpu()
        low, high = wilson_interval(share, num, confidence)
        ends = (0.0 if share == 0 else float(low), 1.0 if share == 1 else float(high))  # exactly
        return cls(float(share), *ends, num, confidence)

    def sentence(self) -> str:
        """In words."""
        return (
            f"{self.share:.2%} of {self.num_images} images affected (Wilson interval at "
            f"{self.confidence:.0%}: {self.low:.2%} to {self.high:.2%})"
        )

    def records(self, levels: Levels, reading: str, **facts: Any) -> list[dict[str, Any]]:
        """Share and both ends of its interval, as they stand in result.json.

        The reading and the levels stand where a score has its extractor: incidences compare if
        these are equal.
        """
        name = f"{METRIC}{short_count(self.num_images)}"
        ends = {name: self.share, f"{name}_low": self.low, f"{name}_high": self.high}
        common = {
            "n_real": None,
            "n_fake": self.num_images,
            "extractor": f"spikes {reading}, {levels.text()}",
            "extractor_sha256": "",
            "resize": "none",
            "truncation": None,
            "ema": True,
            "confidence": self.confidence,
        }
        return [
            {"metric": metric, "value": value, **common, **facts} for metric, value in ends.items()
        ]


def observe_by_ranks(
    ranks: Ranks,
    sampler: Sampler,
    num: int,  # latents 0 .. num-1
    read: str,  # as of `reading_points`
    reference: int | None = None,  # other images that channels are compared with; None = are not
    title: str = "artifacts",  # of the progress bar
) -> Seen:
    """The spikes of these latents' images, each rank looking at its share; the same on all."""
    points = reading_points(sampler.generator, read)
    usual = None if reference is None else usual_peaks(sampler, reference, ranks)
    share = ranks.share(range(num))
    some = share or [0]  # a rank without images looks at one for the sizes
    own = observe(sampler, ranks.progress(some, title), points, usual=usual)
    alone = None if own.alone is None else ranks.assemble(own.alone, share, num)
    return Seen(own.layers, own.sizes, ranks.assemble(own.table, share, num), alone)


class CircleIncidence(Scorer):
    """Looks for circular artifacts in the averaged generator at the end of its training.

    What it finds stands in result.json beside the scores and in a sweep's table. It observes: no
    weight and no random number of the run depends on it.

    Raises:
        ValueError: no images, levels that are none, or a generator without style layers.
    """

    def __init__(
        self,
        num_images: int = 2000,  # latents 0 .. num_images-1
        seed: int = 0,  # of the latents
        read: str = "style",  # or norm, activation: see `observation.reading_points`
        levels: LevelsGiven = MINIMUM,  # contrast that stands out; by size, as {8x8: 3}
        threshold: float = 1.0,  # score above which an image is affected
        persistence: int = PERSISTENCE,  # consecutive resolutions
        channel_level: float | None = None,  # one channel's peak over its highest in
        num_reference: int = NUM,  # other images; None = channels are not looked at
        confidence: float = 0.95,  # of the Wilson interval
        batch_size: int = 100,
    ) -> None:
        super().__init__()
        if num_images < 1 or not 0 < confidence < 1:
            raise ValueError(
                f"callbacks.circles.num_images={num_images} must be at least 1 and confidence="
                f"{confidence} between 0 and 1"
            )
        self.num_images, self.seed, self.read, self.batch_size = num_images, seed, read, batch_size
        self.levels = Levels(
            levels, threshold, persistence, channel=channel_level, reference=num_reference
        )
        self.confidence = confidence
        self.found: list[dict[str, Any]] = []

    @property
    def records(self) -> list[dict[str, Any]]:
        """One per size and kind, as in result.json."""
        return self.found

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse a generator without style layers before it is trained."""
        reading_points(pl_module.generator_ema, self.read)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Look, unless the run stopped before its length."""
        if not pl_module.complete:
            return
        sampler = Sampler.of(pl_module, self.seed, batch_size=self.batch_size)
        reference = self.levels.compared_with
        seen = observe_by_ranks(Ranks(trainer), sampler, self.num_images, self.read, reference)
        try:
            found = Incidence.of(seen.detect(self.levels), self.confidence)
        except ValueError as error:  # a run too short to grow so far keeps its other results
            warnings.warn(f"no incidence of artifacts: {error}", stacklevel=2)
            return
        facts = {"seed": self.seed, "images_seen": pl_module.images_seen}
        self.found = found.records(self.levels, reading_of(sampler.generator, self.read), **facts)

    def state_dict(self) -> dict[str, Any]:
        """What a resume of a finished run must know."""
        return {"records": [dict(record) for record in self.records]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self.found = list(state_dict["records"])
