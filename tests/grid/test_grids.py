"""Grids as a user runs them: accidents, repetition, ranks, trackers, clusters' launchers."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from ganlab.grid.cell import file_hash, read_attempt, read_cell, state

ROOT, HERE = Path(__file__).parents[2], Path(__file__).parent
TINY = [
    *("data=synthetic", "data.resolution=32", "data.batch_size=8", "data.num=100"),
    *("model=vanilla", "model.generator.hidden=[16]", "model.discriminator.hidden=[16]"),
    *("callbacks=none", "log_every_kimg=0.016", "checkpoint_every_kimg=0.016", "kimg=0.064"),
]
SCORED = ["metrics.num_real=100", "metrics.num_fake=100"]


def environment(**more):
    paths = f"{ROOT}:{HERE}:{HERE / 'plugins'}"
    return (
        os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths, "WANDB_MODE": "offline"} | more
    )


def grid(directory, *words, script="train.py", **more):
    """Run a sweep's command line to its end."""
    return subprocess.run(
        [sys.executable, script, "-m", *words, f"hydra.sweep.dir={directory}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment(**more),
        timeout=550,
    )


def spy(name, **options):
    return [
        "allow_targets=[cell_spies]",
        f"+callbacks.spy._target_=cell_spies.{name}",
        "+callbacks.spy.directory=${run_dir}",
        *(f"+callbacks.spy.{key}={value}" for key, value in options.items()),
    ]


def test_the_same_command_again_runs_what_is_not_done(tmp_path):
    """The light form: one cell cannot be built, the other is done and then left alone."""
    words = [*TINY, "scores=null", "kimg=0.016", "model.critic_steps=0,1,1"]
    first = grid(tmp_path / "grid", *words)
    assert first.returncode == 1
    assert "1 of 3 cells did not finish: critic_steps-0 failed" in first.stderr.splitlines()[-1]
    assert "critic_steps-0 failed" in first.stdout, "the table names it"
    done, failed = (tmp_path / "grid" / f"critic_steps-{n}" for n in (1, 0))
    before = (done / "result.json").stat().st_mtime_ns
    assert json.loads((done / "result.json").read_text())["cell"] == {"model.critic_steps": 1}
    second = grid(tmp_path / "grid", *words)
    assert second.returncode == 1
    assert "2 cells, 1 done already" in second.stderr
    assert (done / "result.json").stat().st_mtime_ns == before
    assert (read_attempt(done)["number"], state(failed)) == (1, "failed")
    other = grid(tmp_path / "grid", *words[:-1], "model.critic_steps=choice(1)", "data.num=90")
    assert other.returncode == 1
    last = other.stderr.splitlines()[-1]
    assert "made with other settings before (data.num" in last
    assert "the same command" not in last, "it would be refused again"


@pytest.mark.parametrize("words", [(), ("hydra.sweep.subdir=seed-0",), ("grid.fresh=true",)])
def test_a_run_in_a_cells_place_is_left_as_it_was(tmp_path, words):
    home = tmp_path / "seed-0"
    for name in ("checkpoints/last.ckpt", ".hydra/config.yaml", "result.json"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("mine")
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    ended = grid(tmp_path, *TINY, "seed=choice(0)", "kimg=0.008", *words)
    assert ended.returncode == 1
    assert "seed-0 holds checkpoints/last.ckpt of a run that is no cell" in ended.stderr
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before
    assert not (tmp_path / ".attempts").exists()


def test_a_number_that_no_cell_can_have_is_named_before_any_is_written(tmp_path):
    ended = grid(tmp_path / "grid", *TINY, "seed=0,1", "kimg=abc")
    assert ended.returncode == 1
    assert "kimg=abc should be a number of kimg" in ended.stderr.splitlines()[-1]
    assert not [*tmp_path.rglob("cell.yaml")]


def test_a_sweep_is_refused_in_one_of_several_ranks(tmp_path):
    done = grid(tmp_path / "grid", *TINY, "seed=0,1", WORLD_SIZE="2", LOCAL_RANK="1")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: a sweep is one process")
    assert not (tmp_path / "grid").exists()


KILLED, RAISED = "loss-hinge+critic_steps-2+seed-1", "loss-minimax+critic_steps-1+seed-0"


@pytest.mark.slow
def test_a_grid_lives_through_an_exception_and_a_kill_and_completes_itself(tmp_path):
    """2 x 2 x 2 seeds, one cell raising inside its process, one killed by SIGKILL."""
    words = [
        *(*TINY, *SCORED, "model/loss=minimax,hinge", "model.critic_steps=1,2", "seed=0,1"),
        *spy("Accidents", marks=tmp_path, images=32, raising=RAISED, killed=KILLED),
    ]
    first = grid(tmp_path / "grid", *words)
    assert first.returncode == 1, first.stderr
    states = {path.parent.name: state(path.parent) for path in tmp_path.glob("grid/*/cell.yaml")}
    assert len(states) == 8
    assert {name for name, each in states.items() if each != "done"} == {KILLED, RAISED}
    assert f"{RAISED} failed (RuntimeError: out of luck)" in first.stdout
    assert re.search(rf"{re.escape(KILLED)} killed \(.*SIGKILL", first.stdout)
    assert all(name in first.stderr.splitlines()[-1] for name in (KILLED, RAISED))
    (tmp_path / "attempts.txt").unlink()
    second = grid(tmp_path / "grid", *words)
    assert second.returncode == 0, second.stderr
    attempts = dict(line.split() for line in (tmp_path / "attempts.txt").read_text().splitlines())
    assert set(attempts) == {KILLED, RAISED}, "finished cells are left alone"
    # The exception left a checkpoint at its last whole batch; the kill only the one before.
    assert (attempts[RAISED], attempts[KILLED]) == ("32", "16")
    assert "failed" not in second.stdout
    rows = [line for line in second.stdout.splitlines() if re.match(r"\| (minimax|hinge)", line)]
    assert len(rows) == 4
    assert all(row.endswith("| 2 |") for row in rows), "every row is of both seeds"


@pytest.mark.slow
def test_ranks_of_a_random_sweep_train_one_model_a_cell(tmp_path):
    words = [
        *(*TINY, "scores=null", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"),
        "hydra.sweeper._target_=hydra_plugins.random_sweeper.RandomSweeper",
        "model.generator_optimizer.lr=interval(0.0001,0.001)",
        *spy("Ranks"),
    ]
    done = grid(tmp_path / "grid", *words)
    assert done.returncode == 0, done.stderr
    cells = sorted(path.parent for path in tmp_path.glob("grid/*/cell.yaml"))
    assert len(cells) == 2
    assert not list(tmp_path.glob("grid/*/*/cell.yaml"))
    for cell in cells:
        first, second = ((cell / f"rank-{n}-of-2.txt").read_text() for n in (0, 1))
        assert first == second
        _, hash_of_file, directory, *_ = first.splitlines()
        assert hash_of_file == file_hash(cell)
        assert Path(directory) == cell
    rates = {read_cell(cell).config["model"]["generator_optimizer"]["lr"] for cell in cells}
    assert len(rates) == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_the_grid_saves_its_cells_and_the_command_goes_on(tmp_path, number):
    """In a SLURM job the driver asks for it again, where SLURM said so, and no cell does."""
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/said\n')
    scontrol.chmod(0o755)
    job = {"SLURM_JOB_ID": "4217", "PATH": f"{scontrol.parent}:{os.environ['PATH']}"}
    words = [*TINY, "scores=null", "kimg=30", "checkpoint_every_kimg=null", "seed=0,1"]
    command = [sys.executable, "train.py", "-m", *words, f"hydra.sweep.dir={tmp_path}/grid"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment() | job, stderr=subprocess.PIPE)
    curve = tmp_path / "grid" / "seed-0" / "attempt.json"
    while not curve.exists() or state(curve.parent) != "running":
        time.sleep(0.1)
    time.sleep(8)  # its imports; at worst it is stopped before its first batch
    process.send_signal(number)
    process.communicate(timeout=120)
    assert process.returncode == 128 + number
    said = tmp_path / "said"
    asked = said.read_text().splitlines() if said.exists() else []
    assert asked == (["requeue 4217"] if number == signal.SIGUSR1 else [])
    assert state(curve.parent) == "interrupted"
    assert state(tmp_path / "grid" / "seed-1") == "waiting"


@pytest.mark.slow
def test_an_evaluation_that_is_stopped_is_interrupted_and_the_command_goes_on(
    tmp_path, checkpoint_of
):
    words = [f"ckpt={checkpoint_of('model=dcgan')}", "study=samples", "study.num=2,3"]
    words += ["study._target_=cell_spies.Stopped", "allow_targets=[cell_spies]"]
    cells = [tmp_path / "grid" / f"num-{num}" for num in (2, 3)]
    assert grid(tmp_path / "grid", *words, script="evaluate.py").returncode == 1
    assert [state(each) for each in cells] == ["interrupted", "done"]
    assert read_attempt(cells[0])["exit_code"] == 143
    again = grid(tmp_path / "grid", *words, script="evaluate.py")
    assert again.returncode == 0, again.stderr
    assert [state(each) for each in cells] == ["done", "done"]
    assert read_attempt(cells[1])["number"] == 1, "what is done is left alone"


@pytest.mark.slow
@pytest.mark.parametrize("known", [False, True])
def test_twenty_ablations_of_one_checkpoint_load_the_reals_once(tmp_path, checkpoint_of, known):
    """One cell goes through the images where nothing was kept, one reads the file, the rest map."""
    marks, rates = tmp_path / "marks", ",".join(f"[{n / 20}]" for n in range(1, 21))
    words = [f"ckpt={checkpoint_of('model=dcgan')}", *TINY[:4], *SCORED, "metrics=smoke"]
    words += ["data._target_=cell_spies.counted", *COUNTED]
    words += ["study=sequential_ablation", "study.num_artifacts=100", "study.layer_sets=[[0]]"]
    words += ["allow_targets=[cell_spies]", "hydra.launcher.slots=3"]
    kept = {"GANLAB_CACHE": str(tmp_path / "cache"), "MARKS": str(marks)}
    if known:
        first = grid(tmp_path / "first", *words, "study.rates=[0.5]", script="evaluate.py", **kept)
        assert first.returncode == 0, first.stderr
        marks.unlink()
    done = grid(tmp_path / "grid", *words, f"study.rates={rates}", script="evaluate.py", **kept)
    assert done.returncode == 0, done.stderr
    said = marks.read_text().split()
    assert [said.count(word) for word in ("pass", "read", "map")] == [not known, 1, 18 + known]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("submitit", ["hydra/launcher=submitit"]),
        ("ray", ["hydra/launcher=ray_tasks", "hydra.launcher.ray.remote.num_cpus=1"]),
    ],
)
def test_launchers_of_clusters_run_a_grid_in_their_local_mode(tmp_path, package, words):
    assert find_spec(f"hydra_plugins.hydra_{package}_launcher"), "make test-all installs it"
    command = [*TINY, *SCORED, "seed=0,1", *words]
    done = grid(tmp_path / "grid", *command)
    assert done.returncode == 0, done.stderr
    assert [state(tmp_path / "grid" / f"seed-{n}") for n in (0, 1)] == ["done", "done"]
    assert re.search(r"± .* \| 2 \|", done.stdout)
    numbers = [read_attempt(tmp_path / "grid" / f"seed-{n}")["number"] for n in (0, 1)]
    assert grid(tmp_path / "grid", *command).returncode == 0
    assert [read_attempt(tmp_path / "grid" / f"seed-{n}")["number"] for n in (0, 1)] == numbers


SMALL = [
    *("data=synthetic", "data.resolution=32", "data.batch_size=8", "data.num=100", "kimg=0.016"),
    *("callbacks=none", "features=classifier", "metrics=smoke", *SCORED, "score_every_kimg=null"),
    *("model.generator.width=4", "model.discriminator.width=4", "model.generator.max_width=4"),
    *("model.discriminator.max_width=4", "model.generator.latent_dim=8"),
    *("model.generator.style_dim=8", "model.growth.stable_kimg=0.005"),
    *("model.growth.fade_kimg=0.005", "model.growth.batch_sizes=null"),
    "model.growth.learning_rates=null",
]
LADDER = "huang2024_ladder"
TIE = "hyun2026_tie"
EQUAL = "equal_time"
TRAINED = ["tan2020_table1", "karras2019_ladder", "norms", LADDER, TIE, EQUAL]
COUNTED = ["study.num_latents=100", "study.num_samples=200", "study.num_shown=4"]
STUDIED = {
    "choi2022_table1": ["metrics=smoke", *SCORED, "study.num_artifacts=100", "seed=0", *COUNTED],
    "choi2022_table2": ["study.suite.num_real=100", "study.num=100", *COUNTED],
    "heikka2020_table1": ["metrics=smoke", *SCORED, "study.num=10"],
    "shocher2020_table1": ["study.num=100", "study.num_pairs=10", "study.num_shown=2"],
}
PYRAMID = ["model.generator.max_width=8", "model.discriminator.max_width=8"]
MODELS = {"shocher2020_table1": ["model=semantic_pyramid", *PYRAMID]}


@pytest.fixture(scope="module")
def checkpoint_of(tmp_path_factory):
    """The checkpoint of a small model, trained once."""
    return cache(lambda *words: trained(tmp_path_factory.mktemp("model"), words))


def trained(run, model):
    words = [*SMALL[:7], "scores=null", "model.generator.width=4", *model]
    done = subprocess.run(
        [sys.executable, "train.py", *words, f"hydra.run.dir={run}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    return run / "checkpoints" / "last.ckpt"


@pytest.mark.slow
@pytest.mark.parametrize("sweep", TRAINED)
def test_every_sweep_of_trainings_runs_small_and_prints_its_table(tmp_path, sweep):
    """All cells of one seed; the same test takes in what is added to conf/sweep."""
    words = SMALL
    if sweep in ("norms", LADDER, TIE, EQUAL):  # StyleGAN2 and MSG-GAN do not grow
        words = ["seed=0", *(word for word in SMALL if not word.startswith("model.growth."))]
    if sweep in (LADDER, TIE, EQUAL):  # no styles but in the first row of two of them
        words.remove("model.generator.style_dim=8")
    done = grid(tmp_path / "grid", f"sweep={sweep}", *words)
    assert done.returncode == 0, done.stderr
    assert ("(paper)" in done.stdout) == (sweep not in (TIE, EQUAL))
    assert "fid100_classifier" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("sweep", list(STUDIED))
def test_every_sweep_of_studies_runs_small_and_prints_its_table(tmp_path, checkpoint_of, sweep):
    checkpoint = checkpoint_of(*MODELS.get(sweep, ["model=dcgan"]))
    words = [f"sweep={sweep}", f"ckpt={checkpoint}", *STUDIED[sweep]]
    done = grid(tmp_path / "grid", *words, script="evaluate.py")
    assert done.returncode == 0, done.stderr
    assert "100 generated against 100 real images" in done.stdout
    assert done.stdout.count("\n| ") >= 3  # head, rule and a row or more


def test_every_sweep_of_the_project_has_a_smoke_run():
    sweeps = {path.stem for path in (ROOT / "conf" / "sweep").glob("*.yaml")}
    elsewhere = {"few_images"}  # tests/test_few_images.py
    assert sweeps == {*TRAINED, *elsewhere, *STUDIED}
