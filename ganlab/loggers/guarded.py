"""A tracker that fails, or does not answer, is left behind; the run goes on."""

import logging
import threading
from argparse import Namespace
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers.logger import DummyExperiment
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import Tensor, nn

from ganlab.loggers.pictures import Picture
from ganlab.loggers.tracker import Tracker

log = logging.getLogger(__name__)

T = TypeVar("T")

ANSWER = 120.0  # seconds a tracker may take over a row, a picture or its own start
ENDING = 300.0  # seconds for its end, when it may have pictures left to send
LEAVING = 5.0  # seconds to give up what a failed tracker holds
GUESTS = ("mlflow", "tensorboard", "trackio", "wandb")  # packages whose threads die without a word

_printers: list[
    Callable[[threading.ExceptHookArgs], object]
] = []  # what told of a dead thread before `silent_of_guests`


class Guarded(Tracker):
    """Passes everything on to `logger` until something raises; then says so once and stays quiet.

    What raised is named together with the tracker; one that does not answer in time is left like
    one that raises, as a service that was stopped never would. Nothing is retried: the curve on
    disk is whole.
    """

    def __init__(self, logger: Tracker) -> None:
        super().__init__()
        self.logger = logger
        self.failed = False
        quieten_threads()

    def _attempt(
        self, action: Callable[[], T], otherwise: T | None = None, seconds: float = ANSWER
    ) -> T | None:
        if self.failed:
            return otherwise
        try:
            return run_within(seconds, action)
        except Exception as error:  # a tracker may raise anything; none of it is the run's business
            self.failed = True
            name, cause = type(self.logger).__name__, " ".join(str(error).split())
            log.warning(
                "%s failed and gets nothing more from this run (%s: %s); metrics.csv and the "
                "pictures on disk go on",
                *(name, type(error).__name__, cause),
            )
            with suppress(Exception):  # of a thing that is broken already
                run_within(LEAVING, self.logger.abandon)
            return otherwise

    def _pass_on(self, method: str, *args: object, seconds: float = ANSWER, **options: Any) -> None:
        self._attempt(lambda: getattr(self.logger, method)(*args, **options), seconds=seconds)

    @property
    def name(self) -> str | None:
        """The tracker's name."""
        return self._attempt(lambda: self.logger.name)

    @property
    def version(self) -> str | int | None:
        """The tracker's version or run id."""
        return self._attempt(lambda: self.logger.version)

    @property
    def save_dir(self) -> str | None:
        """Where the tracker writes."""
        return self._attempt(lambda: self.logger.save_dir)

    @property
    def experiment(self) -> Any:
        """The tracker's own run object; one that ignores everything after a failure."""
        return self._attempt(lambda: getattr(self.logger, "experiment", None), DummyExperiment())

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Pass a row on."""
        self._pass_on("log_metrics", metrics, step=step)

    @rank_zero_only
    def log_hyperparams(
        self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any
    ) -> None:
        """Pass the config on."""
        self._pass_on("log_hyperparams", params, *args, **kwargs)

    @rank_zero_only
    def log_graph(self, model: nn.Module, input_array: Tensor | None = None) -> None:
        """Pass the module on."""
        self._pass_on("log_graph", model, input_array)

    @rank_zero_only
    def log_images(self, key: str, images: Picture, step: int) -> None:
        """Pass a picture on."""
        self._pass_on("log_images", key, images, step)

    @rank_zero_only
    def log_table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Pass a table on."""
        self._pass_on("log_table", key, columns, rows)

    @rank_zero_only
    def truncate(self, images_seen: int) -> None:
        """Let the tracker hide what lies ahead of the clock."""
        self._pass_on("truncate", images_seen)

    @rank_zero_only
    def save(self) -> None:
        """Let the tracker write what it holds back."""
        self._pass_on("save")

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Tell the tracker how a fit ended."""
        self._pass_on("finalize", status, seconds=ENDING)

    @rank_zero_only
    def finish(self, exit_code: int = 0) -> None:
        """End the tracker's run."""
        self._pass_on("finish", exit_code, seconds=ENDING)

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Tell the tracker of a checkpoint."""
        self._pass_on("after_save_checkpoint", checkpoint_callback)


def run_within(seconds: float, action: Callable[[], T]) -> T:
    """What `action` returns or raises, if it ends in time; it may block for ever, the caller not.

    Raises:
        TimeoutError: it did not end; its thread is left behind and keeps no process alive.
    """
    answer: Future[T] = Future()

    def work() -> None:
        try:
            answer.set_result(action())
        except BaseException as error:  # Ctrl-C raised in there stops the caller too
            answer.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError as error:
        if answer.done():  # the action's own
            raise
        raise TimeoutError(f"no answer in {seconds:g} seconds") from error


def quieten_threads() -> None:
    """Print nothing when a tracker's own thread dies: the next call raises what it died of."""
    if threading.excepthook is not silent_of_guests:
        _printers[:] = [threading.excepthook]
        threading.excepthook = silent_of_guests


def silent_of_guests(failure: threading.ExceptHookArgs) -> None:
    """`threading.excepthook`, but for the threads of trackers."""
    package = type(failure.thread).__module__.partition(".")[0]
    if package not in GUESTS:
        _printers[0](failure)
