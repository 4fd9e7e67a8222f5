"""MLflow, on a server or in a database in the run's folder, on the axis of images seen."""

import logging
import re
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from os import environ
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ganlab.loggers.guarded import Guarded
from ganlab.loggers.pictures import Picture, as_pixels
from ganlab.loggers.tracker import ProjectTracker, keep_id, known_id, require_package, shown_name
from ganlab.storage import irregularity

LONGEST = 500  # characters of a parameter, as MLflow takes them since 1.28
AT_ONCE = 100  # parameters a message
FOREIGN = re.compile(r"[^\w/. -]+", re.ASCII)  # in a key, what MLflow does not take


class MLflowTracker(ProjectTracker):
    """One run of MLflow for one run folder, also across resumes: its id is in `mlflow_id.txt`.

    Raises:
        ModuleNotFoundError: the package is missing; the message names the extra that brings it.
        ValueError: `mlflow_id.txt` holds something else, or the folder's name cannot be told.
    """

    def __init__(self, directory: Path, project: str, server: str | None) -> None:
        require_package("mlflow", "'ganlab[mlflow]'")
        super().__init__(directory, project, server or environ.get("MLFLOW_TRACKING_URI"))
        if not self.server and {*str(directory)} & {*"?%"}:
            raise ValueError(
                f"MLflow finds no database in {directory}, for the ? or % in its name: "
                "give another hydra.run.dir, or a server's logger.mlflow.uri"
            )
        self.file = directory / "mlflow_id.txt"
        self.run = known_id(self.file)
        self._client: Any = None

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """MLflow's client, with the run begun, or open again, when first needed."""
        if self._client is None:
            from mlflow.tracking import MlflowClient

            # It would warn of each of its tries.
            logging.getLogger("mlflow.store.db.utils").setLevel(logging.ERROR)
            client = MlflowClient(self.server or self._database())
            if self.run is None:
                self.run = keep_id(self.file, self._begin(client))
            else:
                client.update_run(self.run, status="RUNNING")
            self._client = client
        return self._client

    def _database(self) -> str:
        """The address of the one in the run's folder."""
        self.directory.mkdir(parents=True, exist_ok=True)
        file = self.directory / "mlflow.db"
        if (kind := irregularity(file)) is not None:
            raise ValueError(f"{file} is {kind}; move it away")
        return f"sqlite:///{file}"

    def _begin(self, client: Any) -> str:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking.context.registry import resolve_tags

        files = None if self.server else (self.directory / "mlruns").as_uri()  # pictures and tables
        found = client.get_experiment_by_name(self.project)
        if found is None:
            try:
                client.create_experiment(self.project, artifact_location=files)
            except MlflowException:  # another run's just now, unless it is still not there
                if client.get_experiment_by_name(self.project) is None:
                    raise
            found = client.get_experiment_by_name(self.project)
        name = shown_name(self.directory)
        run = client.create_run(found.experiment_id, tags=resolve_tags(), run_name=name)
        return str(run.info.run_id)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        """Keep the config; what a resume changed becomes tags, as MLflow changes no parameter."""
        from mlflow.entities import Param, RunTag

        given = vars(params) if isinstance(params, Namespace) else params
        said = {key: str(value)[:LONGEST] for key, value in leaves(given)}
        kept = self.experiment.get_run(self.run).data.params
        fresh = (Param(key, text) for key, text in said.items() if key not in kept)
        while some := list(islice(fresh, AT_ONCE)):
            self.experiment.log_batch(self.run, params=some)
        tags = [RunTag(key, text) for key, text in said.items() if kept.get(key, text) != text]
        self.experiment.log_batch(self.run, tags=tags)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add a row at `step` images seen."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        named = {FOREIGN.sub("", key): float(value) for key, value in metrics.items()}
        row = [Metric(key, value, now, step or 0) for key, value in named.items()]
        self.experiment.log_batch(self.run, metrics=row)

    @rank_zero_only
    def log_images(self, key: str, images: Picture, step: int) -> None:
        """Show one picture at `step` images seen."""
        picture = as_pixels(images)
        self.experiment.log_image(self.run, picture, key=FOREIGN.sub("", key), step=step)

    @rank_zero_only
    def log_table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Keep a table, its values as they are."""
        table = {"columns": list(columns), "data": [list(row) for row in rows]}
        self.experiment.log_dict(self.run, table, f"{key}.json")

    @rank_zero_only
    def finish(self, exit_code: int = 0) -> None:
        """End MLflow's run, marked as failed unless `exit_code` is 0; the next resume opens it."""
        if self._client is not None:
            self._client.set_terminated(self.run, "FAILED" if exit_code else "FINISHED")
            self._client = None


def leaves(node: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """A config's values, by their keys with slashes between, as MLflow takes them."""
    for key, value in node.items():
        name = prefix + FOREIGN.sub("", str(key))
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{name}/")
        else:
            yield name, value


def mlflow_tracker(
    directory: str | Path,  # the run's folder
    experiment: str = "ganlab",
    uri: str | None = None,  # of a server; None = MLFLOW_TRACKING_URI, else <run folder>/mlflow.db
) -> Guarded:
    """The tracker behind `logger=mlflow`; it cannot fail the run once it is built."""
    return Guarded(MLflowTracker(Path(directory).absolute(), experiment, uri))
