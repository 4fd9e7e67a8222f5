"""MLflow, on a server or in a database in the run's folder, on the axis of images seen."""

from collections.abc import Sequence
from os import environ
from pathlib import Path

from lightning.pytorch.loggers import MLFlowLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ganlab.loggers.guarded import Guarded
from ganlab.loggers.pictures import Picture, as_pixels
from ganlab.loggers.tracker import Tracker, require_package, shown_name
from ganlab.storage.regular import read_text


class MLflowTracker(MLFlowLogger, Tracker):
    """One run of MLflow for one run folder, also across resumes: its id is in `mlflow_id.txt`.

    Raises:
        ModuleNotFoundError: the package is missing; the message names the extra that brings it.
    """

    def __init__(self, directory: Path, experiment: str, uri: str | None) -> None:
        require_package("mlflow", "'ganlab[mlflow]'")
        self.file = directory / "mlflow_id.txt"
        known = read_text(self.file).strip() if self.file.exists() else None
        server = uri or environ.get("MLFLOW_TRACKING_URI")
        files = None if server else (directory / "mlruns").as_uri()  # pictures and tables
        place = server or f"sqlite:///{directory / 'mlflow.db'}"
        super().__init__(
            experiment, shown_name(directory), place, artifact_location=files, run_id=known
        )

    @rank_zero_only
    def log_images(self, key: str, images: Picture, step: int) -> None:
        """Show one picture at `step` images seen."""
        picture = as_pixels(images)
        self.experiment.log_image(self.run_id, picture, key=key, step=step)

    @rank_zero_only
    def log_table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Keep a table, its values as they are."""
        table = {"columns": list(columns), "data": [list(row) for row in rows]}
        self.experiment.log_dict(self.run_id, table, f"{key}.json")

    @rank_zero_only
    def finish(self, exit_code: int = 0) -> None:
        """End MLflow's run, marked as failed unless `exit_code` is 0; the next resume opens it."""
        self.file.write_text(f"{self.run_id}\n")
        self.finalize("failed" if exit_code else "success")


def mlflow_tracker(
    directory: str | Path,  # the run's folder
    experiment: str = "ganlab",
    uri: str | None = None,  # of a server; None = MLFLOW_TRACKING_URI, else <run folder>/mlflow.db
) -> Guarded:
    """The tracker behind `logger=mlflow`; it cannot fail the run once it is built."""
    return Guarded(MLflowTracker(Path(directory).absolute(), experiment, uri))
