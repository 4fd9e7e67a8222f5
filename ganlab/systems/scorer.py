"""What the end of a run and its checkpoints ask of a callback that scores."""

from typing import Any, NamedTuple

from lightning import Callback, Trainer


class Scoring(NamedTuple):
    """What one scoring in training found."""

    images_seen: int
    metric: str  # the monitored one, by its full name
    value: float
    way: str  # it improves: `min` or `max`
    unfinished: bool  # whether the networks still grow


class Scorer(Callback):
    """A callback whose records stand in `result.json`.

    One that scores in training may say which checkpoint is the best, in the batch it is scored in.
    """

    improved: bool = False  # whether the scoring in this very batch set a new best
    best: float | None = None  # value of it

    @property
    def newest(self) -> Scoring | None:
        """The newest scoring in training, if it has scored and goes by a metric that improves."""
        return None

    @property
    def records(self) -> list[dict[str, Any]]:
        """One per value, as in `result.json`."""
        return []

    def preflight(self) -> None:
        """Raise, before hours are spent without it, if something that is needed is not there."""


def scorers(trainer: Trainer) -> list[Scorer]:
    """Those of a trainer's callbacks that score."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, Scorer)]
