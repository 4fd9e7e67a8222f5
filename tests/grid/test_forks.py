"""Cells that are forked: as those of processes of their own, and none in another's way."""

import json
import subprocess
import sys

import pytest
import torch
from test_grids import ROOT, TINY, environment, grid, spy

from ganlab.grid import forks
from ganlab.grid.cell import read_attempt, state
from ganlab.systems.checkpoint import load_checkpoint

CPU = {"accelerator": "cpu", "devices": 1, "num_nodes": 1}
WORDS = [*TINY, "scores=null", "kimg=0.016", *spy("Process")]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="cells are forked on Linux alone")


@pytest.mark.parametrize("other", [{"devices": 2}, {"num_nodes": 2}, {"accelerator": "gpu"}, {}])
def test_cells_of_one_process_on_a_cpu_are_forked(other, monkeypatch):
    monkeypatch.setattr(forks, "FIRST", {})
    assert forks.forks({"trainer": CPU | other}, {"OMP_NUM_THREADS": "1"}) == (not other)


def test_what_is_told_otherwise_than_the_first_is_started(monkeypatch):
    monkeypatch.setattr(forks, "FIRST", forks.environment_of({"OMP_NUM_THREADS": "1"}))
    assert forks.forks({"trainer": CPU}, {"OMP_NUM_THREADS": "1", "GANLAB_CELL": "a"})
    assert not forks.forks({"trainer": CPU}, {"OMP_NUM_THREADS": "2"})


def test_forked_cells_train_as_any_run_and_are_each_their_own(tmp_path):
    """One of them is killed in the middle, which touches none of the others."""
    words = [*WORDS, "seed=0,1,2", "hydra.launcher.slots=2", "hydra.launcher.threads=1"]
    accident = {"marks": tmp_path, "images": 8, "raising": "none", "killed": "seed-1"}
    fate = [word.replace(".spy", ".fate") for word in spy("Accidents", **accident)[1:]]
    done = grid(tmp_path / "grid", *words, *fate)
    cells = [tmp_path / "grid" / f"seed-{seed}" for seed in range(3)]
    assert [state(each) for each in cells] == ["done", "killed", "done"], done.stderr
    assert "SIGKILL" in read_attempt(cells[1])["error"]
    first, last = (json.loads((cells[i] / "process.json").read_text()) for i in (0, 2))
    assert first["parent"] == last["parent"], "both come from the clean process"
    for each in (first, last):
        assert each["pid"] == each["session"]
        assert (each["threads"], each["set"]) == (1, "1")
    assert first["random"] != last["random"]
    assert first["cell"] != last["cell"]
    assert "report: " in (cells[0] / "cell.log").read_text()
    alone = [sys.executable, "train.py", *WORDS, "seed=2", f"hydra.run.dir={tmp_path / 'alone'}"]
    subprocess.run(alone, cwd=ROOT, env=environment(), check=True, timeout=120)
    forked, own = (
        load_checkpoint(home / "checkpoints/last.ckpt")["state_dict"]
        for home in (cells[2], tmp_path / "alone")
    )
    assert all(torch.equal(forked[name], own[name]) for name in own)
