"""A cell's files: what is read back, what is done about each state, what is never lost."""

import errno
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from grids import cell, ended
from omegaconf import OmegaConf

from ganlab.grid import __main__ as process
from ganlab.grid import cell as cells
from ganlab.grid.cell import GridError, file_hash, group_by_fate, plan, read_cell, set_aside, state
from ganlab.runs import locks

ROOT = Path(__file__).parents[2]


def test_a_config_survives_the_file_exactly(tmp_path):
    config = {
        "batch_sizes": {4: 16, 8: 8},  # integer keys
        "lr": 1e-5,
        "text": "1e-5",
        "word": "no",
        "nothing": None,
        "nested": {"suite": "${metrics}", "list": [0.0, "a: b", True]},
    }
    made = cell(tmp_path, {"model/norm": "pin", "seed": 2}, config)
    made.write()
    again = read_cell(made.directory)
    assert again == made
    assert OmegaConf.create(again.config).batch_sizes[4] == 16


def test_a_moved_cell_runs_where_it_is(tmp_path):
    made = ended(cell(tmp_path, {"seed": 0}))
    made.directory.rename(tmp_path / "elsewhere")
    assert read_cell(tmp_path / "elsewhere").directory == tmp_path / "elsewhere"


def test_the_hash_is_the_files(tmp_path):
    made = cell(tmp_path, {"seed": 0})
    made.write()
    before = file_hash(made.directory)
    assert len(before) == 12
    made.write()
    assert file_hash(made.directory) == before
    made.config["kimg"] = 1.0
    made.write()
    assert file_hash(made.directory) != before


@pytest.mark.parametrize("text", ["kind: [", "kind: train", "- 3"])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / "cell.yaml").write_text(text)
    with pytest.raises(GridError, match=r"cell\.yaml is damaged"):
        read_cell(tmp_path)


def checkpoint(made):
    path = made.directory / "checkpoints" / "last.ckpt"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    return str(path)


@pytest.mark.parametrize("way", ["file deleted", "grid.fresh=true"])
def test_a_damaged_cell_begins_anew_both_ways_that_its_error_names_and_keeps_its_work(
    tmp_path, way
):
    made = ended(cell(tmp_path, {"seed": 0}), "interrupted")
    last = Path(checkpoint(made))
    (made.directory / "cell.yaml").write_text("kind: [")
    with pytest.raises(
        GridError, match=r"delete this one file and run again, or say grid\.fresh=true"
    ):
        plan(made)
    if way == "file deleted":
        (made.directory / "cell.yaml").unlink()
    assert plan(made, fresh=way == "grid.fresh=true") == ("start", None)
    set_aside(made.directory)  # as every start does
    assert not last.exists()
    kept = tmp_path / ".attempts" / "seed-0-1" / "checkpoints" / "last.ckpt"
    assert kept.read_bytes() == b"weights"


def test_a_cell_that_never_was_starts(tmp_path):
    assert plan(cell(tmp_path, {"seed": 0})) == ("start", None)
    given = cell(tmp_path, {"seed": 1}, {"ckpt": "other.ckpt"})
    assert plan(given) == ("start", "other.ckpt")


def test_a_run_that_is_no_cell_is_never_moved_away(tmp_path):
    made = cell(tmp_path, {"seed": 0})
    last = Path(checkpoint(made))
    for fresh in (False, True):
        with pytest.raises(
            GridError, match=r"seed-0 holds checkpoints/last\.ckpt of a run that is"
        ):
            plan(made, fresh)
    last.unlink()
    (made.directory / "metrics.csv").write_text("images_seen,a\n1,2\n")
    with pytest.raises(GridError, match=r"1 rows of metrics\.csv"):
        plan(made)
    (made.directory / "metrics.csv").unlink()
    assert plan(made) == ("start", None), "a folder with nothing to lose"


def test_a_finished_cell_is_skipped_unless_fresh_or_longer(tmp_path):
    made = ended(cell(tmp_path, {"seed": 0}))
    last = checkpoint(made)
    assert plan(made) == ("skip", None)
    assert plan(made, fresh=True) == ("start", None)
    longer = cell(tmp_path, {"seed": 0}, {"kimg": 0.128})
    assert plan(longer) == ("continue", last)


