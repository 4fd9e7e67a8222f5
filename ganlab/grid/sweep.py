"""What happens once for a grid: its axes and directory at the start, its table at the end."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ganlab.arguments import quote
from ganlab.cli import EXPECTED, fail, visible
from ganlab.grid.cell import GridError
from ganlab.grid.facts import write_grid
from ganlab.grid.naming import cell_name, expected_cells, grid_name, swept_keys
from ganlab.runs.provenance import raw_words
from ganlab.slurm import AGAIN, requeue

ROOT = "outputs/multirun"
KEYS = {"name", "fresh", "objective", "axes", "table"}
BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"

_begun: list[Path] = []  # directories of this process's sweeps


class GridStart(Callback):
    """Pins what every job of a sweep must agree on, wherever a launcher composes it.

    The swept keys and the directory become overrides of every job. `grid.json` in the grid's
    directory names its cells, so that a table can tell which are missing.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: object) -> None:
        """Before the sweeper is built; ends the process with one line where a sweep cannot be."""
        try:
            self.begin(config)
        except EXPECTED as error:
            fail(error)  # Hydra would turn an exception of a callback into a warning and go on

    def begin(self, config: DictConfig) -> None:
        """Find out what the sweep is, pin it and write it down.

        Raises:
            GridError: this process is one of several ranks, an unknown key of a sweep's file, or
                two cells of one name.
        """
        refuse_ranks()
        words = raw_words(config.hydra.overrides.task)
        params: object = OmegaConf.to_container(config.hydra.sweeper).get("params")  # type: ignore[union-attr]
        plain = params if isinstance(params, dict) else {}
        axes = swept_keys(words, plain)
        settings = grid_settings(config)
        directory = directory_of(config, [*words, *_words(plain)], axes, settings.get("name"))
        pin(config, axes, directory)
        expected = None
        if config.hydra.sweeper._target_ == BASIC:
            loader = GlobalHydra.instance().config_loader()
            expected = expected_cells(words, plain, axes, loader)
            refuse_namesakes(expected)
        write_grid(directory, str(config.hydra.job.config_name), axes, expected, settings)
        _begun.append(directory)


def _words(params: dict[str, Any]) -> list[str]:
    return [f"{key}={value}" for key, value in params.items()]


def refuse_ranks() -> None:
    """Refuse to sweep in one of several processes, each of which would sweep on its own.

    Raises:
        GridError: says how to run the cells on several devices instead.
    """
    names = ("WORLD_SIZE", "LOCAL_WORLD_SIZE")
    several = any(int(os.environ.get(name) or 1) > 1 for name in names)
    if several or os.environ.get("LOCAL_RANK") or int(os.environ.get("SLURM_PROCID") or 0) > 0:
        raise GridError(
            "a sweep is one process: start it without torchrun or srun; with trainer=ddp "
            "trainer.devices=<number> each cell starts its own ranks"
        )


def refuse_namesakes(cells: Sequence[dict[str, Any]]) -> None:
    """Refuse cells of different values in one directory, of which only the first would run.

    Raises:
        GridError: names both.
    """
    known: dict[str, dict[str, Any]] = {}
    for cell in cells:
        if (other := known.setdefault(cell_name(cell), cell)) != cell:
            pairs = [
                f"{axis}={other[axis]} and {cell[axis]}"
                for axis in cell
                if other[axis] != cell[axis]
            ]
            raise GridError(
                f"{', '.join(pairs)} would be one cell, {cell_name(cell)}: sweep over them in two "
                "commands, each with a grid.name= of its own"
            )


def grid_settings(config: DictConfig) -> dict[str, Any]:
    """The `grid` node as plain values.

    Raises:
        GridError: a key that it does not have.
    """
    settings: Any = OmegaConf.to_container(config.grid, resolve=True)
    unknown = set(settings) - KEYS
    if unknown:
        raise GridError(
            f"there is no key grid.{unknown.pop()}; there are {', '.join(sorted(KEYS))}"
        )
    return dict(settings)


def directory_of(
    config: DictConfig, words: Sequence[str], axes: Sequence[str], name: str | None
) -> Path:
    """`hydra.sweep.dir` where it was given, else a name under `outputs/multirun`."""
    said = OmegaConf.to_container(config.hydra.sweep, resolve=False).get("dir")  # type: ignore[union-attr]
    chosen = str(config.hydra.sweep.dir) if said != f"{ROOT}/${{grid.name}}" else ""
    return Path(chosen or f"{ROOT}/{name or grid_name(words, axes)}").expanduser().absolute()


def pin(config: DictConfig, axes: Sequence[str], directory: Path) -> None:
    """Make axes and directory overrides of every job, through the config that launchers pass on."""
    with read_write(config), read_write(config.hydra), open_dict(config):
        config.hydra.sweep.dir = str(directory)
        config.grid.axes = list(axes)
        pinned = [f"hydra.sweep.dir={quote(str(directory))}"]
        config.hydra.overrides.hydra += [*pinned, f"grid.axes=[{','.join(map(quote, axes))}]"]


@contextmanager
def table_at_end() -> Iterator[None]:
    """After a sweep, however it ends, write and print its table; under SLURM it may run again."""
    swept, again = False, False
    try:
        yield
    except SystemExit as end:
        again = isinstance(end.code, int) and end.code - 128 in AGAIN
        raise
    finally:
        while _begun:
            swept = True
            print_table(_begun.pop())
        if swept and again:
            requeue()


def print_table(directory: Path) -> None:
    """Print a grid's table, unless nothing ever ran in it."""
    from ganlab.grid.page import publish

    if not any(path.is_dir() for path in directory.iterdir()):
        return
    try:
        print(visible(publish([directory], shared=True)))
    except (
        OSError,
        ValueError,
        KeyError,
    ) as error:  # the cells are safe; a table can be made again
        print(
            visible(f"no table: {error}; later: python -m ganlab table {directory}"),
            file=sys.stderr,
        )
