"""What every study is: a frozen dataclass of its options that answers one question."""

import re
from dataclasses import dataclass

from lightning import Trainer

from ganlab.data.no_images import NoImages
from ganlab.features import Extractor
from ganlab.sampling import checked_noise
from ganlab.scoring.reals import data_of
from ganlab.studies.bench import Bench, Terms
from ganlab.studies.findings import Findings


def at_least(least: int, **options: int) -> None:
    """Raise ValueError, naming the option, where one of these is less."""
    for name, value in options.items():
        if value < least:
            raise ValueError(f"study.{name} must be at least {least}, got study.{name}={value}")


def inside_unit(**options: float) -> None:
    """Raise ValueError, naming the option, where one of these is not between 0 and 1."""
    for name, value in options.items():
        if not 0 < value < 1:
            raise ValueError(f"study.{name} must be between 0 and 1, got {value}")


def require_images(trainer: Trainer, study: str, purpose: str) -> None:
    """Raise ValueError where the data has no images; says which study needs them for what."""
    data = data_of(trainer)
    if isinstance(data, NoImages):
        raise ValueError(
            f"study={study} {purpose} and this checkpoint names none: give them, as in "
            f"data=folder data.path=<folder> data.resolution={data.resolution}"
        )


def require_features(extractor: Extractor | None, study: str) -> None:
    """Raise ValueError where neither the checkpoint nor the command line names features."""
    if extractor is None:
        raise ValueError(
            f"study={study} needs features and this checkpoint names none: choose some, as in "
            "features=inception or features=classifier"
        )


@dataclass(frozen=True, kw_only=True)
class Question(Terms):
    """A question asked of a trained generator: `run` answers it at a bench.

        Study(MyStudy(num=100, directory="out"))            # the callback for `trainer.test`

    A study adds its own options as fields, each with a comment and a default, and refuses values
    in `__post_init__`, what does not fit the checkpoint in `check`. With a suite the plain
    generator is scored first, unless `baseline` is False.

    Raises:
        ValueError: a batch of less than one image, no such noise, or `label` beside `labels`.
    """

    baseline = True  # whether the scores of the first latents are this study's baseline

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")
        checked_noise(self.noise)
        _ = self.told

    def preflight(self) -> None:
        """Raise, before any data is read, if weights that are needed are not to be had."""

    def check(self, bench: Bench) -> None:
        """Raise ValueError, before anything is scored, for what does not fit this checkpoint."""

    def run(self, bench: Bench) -> Findings:
        """Answer; runs on every rank."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class FeatureQuestion(Question):
    """A question that is answered in features, besides what the suite scores.

    Raises:
        ValueError: there is no extractor.
    """

    extractor: Extractor  # of these features; its name is part of the names of what is measured

    def preflight(self) -> None:
        """Raise, before any data is read, if the extractor's weights are not to be had."""
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()
        require_features(self.extractor, name)
        self.extractor.preflight()

    def check(self, bench: Bench) -> None:
        """Fetch the weights."""
        self.extractor.prepare()
