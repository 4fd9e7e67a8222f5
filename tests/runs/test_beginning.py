"""What `resume=auto` comes to, and how the ranks of a run learn of it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from run_files import checkpoint, result

from ganlab.cli import Again
from ganlab.runs import beginning, locks
from ganlab.runs.beginning import Beginning, await_decision, decide, resumable_checkpoint
from ganlab.runs.directory import DirectoryError

ROOT = Path(__file__).parents[2]
HEAR = """
import sys
from pathlib import Path
from ganlab.runs.beginning import await_decision
print("listening", flush=True)
print(await_decision(Path(sys.argv[1])), flush=True)
"""


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    yield folder
    locks.release(folder)
    beginning.begun_anew.discard(folder)


def row(run):
    (run / "metrics.csv").write_text("images_seen,loss\n64,1.0\n")


def test_a_run_goes_on_from_its_last_checkpoint(run):
    row(run)
    checkpoint(run, "best.ckpt")
    checkpoint(run)
    assert decide(run) == run / "checkpoints" / "last.ckpt"


def test_where_nothing_but_kept_checkpoints_is_a_run_goes_on_from_the_newest(run):
    row(run)
    for name in ("kept/000000064.ckpt", "kept/000000128.ckpt"):
        checkpoint(run, name)
    newest = run / "checkpoints" / "kept" / "000000128.ckpt"
    assert decide(run) == newest
    checkpoint(run, "best.ckpt")
    with pytest.raises(DirectoryError, match=rf"ckpt=\S+best\.ckpt or ckpt={newest} or ckpt="):
        resumable_checkpoint(run)


def test_a_run_begins_where_there_is_no_checkpoint_yet_and_says_what_it_repeats(run, capsys):
    checkpoint(run, "last.ckpt.partial")
    result(run)
    assert decide(run) is None
    assert capsys.readouterr().err == ""
    row(run)
    result(run, images_seen=64)
    assert decide(run) is None
    assert "1 rows of metrics.csv and no checkpoint yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (
            lambda run: checkpoint(run, "best.ckpt"),
            r"go on with ckpt=.*/best\.ckpt",
        ),
        (lambda run: result(run, status="done", images_seen=64), "no checkpoint"),
        (lambda run: result(run, kind="evaluate", images_seen=64), "an evaluation"),
    ],
)
def test_what_has_nothing_to_go_on_from_is_not_begun_again(run, made, text):
    made(run)
    before = sorted(run.rglob("*"))
    with pytest.raises(DirectoryError, match=text):
        decide(run)
    assert sorted(run.rglob("*")) == before
    with pytest.raises(DirectoryError, match=text):
        await_decision(run)


STARTS = [
    {"TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_RESTART_COUNT": "0", "MASTER_PORT": "29500"},
    {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"},
    {"MASTER_PORT": "29500", "NODE_RANK": "1"},
]


@pytest.mark.parametrize("start", STARTS, ids=["torchrun", "slurm", "by hand"])
@pytest.mark.parametrize("goes_on", [True, False])
def test_a_late_rank_decides_as_the_first_and_an_early_one_takes_no_old_word(
    run, monkeypatch, start, goes_on
):
    """An earlier start of the same command was killed, and left what it had said."""
    words = start | {"RANK": "1"}
    for name, value in start.items():
        monkeypatch.setenv(name, value)
    decide(run)
    old = (run / locks.HOLDER).read_bytes()
    locks.release(run)
    (run / locks.HOLDER).write_bytes(old)
    if goes_on:
        checkpoint(run)
    early = listener(run, words)
    time.sleep(1)
    assert early.poll() is None
    decide(run)
    expected = str(run / "checkpoints" / "last.ckpt") if goes_on else "None"
    assert answer(early) == expected
    checkpoint(run, "another.ckpt" if goes_on else "last.ckpt")  # after the first rank looked
    late = listener(run, words)
    assert answer(late) == expected


def listener(run, words):
    process = subprocess.Popen(
        [sys.executable, "-c", HEAR, str(run)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | words | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout.readline() == "listening\n"
    return process


def answer(process):
    said = process.stdout.read().strip()
    process.communicate()
    return said


def test_a_rank_of_another_start_gives_up_soon(run, monkeypatch):
    decide(run)
    monkeypatch.setenv("MASTER_PORT", "29500")
    monkeypatch.setattr(beginning, "LINGERING", 0.3)
    with pytest.raises(locks.InUseError, match="being written by another process"):
        await_decision(run)


@pytest.mark.parametrize("word", ["resume=auto", "++resume=auto", "resume='auto'", "seed=1"])
def test_the_decision_takes_the_place_of_the_word(word):
    kept = ["seed=1"] if word == "seed=1" else []
    last = Path("run/checkpoints/last.ckpt")
    assert Again(last).words([word]) == [f"ckpt={last}", "resume=exact", *kept]
    assert Again(None).words([word]) == ["resume=exact", *kept]
    words = ["--config-dir", "mine", "kimg=1", word]
    assert Again(None).words(words) == [*words[:2], "resume=exact", "kimg=1", *kept]


@pytest.mark.parametrize(
    ("name", "line"), [("loop", "should be a folder"), ("", "hydra.run.dir= is empty")]
)
@pytest.mark.parametrize("resume", ["auto", "exact"])
def test_what_names_no_folder_is_one_line(tmp_path, monkeypatch, capsys, name, line, resume):
    """A loop of links, and `hydra.run.dir=$UNSET`, which was the working directory."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    monkeypatch.chdir(tmp_path)
    hydra = {"run": {"dir": name}, "output_subdir": ".hydra"}
    config = OmegaConf.create({"ckpt": None, "resume": resume, "hydra": hydra})
    monkeypatch.setattr(HydraConfig, "set_config", lambda *arguments: None)
    with pytest.raises(SystemExit, match="1"):
        Beginning("train").on_run_start(config)
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]


def test_a_defect_here_lets_no_run_go_on(monkeypatch, capsys):
    """Hydra would make a warning of it, and the run write to a directory that nobody looked at."""

    def defect(*arguments):
        raise RuntimeError("a defect")

    monkeypatch.setattr(Beginning, "begin", defect)
    with pytest.raises(SystemExit, match="1"):
        Beginning("train").on_run_start(OmegaConf.create({}))
    assert "RuntimeError: a defect" in capsys.readouterr().err


def test_nothing_is_nothing_to_go_on_from(tmp_path):
    assert resumable_checkpoint(tmp_path / "nowhere") is None
