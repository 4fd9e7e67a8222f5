"""What every study is: a frozen dataclass of its options that answers one question."""

from dataclasses import dataclass
from pathlib import Path

from ganlab.metrics import Suite
from ganlab.sampling import checked_noise
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question asked of a trained generator: `run` answers it at a bench.

        Study(MyStudy(num=100, directory="out"))            # the callback for `trainer.test`

    A study adds its own options as fields, each with a comment and a default, and refuses values
    in `__post_init__`, what does not fit the checkpoint in `check`. With a suite the plain
    generator is scored first, unless `baseline` is False.

    Raises:
        ValueError: a batch of less than one image, or no such noise.
    """

    suite: Suite | None = None  # scores the generator; None = score nothing
    seed: int = 0  # of the latents, which are addresses
    batch_size: int = 100  # images at a time; changes no result beyond rounding
    monitor: str | None = None  # metric that decides what is best; None = the first FID
    directory: str | Path | None = None  # where the files go; None = nowhere
    cache: str | Path | None = None  # folder of real statistics; None = the user's cache

    noise = "fixed"  # of all images; studies that let it be chosen have an option of this name
    noise_told = False  # whether the records of scores say which noise
    baseline = True  # whether the scores of the first latents are this study's baseline

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")
        checked_noise(self.noise)

    def preflight(self) -> None:
        """Raise, before any data is read, if weights that are needed are not to be had."""

    def check(self, bench: Bench) -> None:
        """Raise ValueError, before anything is scored, for what does not fit this checkpoint."""

    def run(self, bench: Bench) -> Findings:
        """Answer; runs on every rank."""
        raise NotImplementedError
