"""`logger=trackio`, by the client itself on a folder of this machine."""

import json
import sqlite3
import subprocess
import sys
from importlib.util import find_spec

import pytest

from ganlab.loggers import trackio_tracker
from ganlab.loggers.tracker import remembered_id

ABSENT = find_spec("trackio") is None
needed = pytest.mark.skipif(ABSENT, reason="pip install 'ganlab[trackio]'")
TRACKED = """
import sys, torch
from ganlab.loggers import finish, trackio_tracker
log = trackio_tracker(sys.argv[1])
log.log_hyperparams({"model": {"width": 4}})
log.log_metrics({"loss": float(sys.argv[2]), "fid": torch.tensor(3.0)}, step=int(sys.argv[3]))
log.log_images("samples", torch.zeros(4, 3, 8, 8), int(sys.argv[3]))
log.log_table("scores", ["metric", "value"], [["fid1k", 3.0]])
finish([log])
assert not log.failed
print(log.version)
"""


@needed
def test_a_run_and_its_resume_are_one_run_on_the_axis_of_images_seen(tmp_path, monkeypatch):
    """Each in a process of its own, as it reads where it keeps things when it is imported."""
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("TRACKIO_STORAGE_MODE", "sqlite")
    for loss, seen in ((0.5, 100), (0.25, 200)):
        words = [sys.executable, "-c", TRACKED, str(tmp_path / "run"), str(loss), str(seen)]
        subprocess.run(words, check=True, timeout=120)
    with sqlite3.connect(tmp_path / "trackio" / "ganlab.db") as base:
        found = base.execute("SELECT run_name, step, metrics FROM metrics ORDER BY id").fetchall()
        configs = [json.loads(text) for (text,) in base.execute("SELECT config FROM configs")]
    (identity,) = {name for name, _, _ in found}
    assert identity.endswith((tmp_path / "run" / "trackio_id.txt").read_text().strip())
    rows = [(step, json.loads(metrics)) for _, step, metrics in found]
    assert [step for step, _ in rows] == [100, 100, 100, 200, 200, 200]
    assert [row for _, row in rows if "loss" in row] == [
        {"loss": 0.5, "fid": 3.0},
        {"loss": 0.25, "fid": 3.0},
    ]
    tables = [row["scores"]["_value"] for _, row in rows if "scores" in row]
    assert tables == [[{"metric": "fid1k", "value": 3.0}]] * 2
    assert [config["model"] for config in configs] == [{"width": 4}]
    assert len(list((tmp_path / "trackio" / "media").rglob("*.png"))) == 2


@pytest.mark.parametrize("said", ["two words", "a/b"])
def test_an_id_that_an_agent_cannot_mean_is_refused_and_not_kept(tmp_path, monkeypatch, said):
    monkeypatch.setenv("TRACKIO_RUN_ID", said)
    with pytest.raises(ValueError, match="TRACKIO_RUN_ID="):
        remembered_id(tmp_path, "trackio")
    assert not list(tmp_path.iterdir())


@needed
def test_a_rank_that_logs_nothing_draws_no_id(tmp_path):
    trackio_tracker(tmp_path)
    assert not list(tmp_path.iterdir())
