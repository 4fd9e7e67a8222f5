"""What is fixed once for a sweep, before any of its jobs is composed."""

import json

import pytest
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from ganlab.cli import conf_dir, register_resolvers
from ganlab.grid import sweep
from ganlab.grid.cell import GridError
from ganlab.grid.facts import read_grid
from ganlab.grid.sweep import GridStart


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """Begin a sweep of these words; its config, and a function that composes one job of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweep, "_begun", [])
    register_resolvers()

    def begin(*words):
        GlobalHydra.instance().clear()
        search_path = create_config_search_path(str(conf_dir()))
        hydra = Hydra.create_main_hydra2("train", search_path)
        config = hydra.compose_config("train", list(words), RunMode.MULTIRUN)
        GridStart().begin(config)
        return config, lambda *job: hydra.config_loader.load_sweep_config(config, list(job))

    yield begin
    GlobalHydra.instance().clear()


def test_the_command_names_the_directory_whatever_the_order_of_its_words(begun, tmp_path):
    words = ["model=vanilla", "seed=0,1", "kimg=5"]
    one, _ = begun(*words)
    other, _ = begun(*reversed(words), "hydra.launcher.slots=3", "grid.fresh=true")
    longer, _ = begun(*words[:2], "kimg=6")
    assert one.hydra.sweep.dir == other.hydra.sweep.dir != longer.hydra.sweep.dir
    assert one.hydra.sweep.dir.startswith(f"{tmp_path}/outputs/multirun/seed-")
    named, _ = begun(*words, "grid.name=mine")
    assert named.hydra.sweep.dir == f"{tmp_path}/outputs/multirun/mine"
    given, job = begun(*words, r"hydra.sweep.dir='else where/it\'s'")
    assert given.hydra.sweep.dir == f"{tmp_path}/else where/it's"
    assert job(*words[::2], "seed=1").hydra.sweep.dir == given.hydra.sweep.dir


def test_every_job_is_told_the_directory_and_the_axes(begun):
    config, job = begun("model=stylegan", "model/norm=in,pn", "seed=0,1", "+x=${run_dir}")
    composed = job("model=stylegan", "model/norm=pn", "seed=1", "+x=${run_dir}")
    assert composed.hydra.sweep.dir == config.hydra.sweep.dir
    assert list(composed.grid.axes) == ["model/norm", "seed"]
    assert composed.hydra.sweep.subdir == "norm-pn+seed-1"


def test_grid_json_names_every_cell_and_keeps_those_of_earlier_commands(begun):
    words = ["model=vanilla", "grid.name=mine"]
    config, _ = begun(*words, "seed=0,1")
    begun(*words, "seed=2,3")
    facts = read_grid(config.hydra.sweep.dir)
    assert list(facts["cells"]) == ["seed-0", "seed-1", "seed-2", "seed-3"]
    assert facts["cells"]["seed-3"] == {"seed": 3}
    assert (facts["kind"], facts["axes"]) == ("train", ["seed"])


def test_cells_of_different_values_and_one_name_are_refused_before_anything_is_written(
    begun, tmp_path
):
    line = r"data\.path=a/b and a_b would be one cell, path-a_b: .* grid\.name="
    with pytest.raises(GridError, match=line):
        begun("data=folder", "data.path=a/b,a_b", "grid.name=mine")
    assert not (tmp_path / "outputs").exists()
    begun("data=folder", "data.path=a/b,a/b", "grid.name=mine")  # the same one twice


def test_a_word_replaces_an_axis_of_a_papers_grid(begun):
    config, _ = begun("sweep=norms", "seed=7", "experiment=norms/in,norms/pin")
    facts = read_grid(config.hydra.sweep.dir)
    assert list(facts["cells"].values()) == [
        {"experiment": f"norms/{norm}", "seed": 7} for norm in ("in", "pin")
    ]
    assert facts["table"]["caption"] == "StyleGAN by normalization, and StyleGAN2"


def test_an_unknown_key_of_a_sweeps_file_is_refused(begun):
    with pytest.raises(GridError, match=r"there is no key grid\.tabel"):
        begun("seed=0,1", "+grid.tabel.caption=x")


def test_a_mistake_ends_the_process_with_one_line(begun, monkeypatch, capsys):
    """Hydra would warn of a callback's exception and sweep on."""
    config, _ = begun("seed=0,1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(SystemExit) as stopped:
        GridStart().on_multirun_start(config)
    assert stopped.value.code == 1
    assert capsys.readouterr().err.startswith("error: a sweep is one process")


def test_a_broken_grid_file_is_no_obstacle(begun, tmp_path):
    directory = tmp_path / "outputs" / "multirun" / "mine"
    directory.mkdir(parents=True)
    (directory / "grid.json").write_text("[")
    begun("seed=0,1", "grid.name=mine")
    assert len(json.loads((directory / "grid.json").read_text())["cells"]) == 2
    assert OmegaConf.is_config(begun("seed=0")[0])
