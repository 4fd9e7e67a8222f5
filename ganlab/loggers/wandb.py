"""Weights & Biases, with or without an account at hand."""

import logging
import netrc
import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ganlab.loggers.guarded import Guarded
from ganlab.loggers.pictures import Picture, as_pixels
from ganlab.loggers.tracker import Tracker, remembered_id, require_package, shown_name

log = logging.getLogger(__name__)

KEYS = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")  # either one in the environment is a login
HOME_SERVER = "api.wandb.ai"  # whose netrc entry older clients wrote


def logged_in(server: str) -> bool:
    """Whether the environment or the netrc file holds credentials for this server's URL."""
    if any(os.environ.get(key) for key in KEYS):
        return True
    hosts = {urlsplit(server).netloc}
    if "WANDB_BASE_URL" not in os.environ:
        hosts.add(HOME_SERVER)
    places = [os.environ.get("NETRC"), "~/.netrc", "~/_netrc"]
    paths = [Path(place).expanduser() for place in places if place]
    try:
        entries = netrc.netrc(next(path for path in paths if path.is_file()))
    except (StopIteration, OSError, netrc.NetrcParseError):
        return False
    return any(entries.hosts.get(host) for host in hosts)


class WandbTracker(WandbLogger, Tracker):
    """One run of the dashboard for one run folder, also across resumes.

    Online where somebody is logged in, else offline with one line that says how to upload later;
    `WANDB_MODE` overrides. The run's id stays in `wandb_id.txt`. The axis of every chart is
    `images_seen`. The dashboard's run stays open after a fit, for the scores that follow it, until
    `finish`; a fit that fails ends it as failed.

    Raises:
        ModuleNotFoundError: the package is missing.
    """

    def __init__(
        self,
        directory: str | Path,  # the run's folder
        name: str | None = None,  # shown name of the run; None = the folder's last parts
        **options: Any,  # project, entity, group, tags, job_type: see `wandb_tracker`
    ) -> None:
        require_package("wandb", "wandb")
        self.directory = Path(directory)
        name = name or shown_name(self.directory)
        super().__init__(name=name, save_dir=self.directory, **options)

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The dashboard's run, started when first needed."""
        if self._experiment is None:
            self._experiment = self._start()
        return self._experiment

    def _start(self) -> Any:
        import wandb

        # It would warn of each write to a service that is dead.
        logging.getLogger("asyncio").setLevel(logging.ERROR)
        if wandb.run is not None:  # an earlier run of this process, in a sweep
            with suppress(Exception):  # whose service may have died
                wandb.finish()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._id = self._wandb_init["id"] = remembered_id(self.directory)
        mode = os.environ.get("WANDB_MODE") or (
            "online" if logged_in(wandb.setup().settings.base_url) else "offline"
        )
        run = self._started(mode)
        run.define_metric("images_seen")
        run.define_metric("*", step_metric="images_seen", step_sync=True)
        return run

    def _started(self, mode: str) -> Any:
        """A run in this mode, or offline where the server does not answer."""
        import wandb

        try:
            # offline, the line below replaces the client's own messages
            settings = wandb.Settings(silent=mode == "offline", init_timeout=30)
            given = {key: value for key, value in self._wandb_init.items() if value is not None}
            run = wandb.init(**given, mode=mode, settings=settings)  # type: ignore[arg-type]
        except wandb.errors.Error:
            if mode != "online":
                raise
            wandb.teardown()  # forgets the half-started run, whose id is wanted again
            return self._started("offline")
        if mode == "offline":
            folder = shlex.quote(str(self.directory / "wandb"))
            pattern = f"{folder}/offline-run-*-{self._id}"
            log.warning("wandb works offline; to upload this run later: wandb sync %s", pattern)
        return run

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add a row at `step` images seen."""
        clock = {} if step is None else {"images_seen": step}
        self.experiment.log({**metrics, **clock})

    @rank_zero_only
    def log_images(self, key: str, images: Picture, step: int) -> None:
        """Show one picture at `step` images seen."""
        import wandb
        from PIL import Image

        # an array could be rescaled by its content; a PIL image is taken as it is
        picture = wandb.Image(Image.fromarray(as_pixels(images)))
        self.log_metrics({key: picture}, step)

    @rank_zero_only
    def log_table(  # type: ignore[override]
        self, key: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        """Show a table, its values as they are."""
        import wandb

        data = [list(row) for row in rows]
        table = wandb.Table(columns=list(columns), data=data, allow_mixed_types=True)
        self.experiment.log({key: table})

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """End the dashboard's run if the fit failed."""
        if status != "success":
            self.finish(exit_code=1)

    @rank_zero_only
    def finish(self, exit_code: int = 0) -> None:
        """End the dashboard's run, marked as failed unless `exit_code` is 0; twice is once."""
        if self._experiment is not None:
            self._experiment.finish(exit_code=exit_code)
            self._experiment = None

    def abandon(self) -> None:
        """Let wandb forget its service, which it would wait for when this process ends."""
        import wandb

        wandb.termsetup(wandb.Settings(silent=True), None)
        wandb.teardown()  # takes back its hook at exit first: this may raise, or wait in vain


def wandb_tracker(
    directory: str | Path,  # the run's folder
    project: str = "ganlab",
    entity: str | None = None,  # user or team; None = the account's default
    name: str | None = None,  # shown name of the run; None = the folder's last parts
    group: str | None = None,  # what the runs of a sweep have in common
    tags: Sequence[str] = (),
    job_type: str | None = None,  # train or evaluate
) -> Guarded:
    """The tracker behind `logger=wandb`; it cannot fail the run once it is built."""
    labels = {"entity": entity, "group": group, "tags": list(tags), "job_type": job_type}
    return Guarded(WandbTracker(directory, name, project=project, **labels))


def finish(loggers: Sequence[Logger], exit_code: int = 0) -> None:
    """End every tracker's run, at the end of a task and again in its failure path; never raises."""
    for logger in loggers:
        if isinstance(logger, Guarded):
            logger.finish(exit_code)