@pytest.mark.parametrize("how", ["interrupted", "failed", "running", "waiting"])
def test_an_unfinished_cell_goes_on_from_its_checkpoint_or_starts(tmp_path, how):
    made = ended(cell(tmp_path, {"seed": 0}), how, images_seen=32)
    assert plan(made) == ("start", None)
    assert plan(made)[0] == "start"
    last = checkpoint(made)
    assert plan(made) == ("continue", last)


def test_a_finished_evaluation_runs_again_only_for_another_checkpoint(tmp_path):
    file = tmp_path / "last.ckpt"
    file.write_bytes(b"one")
    config = {"ckpt": str(file), "kimg": None}

    def today():
        return cell(tmp_path, {"study": "x"}, config, "evaluate", inputs=cells.stamps(config))

    ended(today())
    assert plan(today()) == ("skip", None)
    file.write_bytes(b"another")
    assert plan(today()) == ("start", str(file))


@pytest.mark.parametrize("named", ["{}/rates.safetensors", "{}", "{}/rates.safetensors:a"])
def test_a_finished_evaluation_runs_again_for_another_file_that_its_study_reads(tmp_path, named):
    """A file, a run's directory by its result, or a part of a file; not for its own result."""
    (tmp_path / "run").mkdir()
    read = [tmp_path / "run" / name for name in ("rates.safetensors", "result.json")]
    for file in read:
        file.write_text("one")
    home = tmp_path / "grid"
    rates = named.format(tmp_path / "run")

    def today():
        config = {
            "ckpt": "faces",
            "kimg": None,
            "study": {"some": ["x" * 300, "~nobody_at_all/x", {"file": rates}]},
        }
        config["run_dir"] = str(home / "study-x")
        return cell(home, {"study": "x"}, config, "evaluate", inputs=cells.stamps(config))

    ended(today())
    assert plan(today()) == ("skip", None)
    for file in read:
        file.write_text("another")
    assert plan(today()) == ("start", "faces")
    ended(today())
    assert plan(today()) == ("skip", None)
    today().directory.joinpath("cell.yaml").write_text(  # one of before files were noted
        today().directory.joinpath("cell.yaml").read_text().split("inputs:")[0] + "inputs: {}\n"
    )
    assert plan(today()) == ("skip", None)


def test_a_finished_evaluation_of_one_named_checkpoint_is_none_of_another(tmp_path):
    def of(name):
        config = {"ckpt": name, "kimg": None}
        return cell(tmp_path, {"study": "x"}, config, "evaluate", inputs=cells.stamps(config))

    ended(of("faces"))
    assert plan(of("faces")) == ("skip", None)
    assert plan(of("eyes")) == ("start", "eyes")


def test_other_settings_under_the_same_name_are_refused_by_key(tmp_path):
    ended(cell(tmp_path, {"seed": 0}, {"model": {"lr": 0.1}, "trainer": {"devices": 1}}))
    other = cell(tmp_path, {"seed": 0}, {"model": {"lr": 0.2}, "trainer": {"devices": 4}})
    with pytest.raises(GridError, match=r"\(model\.lr: 0\.1 -> 0\.2\)"):
        plan(other)
    assert plan(other, fresh=True)[0] == "start"


def test_other_settings_of_a_cell_with_nothing_to_lose_are_taken(tmp_path):
    ended(cell(tmp_path, {"seed": 0}, {"model": {"lr": 0.1}}), "failed")
    assert plan(cell(tmp_path, {"seed": 0}, {"model": {"lr": 0.2}}))[0] == "start"


