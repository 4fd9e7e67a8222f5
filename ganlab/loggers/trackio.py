"""Trackio, in its own folder on this machine or on a server, on the axis of images seen."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ganlab.loggers.guarded import Guarded
from ganlab.loggers.pictures import Picture, as_pixels
from ganlab.loggers.tracker import (
    ProjectTracker,
    known_id,
    remembered_id,
    require_package,
    shown_name,
)


class TrackioTracker(ProjectTracker):
    """One run of Trackio for one run folder, also across resumes: its id is in `trackio_id.txt`.

    Raises:
        ModuleNotFoundError: the package is missing; the message names the extra that brings it.
        ValueError: `trackio_id.txt` holds something else.
    """

    def __init__(self, directory: Path, project: str, server: str | None) -> None:
        require_package("trackio", "'ganlab[trackio]'")
        super().__init__(directory, project, server)
        known_id(directory / "trackio_id.txt")
        self.config: dict[str, Any] = {}
        self._run: Any = None
        self.seen: int | None = None  # at the last row or picture, where a table stands

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Trackio's run, started when first needed."""
        if self._run is None:
            import trackio

            # Not before: of several ranks only the first may draw an id.
            self.run = f"{shown_name(self.directory)}-{remembered_id(self.directory, 'trackio')}"
            given = {"project": self.project, "name": self.run, "server_url": self.server}
            self._run = trackio.init(**given, config=self.config, resume="allow", embed=False)
        return self._run

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        """Take the config, before the first row."""
        self.config = dict(vars(params) if isinstance(params, Namespace) else params)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add a row at `step` images seen."""
        self.seen = step
        self.experiment.log({key: float(value) for key, value in metrics.items()}, step=step)

    @rank_zero_only
    def log_images(self, key: str, images: Picture, step: int) -> None:
        """Show one picture at `step` images seen."""
        import trackio

        self.seen = step
        self.experiment.log({key: trackio.Image(as_pixels(images))}, step=step)

    @rank_zero_only
    def log_table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Show a table, its values as they are."""
        import trackio

        table = trackio.Table(columns=list(columns), data=[list(row) for row in rows])
        self.experiment.log({key: table}, step=self.seen)

    @rank_zero_only
    def finish(self, exit_code: int = 0) -> None:
        """End Trackio's run once all is written; the next resume opens it."""
        if self._run is not None:
            self._run.finish()
            self._run = None


def trackio_tracker(
    directory: str | Path,  # the run's folder
    project: str = "ganlab",
    server: str | None = None,  # its URL; None = TRACKIO_SERVER_URL, else this machine
) -> Guarded:
    """The tracker behind `logger=trackio`; it cannot fail the run once it is built."""
    return Guarded(TrackioTracker(Path(directory), project, server))
