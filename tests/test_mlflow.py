"""`logger=mlflow`, by the client itself on a database in the run's folder."""

import json
import os
from importlib.util import find_spec

import pytest
import torch
from composing import composed

from ganlab.loggers import finish, mlflow_tracker
from ganlab.runs.recipes import check_config

ABSENT = find_spec("mlflow") is None
needed = pytest.mark.skipif(ABSENT, reason="pip install 'ganlab[mlflow]'")


def tracked(directory, loss, seen, code=0):
    log = mlflow_tracker(directory)
    log.log_hyperparams({"kimg": seen, "model": {"width": 4}})
    log.log_metrics({"loss": loss, "fid1k": torch.tensor(3.0)}, step=seen)
    log.log_images("samples", torch.zeros(4, 3, 8, 8), seen)
    log.log_table("scores", ["metric", "value"], [["fid1k", 3.0]])
    finish([log], code)
    assert not log.failed
    return log.version


@needed
def test_a_run_and_its_resume_are_one_run_on_the_axis_of_images_seen(tmp_path, monkeypatch):
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    identity = tracked(tmp_path, 0.5, 100, code=1)
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert client.get_run(identity).info.status == "FAILED"
    assert tracked(tmp_path, 0.25, 200) == identity
    run = client.get_run(identity)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"kimg": "100", "model/width": "4"}
    assert run.data.tags["kimg"] == "200"  # longer than was said at first
    history = client.get_metric_history(identity, "loss")
    assert [(each.step, each.value) for each in history] == [(100, 0.5), (200, 0.25)]
    table = json.loads((tmp_path / "mlruns" / identity / "artifacts" / "scores.json").read_text())
    assert table == {"columns": ["metric", "value"], "data": [["fid1k", 3.0]]}
    pictures = {path.name for path in (tmp_path / "mlruns").rglob("*.png")}
    assert {name.split("+timestamp")[0] for name in pictures} == {
        "samples+step+100",
        "samples+step+200",
    }
    assert "MLFLOW_TRACKING_URI" not in os.environ  # where the process's next run would go
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("mlflow.db", "mlflow_id.txt", "mlruns")
    ]


@needed
def test_an_id_is_kept_from_the_first_row_on(tmp_path):
    """A run that is killed ends nothing; its resume must find it."""
    log = mlflow_tracker(tmp_path)
    log.log_metrics({"loss": 1.0}, step=1)
    assert not log.failed
    assert (tmp_path / "mlflow_id.txt").read_text().strip() == log.version


@needed
@pytest.mark.parametrize("kept", [b"", b"\xff", b"two words"])
def test_a_file_without_an_id_is_refused_by_its_name(tmp_path, kept):
    (tmp_path / "mlflow_id.txt").write_bytes(kept)
    with pytest.raises(ValueError, match=r"mlflow_id\.txt.*; move it away"):
        mlflow_tracker(tmp_path)


@needed
def test_a_folder_that_no_address_of_a_database_can_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"hydra\.run\.dir"):
        mlflow_tracker(tmp_path / "what?")


@needed
def test_what_is_no_database_costs_one_line(tmp_path, caplog):
    (tmp_path / "mlflow.db").mkdir()
    log = mlflow_tracker(tmp_path)
    log.log_metrics({"loss": 1.0}, step=1)
    assert log.failed
    assert "mlflow.db is a folder; move it away" in caplog.text


@needed
def test_a_server_that_does_not_answer_costs_one_line(tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    log = mlflow_tracker(tmp_path, uri="http://127.0.0.1:9")
    for step in (1, 2):
        log.log_metrics({"loss": 1.0}, step=step)
    assert log.failed
    assert len([each for each in caplog.records if "MLflowTracker failed" in each.message]) == 1


def test_it_stands_beside_the_others(tmp_path):
    words = ["logger=[csv,mlflow]", "data=synthetic", "logger.mlflow.experiment=faces"]
    logger = check_config(composed("train", words, tmp_path), "train")["logger"]
    assert set(logger) == {"csv", "mlflow"}
    assert logger["mlflow"]["experiment"] == "faces"
