"""A cell's first act: from the config that Hydra composed to the file its process will run on."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ganlab.config import resolve
from ganlab.grid import cell as cells
from ganlab.grid.cell import Cell, GridError
from ganlab.grid.naming import cell_values
from ganlab.processes import external_rank
from ganlab.runs.provenance import raw_words, search_path_words
from ganlab.runs.settings import check_complete, check_values

PLAN = ".plan"
PATIENCE = 600  # seconds that ranks of one cell wait for the first of them
ALONE = ("SLURM_", "TORCHELASTIC_", "PET_", "PMI_")  # beginnings of variables that describe a job
ALONE_NAMES = {
    *("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "NODE_RANK", "WORLD_SIZE"),
    *("LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "GANLAB_CELL"),
    *("WANDB_RUN_ID", "WANDB_SWEEP_ID"),  # one run's, not every cell's
}


@dataclass(frozen=True)
class Prepared:
    """A cell and what is to be done about it."""

    cell: Cell
    action: str  # skip, start or continue


def composed_cell(config: DictConfig) -> Cell:
    """The cell that a composed job config of a sweep describes.

    Raises:
        omegaconf.errors.MissingMandatoryValue: a `???` was left unset.
        GridError: an evaluation without a checkpoint.
        ConfigError: a number that no run can have, or a key taken out that every run needs.
    """
    hydra = HydraConfig.get()
    kind = str(hydra.job.config_name)
    words = raw_words(hydra.overrides.task)
    check_complete(config, kind)
    settings = resolve(config) if kind == "train" else evaluation_config(config)
    if kind == "train":
        check_values(settings)
    settings["run_dir"] = str(Path(hydra.runtime.output_dir).absolute())
    grid = settings.pop("grid", None) or {}
    return Cell(
        kind=kind,
        grid=Path(hydra.sweep.dir).name,
        values=cell_values(list(grid.get("axes") or []), words),
        overrides=[
            *search_path_words(hydra),
            *(word for word in words if not word.startswith(("grid.", "sweep="))),
        ],
        choices={key: str(value) for key, value in hydra.runtime.choices.items()},
        config=settings,
        inputs=cells.stamps(settings) if kind == "evaluate" else {},
    )


def evaluation_config(config: DictConfig) -> dict[str, Any]:
    """An evaluation's config, whose interpolations wait for what the checkpoint says."""
    if OmegaConf.is_missing(config, "ckpt"):
        raise GridError("ckpt has no value; give one, as in ckpt=...")
    plain: Any = OmegaConf.to_container(config, resolve=False)
    scalars = {key: config[key] for key in ("ckpt", "seed") if key in config}
    grid = OmegaConf.to_container(config.grid, resolve=True)
    return {str(key): value for key, value in plain.items()} | scalars | {"grid": grid}


def prepare(config: DictConfig) -> Prepared:
    """Decide what to do with a cell, and leave its directory ready for its process.

    Raises:
        GridError: see `cell.plan`.
    """
    fresh = bool((config.get("grid") or {}).get("fresh"))
    cell = composed_cell(config)
    known = cells.read_attempt(cell.directory)
    action, checkpoint = cells.plan(cell, fresh)
    if action == "skip":
        return Prepared(cell, action)
    with cells.lock(cell.directory):
        if cells.read_attempt(cell.directory) != known:
            raise GridError(f"{cell.directory.name} was begun by another process just now")
        if action == "start":
            cells.set_aside(cell.directory)
        cell.config["ckpt"] = checkpoint
        cell.write()
        cells.write_attempt(cell.directory, state="waiting", error=None)
    return Prepared(cell, action)


def prepare_together(config: DictConfig) -> Prepared:
    """`prepare` where a cluster starts several tasks for a cell: the first decides for all.

    Raises:
        GridError: the first task failed or stayed away, or this one composed another config.
    """
    tasks = int(os.environ.get("SLURM_NTASKS") or os.environ.get("WORLD_SIZE") or 1)
    if tasks == 1:
        return prepare(config)
    token = "-".join(
        os.environ.get(name, "")
        for name in ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")
    )
    directory = Path(HydraConfig.get().runtime.output_dir)
    path = directory / f"{PLAN}-{token}"
    if external_rank() == 0:
        prepared = prepare(config)
        path.write_text(prepared.action)
        return prepared
    action = await_file(path)
    cell, written = composed_cell(config), cells.read_cell(directory)
    cells.refuse_other_settings(written, cell)
    return Prepared(written, action)


def await_file(path: Path) -> str:
    """What the first task wrote, once it is there."""
    started = time.monotonic()
    while time.monotonic() - started < PATIENCE:
        if path.exists() and (text := path.read_text()):
            return text
        time.sleep(0.2)
    raise GridError(f"the first task of {path.parent.name} did not get ready in {PATIENCE} s")


def lone_environment() -> dict[str, str]:
    """The environment without what would make a cell think it is a part of a larger job."""
    return {
        key: value
        for key, value in os.environ.items()
        if key not in ALONE_NAMES and not key.startswith(ALONE)
    }
