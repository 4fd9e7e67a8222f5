"""A tracker that fails is left behind; the run goes on."""

import logging
from collections.abc import Callable
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers.logger import DummyExperiment
from lightning.pytorch.utilities.rank_zero import rank_zero_only

log = logging.getLogger(__name__)


class Guarded(Logger):
    """Passes everything on to `logger` until something raises; then says so once and stays quiet.

    What raised is named together with the tracker. Nothing is retried: the curve on disk is whole.
    """

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self.logger = logger
        self.failed = False

    def _attempt(self, action: Callable[[], Any], otherwise: Any = None) -> Any:
        if self.failed:
            return otherwise
        try:
            return action()
        except Exception as error:  # a tracker may raise anything; none of it is the run's business
            self.failed = True
            name, cause = type(self.logger).__name__, " ".join(str(error).split())
            log.warning(
                "%s failed and gets nothing more from this run (%s: %s); metrics.csv and the "
                "pictures on disk go on",
                *(name, type(error).__name__, cause),
            )
            return otherwise

    def _pass_on(self, method: str, *args: Any, **options: Any) -> None:
        if hasattr(type(self.logger), method):
            self._attempt(lambda: getattr(self.logger, method)(*args, **options))

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
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Pass a row on."""
        self._pass_on("log_metrics", metrics, step=step)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Pass the config on."""
        self._pass_on("log_hyperparams", params, *args, **kwargs)

    @rank_zero_only
    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Pass the module on."""
        self._pass_on("log_graph", model, input_array)

    @rank_zero_only
    def log_images(self, key: str, images: Any, step: int) -> None:
        """Pass a picture on, if the tracker takes pictures."""
        self._pass_on("log_images", key, images, step)

    @rank_zero_only
    def log_table(self, key: str, columns: Any, rows: Any) -> None:
        """Pass a table on, if the tracker takes tables."""
        self._pass_on("log_table", key, columns, rows)

    @rank_zero_only
    def truncate(self, images_seen: int) -> None:
        """Let the tracker hide what lies ahead of the clock, if it can."""
        self._pass_on("truncate", images_seen)

    @rank_zero_only
    def save(self) -> None:
        """Let the tracker write what it holds back."""
        self._pass_on("save")

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Tell the tracker how a fit ended."""
        self._pass_on("finalize", status)

    @rank_zero_only
    def finish(self, exit_code: int = 0) -> None:
        """End the tracker's run, if it has such an end."""
        self._pass_on("finish", exit_code)

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Tell the tracker of a checkpoint."""
        self._pass_on("after_save_checkpoint", checkpoint_callback)
