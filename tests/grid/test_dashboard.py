"""What a dashboard gets from a cell, and what it cannot do to one."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cell_spies
import pytest
from grids import cell
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf, open_dict
from tracker_files import records_of

from ganlab.cli import conf_dir, register_resolvers
from ganlab.grid.__main__ import with_labels

ROOT, HERE = Path(__file__).parents[2], Path(__file__).parent
SMALL = [
    *("data=synthetic", "data.resolution=32", "data.batch_size=8", "data.num=100"),
    *("model=vanilla", "model.generator.hidden=[16]", "model.discriminator.hidden=[16]"),
    *("kimg=0.032", "log_every_kimg=0.016", "sample_every_kimg=0.016"),
    *("metrics.num_real=100", "metrics.num_fake=100", "callbacks.progress.every_kimg=0.016"),
]


def test_labels_come_from_the_grid_unless_they_were_given(tmp_path):
    node = {"group": None, "tags": ["mine"], "name": None, "job_type": "train"}
    values = {"model/norm": "pin", "seed": 2, "ckpt": "x" * 99}
    made = cell(tmp_path / "norms", values, {"logger": {"wandb": node}}, "evaluate")
    labels = with_labels(made)["logger"]["wandb"]
    assert (labels["group"], labels["job_type"]) == ("norms", "evaluate")
    assert labels["tags"][:3] == ["mine", "model/norm=pin", "seed=2"]
    assert max(map(len, labels["tags"])) == 64
    assert labels["name"] == f"norms/{made.directory.name}"
    given = cell(tmp_path, {"seed": 0}, {"logger": {"wandb": {**node, "group": "ours"}}})
    assert with_labels(given)["logger"]["wandb"]["group"] == "ours"
    assert with_labels(cell(tmp_path, {"seed": 0}, {"logger": None}))["logger"] is None


def test_the_recipe_of_a_sweep_agent_gives_words_that_hydra_takes():
    """The YAML of docs/grids.md, with the words that an agent makes of its parameters."""
    text = (ROOT / "docs" / "grids.md").read_text(encoding="utf-8")
    recipe = OmegaConf.to_container(
        OmegaConf.create(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1]), resolve=False
    )
    command, parameters = recipe["command"], recipe["parameters"]
    first = {key: each.get("values", [each.get("min")])[0] for key, each in parameters.items()}
    assert command[-1] == "${args_no_hyphens}"
    words = [word for word in command if not word.startswith("${")]
    words += [f"{key}={value}" for key, value in first.items()]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("train", words)
    assert config.model.generator_optimizer.lr == first["model.generator_optimizer.lr"]
    assert config.logger.wandb.project == "ganlab"
    assert (ROOT / recipe["program"]).exists()


@pytest.mark.slow
def test_what_an_agent_starts_is_a_run_under_the_id_that_it_waits_for(tmp_path):
    """The recipe's command by an agent's stand-in: its macros, its environment, offline."""
    text = (ROOT / "docs" / "grids.md").read_text(encoding="utf-8")
    block = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1]
    recipe = OmegaConf.to_container(OmegaConf.create(block), resolve=False)
    drawn = {
        key: each.get("values", [each.get("min")])[0] for key, each in recipe["parameters"].items()
    }
    small = {"kimg": 0.032, "data.batch_size": 16, "scores": "null", "hydra.run.dir": "a"}
    small |= {"model.generator.width": 4, "model.discriminator.width": 4}
    macros = {
        "${env}": ["/usr/bin/env"],
        "${interpreter}": [sys.executable],
        "${program}": [str(ROOT / recipe["program"])],
        "${args_no_hyphens}": [f"{key}={value}" for key, value in (drawn | small).items()],
    }
    words = [word for part in recipe["command"] for word in macros.get(part, [part])]
    agent = {"WANDB_RUN_ID": "agent123", "WANDB_SWEEP_ID": "sweep1", "WANDB_MODE": "offline"}
    agent |= {"WANDB_DIR": str(tmp_path), "GANLAB_CACHE": str(tmp_path / "cache")}
    ran = subprocess.run(
        words, cwd=tmp_path, env={**os.environ, **agent}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    result = json.loads((tmp_path / "a" / "result.json").read_text())
    assert (result["status"], result["images_seen"]) == ("done", 32)
    assert (
        f"model.generator_optimizer.lr={drawn['model.generator_optimizer.lr']}" in result["command"]
    )
    assert (tmp_path / "a" / "wandb_id.txt").read_text().strip() == "agent123"
    assert list((tmp_path / "a" / "wandb").glob("offline-run-*-agent123"))


def test_a_run_takes_the_id_that_an_agent_waits_for_and_keeps_it(tmp_path, monkeypatch):
    from ganlab.loggers.wandb import remembered_id

    monkeypatch.setenv("WANDB_RUN_ID", "agent123")
    assert remembered_id(tmp_path) == "agent123"
    monkeypatch.delenv("WANDB_RUN_ID")
    assert remembered_id(tmp_path) == "agent123"


def test_a_tracker_that_raises_at_every_call_changes_nothing(tmp_path):
    from ganlab.run import train

    GlobalHydra.instance().clear()
    register_resolvers()
    words = ["allow_targets=[cell_spies]", "+logger.broken._target_=cell_spies.broken_tracker"]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("train", [*SMALL, *words])
    GlobalHydra.instance().clear()
    with open_dict(config):
        config.run_dir = str(tmp_path)
    cell_spies.Fragile.attempts.clear()
    result = train(config)
    assert result["status"] == "done"
    assert result["scores"]
    calls = {"log_hyperparams", "log_metrics", "log_images", "log_table", "finish"}
    assert calls <= set(cell_spies.Fragile.attempts)
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 3


def history(records):
    rows = [record.history.item for record in records if record.HasField("history")]
    return [
        {(i.key or ".".join(i.nested_key)): json.loads(i.value_json) for i in row} for row in rows
    ]


@pytest.mark.slow
def test_the_offline_run_of_a_cell_holds_everything(tmp_path):
    words = [*SMALL, "logger=wandb", "logger.wandb.project=faces", "seed=choice(3)"]
    done = subprocess.run(
        [sys.executable, "train.py", "-m", *words, f"hydra.sweep.dir={tmp_path}/mygrid"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    run_dir = tmp_path / "mygrid" / "seed-3"
    (file,) = run_dir.glob("wandb/offline-run-*/*.wandb")
    records = list(records_of(file))
    run = next(record.run for record in records if record.HasField("run"))
    assert (run.project, run.run_group, run.job_type) == ("faces", "mygrid", "train")
    assert list(run.tags) == ["seed=3"]
    assert run.display_name == "mygrid/seed-3"
    assert run.run_id == (run_dir / "wandb_id.txt").read_text().strip()
    rows = history(records)
    curve = [row["images_seen"] for row in rows if "loss/generator" in row]
    assert curve == [16, 32]
    pictures = [row["images_seen"] for row in rows if "samples._type" in row]
    assert pictures == [0, 16, 32], "one grid a tick"
    files = file.parent / "files" / "media"
    assert len(list(files.glob("images/samples*.png"))) == len(pictures)
    assert [row["scores._type"] for row in rows if "scores._type" in row] == ["table-file"]
    (kept,) = files.glob("table/scores*.json")
    shown = json.loads(kept.read_text())
    scores = json.loads((run_dir / "result.json").read_text())["scores"]
    assert [row[shown["columns"].index("metric")] for row in shown["data"]] == [
        score["metric"] for score in scores
    ]
    config = {
        update.key: json.loads(update.value_json)
        for record in records
        for update in (*record.config.update, *record.run.config.update)
    }
    assert config["seed"] == 3
    assert config["model"]["generator"]["hidden"] == [16]
    assert [record.exit.exit_code for record in records if record.HasField("exit")] == [0]
    (file,) = (tmp_path / "mygrid").glob("wandb/offline-run-*/*.wandb")
    whole = list(records_of(file))
    run = next(record.run for record in whole if record.HasField("run"))
    assert (run.run_group, run.job_type) == ("mygrid", "grid")
    assert any(row.get("table._type") == "table-file" for row in history(whole))
