"""Ready configs for grids: every launcher fits its engine, every paper's grid composes."""

import importlib
import inspect

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from ganlab.cli import conf_dir
from ganlab.grid.naming import cell_name, expected_cells, swept_keys
from ganlab.grid.table import Choice

LAUNCHERS = sorted(path.stem for path in (conf_dir() / "hydra" / "launcher").glob("*.yaml"))
SWEEPS = sorted(path.stem for path in (conf_dir() / "sweep").glob("*.yaml"))
CELLS = {
    "tan2020_table1": 9,
    "karras2019_ladder": 6,
    "huang2024_ladder": 8,
    "hyun2026_tie": 6,
    "norms": 18,
    "choi2022_table1": 3,
    "choi2022_table2": 1,
}


pytestmark = pytest.mark.usefixtures("hydra_is_clean")


def composed(name, *overrides):
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose(name, list(overrides), return_hydra_config=True)


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_a_sweep_uses_this_machine_by_itself(name):
    assert composed(name).hydra.launcher._target_ == "hydra_plugins.ganlab_local.LocalLauncher"


@pytest.mark.parametrize(
    "launcher",
    [name if name == "local" else pytest.param(name, marks=pytest.mark.slow) for name in LAUNCHERS],
)
def test_every_launcher_composes_and_fits_its_engine(launcher):
    config = composed("train", f"hydra/launcher={launcher}").hydra.launcher
    module, _, name = config._target_.rpartition(".")
    target = getattr(importlib.import_module(module), name)
    taken = inspect.signature(target.__init__).parameters
    keys = [key for key in config if key != "_target_"]
    if any(p.kind is p.VAR_KEYWORD for p in taken.values()):  # the engine's own schema has them
        known = importlib.import_module(module.rpartition(".")[0] + ".config")
        schema = getattr(known, name.replace("Launcher", "QueueConf"))
        taken = OmegaConf.structured(schema)
    assert not [key for key in keys if key not in taken]


def kind(sweep):
    text = (conf_dir() / "sweep" / f"{sweep}.yaml").read_text()
    return "evaluate" if f"# python evaluate.py sweep={sweep}" in text else "train"


@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_sweep_composes_cell_by_cell(sweep):
    extra = ["ckpt=x.ckpt"] if kind(sweep) == "evaluate" else []
    config = composed(kind(sweep), f"sweep={sweep}", *extra)
    assert config.hydra.mode.name == "MULTIRUN"
    params = OmegaConf.to_container(config.hydra.sweeper.params)
    axes = swept_keys(extra, params)
    cells = expected_cells(extra, params, axes)
    assert len(cells) == CELLS.get(sweep, len(cells)) > 0
    assert len({cell_name(values) for values in cells}) == len(cells)
    for values in cells:
        GlobalHydra.instance().clear()
        constant = [f"{key}={value}" for key, value in params.items() if key not in axes]
        words = [*constant, *(f"{key}={value}" for key, value in values.items()), *extra]
        composed(kind(sweep), *words)


@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_sweep_says_how_its_table_looks_and_where_the_papers_numbers_are_from(sweep):
    extra = ["ckpt=x.ckpt"] if kind(sweep) == "evaluate" else []
    config = composed(kind(sweep), f"sweep={sweep}", *extra)
    choice = Choice.of(OmegaConf.to_container(config.grid.table))
    assert choice.caption
    if choice.paper:
        assert choice.paper["source"]
        axes = choice.paper["axes"]
        keys = [tuple(str(row.get(axis)) for axis in axes) for row in choice.paper["values"]]
        assert len(set(keys)) == len(keys), "one entry a row"
        assert all(set(row) - set(axes) for row in choice.paper["values"]), "each with a number"