HOLD = """
import sys, time
from pathlib import Path
from ganlab.grid import cell
with cell.lock(Path(sys.argv[1])):
    cell.begin_attempt(Path(sys.argv[1]))
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    made = ended(cell(tmp_path, {"seed": 0}), "waiting")
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(made.directory)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout.readline() == b"held\n"
    yield made, process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_cell_in_work_is_left_alone_and_a_killed_one_is_seen_to_be(holder):
    made, process = holder
    assert state(made.directory) == "running"
    with pytest.raises(GridError, match="being written by another process"):
        plan(made)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert state(made.directory) == "killed"
    assert plan(made)[0] == "start"


@pytest.fixture
def flock(monkeypatch):
    """Makes the file system's locks fail with the error of that number."""

    def fail(number):
        def flock(*_):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(locks.fcntl, "flock", flock)
        locks._warn_of_no_locks.cache_clear()

    yield fail
    locks._warn_of_no_locks.cache_clear()


@pytest.mark.parametrize("number", [errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES])
def test_a_lock_that_is_taken_keeps_others_out(tmp_path, flock, number):
    made = ended(cell(tmp_path, {"seed": 0}), "running")
    (made.directory / ".lock").touch()
    flock(number)
    assert state(made.directory) == "running"
    with pytest.raises(GridError, match="being written"), cells.lock(made.directory, patience=0):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_a_cell_runs_with_one_warning(tmp_path, flock, number):
    made = ended(cell(tmp_path, {"seed": 0}), "waiting")
    flock(number)
    with (
        pytest.warns(UserWarning, match="this file system has no locks"),
        cells.lock(made.directory),
    ):
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with cells.lock(made.directory):
            assert state(made.directory) == "waiting"
        assert plan(made)[0] == "start"


@pytest.mark.filterwarnings("ignore:this file system has no locks")
def test_without_locks_the_holders_record_tells_whether_a_cell_runs(tmp_path, flock):
    made = ended(cell(tmp_path, {"seed": 0}), "running")
    flock(errno.ENOSYS)
    with cells.lock(made.directory):
        assert state(made.directory) == "running"
        with pytest.raises(GridError, match="being written"):
            plan(made)
    assert state(made.directory) == "killed"
    assert plan(made)[0] == "start"


@pytest.mark.parametrize(
    ("error", "code"), [(SystemExit(143), 143), (SystemExit(130), 130), (KeyboardInterrupt(), 130)]
)
def test_an_evaluation_that_a_signal_stops_is_interrupted_and_runs_again(
    tmp_path, monkeypatch, error, code
):
    config = {"ckpt": "other.ckpt", "kimg": None}
    made = cell(tmp_path, {"study": "x"}, config, "evaluate")
    made.write()
    monkeypatch.setattr(process, "outcome", lambda _: (_ for _ in ()).throw(error))
    assert process.run_recorded(made.directory) == code
    attempt = cells.read_attempt(made.directory)
    assert (attempt["state"], attempt["exit_code"]) == ("interrupted", code)
    assert attempt["error"] is None
    assert plan(made) == ("start", "other.ckpt")


@pytest.mark.parametrize("code", [1, "a message", None])
def test_another_exit_is_a_failure(tmp_path, monkeypatch, code):
    made = cell(tmp_path, {"seed": 0})
    made.write()
    monkeypatch.setattr(process, "outcome", lambda _: sys.exit(code))
    assert process.run_recorded(made.directory) == 1
    assert state(made.directory) == "failed"
    assert cells.read_attempt(made.directory)["error"].startswith("SystemExit")


def test_what_is_set_aside_is_kept_and_hydras_files_stay(tmp_path):
    made = ended(cell(tmp_path, {"seed": 0}))
    (made.directory / ".hydra").mkdir()
    set_aside(made.directory)
    ended(made)
    set_aside(made.directory)
    assert [path.name for path in made.directory.iterdir()] == [".hydra"]
    kept = sorted(path.parent.name for path in tmp_path.glob(".attempts/*/result.json"))
    assert kept == ["seed-0-1", "seed-0-2"]


def test_equal_fates_are_told_together():
    fates = [("a", "failed (x)"), ("b", "killed"), ("c", "failed (x)"), ("", "no config")]
    assert group_by_fate(fates) == ["a, c failed (x)", "b killed", "no config"]
