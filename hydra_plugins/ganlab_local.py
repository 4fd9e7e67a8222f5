"""`hydra/launcher=local`: the cells of a grid on this machine's devices, several at a time.

Hydra imports every module of this namespace package at start, in the processes of a cluster's
launchers too, which need the resolvers that our configs use.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from ganlab.cli import EXPECTED, one_line, register_resolvers
from ganlab.grid.naming import cell_name, cell_values
from ganlab.hydra_versions import register_resolver
from ganlab.runs.provenance import raw_words

register_resolvers()
register_resolver("cell_name", lambda axes, words: cell_name(cell_values(axes, raw_words(words))))


class CellReturn(JobReturn):
    """A job's outcome that raises without printing the job's words once more."""

    def __getattribute__(self, name: str) -> Any:
        if name == "return_value" and self.status == JobStatus.FAILED:
            raise self._return_value
        return super().__getattribute__(name)


class LocalLauncher(Launcher):
    """Writes the config of every cell, then runs the cells as processes on a pool of devices.

    Finished cells are skipped, interrupted ones go on, failed ones run again. After a signal the
    process ends with 128 + its number; failed cells raise once all have run.

    Raises:
        GridError: a setting that no machine has.
    """

    def __init__(
        self,
        devices: Sequence[int | str] | None = None,  # GPUs; None = all visible; [] = CPU slots
        slots: int | None = None,  # cells at a time without a GPU; None = one per 4 cores
        cells_per_device: int = 1,  # cells that share a GPU
        threads: int | None = None,  # of a cell's process; None = an equal share of the cores
        seconds: float = 2.0,  # between two drawings of the table of cells
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {"devices": devices, "slots": slots, "threads": threads}
        self.options["cells_per_device"], self.seconds = cells_per_device, seconds
        self.config: Any = None
        self.hydra_context: Any = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra hands over; the task itself runs in the cells' processes."""
        self.hydra_context, self.config = hydra_context, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run a batch of jobs; each returns its objective, or fails with one line about all."""
        from ganlab.grid.devices import Devices
        from ganlab.grid.pool import Pool

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        jobs: list[JobReturn] = []
        numbered = enumerate(job_overrides, initial_job_idx)
        pool = Pool(self.preparing(numbered, jobs), Devices(**self.options), self.seconds)
        pool.run()
        if pool.signals:
            raise SystemExit(128 + pool.signals[0])
        return self.concluded(jobs)

    def preparing(
        self, numbered: Iterable[tuple[int, Sequence[str]]], jobs: list[JobReturn]
    ) -> Iterator[Any]:
        """Prepare one job after the other into `jobs`; yields what is to run, each cell once."""
        known: dict[Path, JobReturn] = {}
        for number, words in numbered:
            said = len(known)
            jobs.append(self.prepared(words, number, known))
            if len(known) > said and jobs[-1].status == JobStatus.COMPLETED:
                yield jobs[-1].return_value

    def prepared(
        self, words: Sequence[str], number: int, known: dict[Path, JobReturn]
    ) -> JobReturn:
        """Compose a job and write its cell's file; a job that cannot be is FAILED already."""
        from ganlab.grid.cell import refuse_another_run
        from ganlab.grid.preparation import prepare

        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(words))
        with open_dict(config):
            config.hydra.job.id, config.hydra.job.num = str(number), number
        try:
            HydraConfig.instance().set_config(config)  # the cell's name is made of its words
            home = Path(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir))
            if home not in known:
                refuse_another_run(home)  # before Hydra writes into it
                known[home] = run_job(
                    hydra_context=self.hydra_context,
                    task_function=prepare,
                    config=config,
                    job_dir_key="hydra.sweep.dir",
                    job_subdir_key="hydra.sweep.subdir",
                    configure_logging=False,
                )
            return copy(known[home])
        except EXPECTED as error:
            failed = JobReturn(overrides=list(words), status=JobStatus.FAILED)
            failed.return_value = error
            return failed

    def concluded(self, jobs: Sequence[JobReturn]) -> Sequence[JobReturn]:
        """Give every job its objective, or all failed ones the same complaint."""
        from ganlab.grid.cell import GridError, group_by_fate, result_of
        from ganlab.grid.process import objective

        problems = [self.problem(job) for job in jobs]
        failed = [problem for problem in problems if problem is not None]
        message = (
            f"{len(failed)} of {len(jobs)} cells did not finish: {'; '.join(group_by_fate(failed))}"
        )
        ran = any(name for name, _ in failed)  # what could not be prepared has no name
        error = GridError(f"{message}; the same command runs these again" if ran else message)
        for job, problem in zip(jobs, problems, strict=True):
            if problem is None:
                result = result_of(job.return_value.cell.directory)
                job.return_value = objective(result, self.config.grid.objective)
            else:
                job.status, job._return_value = JobStatus.FAILED, error
        return [CellReturn(**vars(job)) for job in jobs]

    def problem(self, job: JobReturn) -> tuple[str, str] | None:
        """A job's cell and what it has to say for itself, if it is not done."""
        from ganlab.grid.process import complaint

        if job.status == JobStatus.FAILED:
            return "", one_line(job._return_value)
        directory = job.return_value.cell.directory
        fate = complaint(directory)
        return None if fate is None else (directory.name, fate)
