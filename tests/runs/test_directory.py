"""Which directories a run may write to, and what of a killed one's is cleared away."""

import os
import re

import pytest
from run_files import checkpoint, result

from ganlab.report.image_files import ImageZip
from ganlab.runs import locks
from ganlab.runs.beginning import decide
from ganlab.runs.directory import DirectoryError, contents, enter, sweep
from ganlab.storage.atomic import temporary
from ganlab.systems.checkpoint import CheckpointError, require_file

FREE = {
    "nothing": lambda run: None,
    "refusal": result,
    "hydra": lambda run: (run / ".hydra").mkdir(),
    "header": lambda run: (run / "metrics.csv").write_text("images_seen,loss\n"),
    "partial": lambda run: checkpoint(run, "last.ckpt.partial"),
}
USED = {
    "last": (checkpoint, "checkpoints/last.ckpt"),
    "another": (lambda run: checkpoint(run, "mine.ckpt"), "checkpoints/mine.ckpt"),
    "kept": (lambda run: checkpoint(run, "kept/000000064.ckpt"), "checkpoints/kept/000000064.ckpt"),
    "row": (
        lambda run: (run / "metrics.csv").write_text("images_seen,loss\n64,1.0\n"),
        "1 rows of metrics.csv",
    ),
    "torn row": (lambda run: (run / "metrics.csv").write_text("a\n64"), "1 rows of metrics.csv"),
    "result": (lambda run: result(run, images_seen=64), r"the result of a run \(64 images seen\)"),
}


@pytest.fixture
def entering(tmp_path):
    """Enters a directory and leaves it again."""

    def enter_it(kind="train", ckpt=None, resume="exact"):
        enter(tmp_path / "run", kind, ckpt, resume)
        locks.release(tmp_path / "run")

    (tmp_path / "run").mkdir()
    return enter_it


def files(run):
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


@pytest.mark.parametrize("made", FREE.values(), ids=FREE)
def test_where_nothing_was_trained_a_run_may_begin(tmp_path, entering, made):
    made(tmp_path / "run")
    assert contents(tmp_path / "run") is None
    entering()
    entering("evaluate")


@pytest.mark.parametrize(("made", "what"), USED.values(), ids=USED)
def test_what_came_of_a_run_is_not_written_over(tmp_path, entering, made, what):
    run = tmp_path / "run"
    made(run)
    before = files(run)
    with pytest.raises(DirectoryError, match=rf"{what} .*resume=auto .*hydra\.run\.dir=<a new"):
        entering()
    with pytest.raises(DirectoryError, match=rf"{what}.*hydra\.run\.dir=<a new"):
        entering("evaluate")
    with pytest.raises(DirectoryError, match=r"ckpt=.*last\.ckpt goes on with it, .* a branch"):
        entering(ckpt=tmp_path / "other" / "checkpoints" / "last.ckpt")
    assert files(run) == before
    entering(ckpt=run / "checkpoints" / "last.ckpt")
    entering(ckpt=run / "checkpoints" / "kept" / "000000064.ckpt")
    entering(ckpt=tmp_path / "other.ckpt", resume="force")


@pytest.mark.parametrize("linked", ["checkpoints", "checkpoints/last.ckpt"])
def test_a_run_whose_checkpoints_lie_on_another_disk_goes_on(tmp_path, entering, linked):
    run, disk = tmp_path / "run", tmp_path / "disk"
    run.mkdir(exist_ok=True)
    checkpoint(run)
    (run / linked).rename(disk)
    (run / linked).symlink_to(disk)
    entering(ckpt=run / "checkpoints" / "last.ckpt")
    with pytest.raises(DirectoryError, match=r"holds checkpoints/last\.ckpt"):
        entering(ckpt=tmp_path / "other" / "checkpoints" / "last.ckpt")


def test_an_evaluation_may_be_repeated_and_is_not_trained_over(tmp_path, entering):
    result(tmp_path / "run", status="done", kind="evaluate", images_seen=64)
    entering("evaluate", ckpt="other.ckpt")
    with pytest.raises(DirectoryError, match="holds the result of an evaluation"):
        entering()


def file(path):
    path.write_text("")


def nowhere(path):
    path.symlink_to(path.parent / "nowhere")


@pytest.mark.parametrize("made", [file, nowhere])
@pytest.mark.parametrize("name", ["run", "run/checkpoints", "run/samples", "run/.hydra"])
def test_a_file_in_a_folders_place_is_named(tmp_path, entering, name, made):
    if name == "run":
        (tmp_path / "run").rmdir()
        made = file  # a link may lead to a folder that is yet to be made
    made(tmp_path / name)
    text = rf"{tmp_path}/{name} should be a folder .* move it away"
    with pytest.raises(DirectoryError, match=text):
        entering()


@pytest.mark.parametrize("text", ['{"accuracy": 0.9}', '{"status": "done', "[]", ""])
def test_a_result_of_something_else_is_not_written_over(tmp_path, entering, text):
    run = tmp_path / "run"
    (run / "result.json").write_text(text)
    for kind in ("train", "evaluate"):
        with pytest.raises(DirectoryError, match=r"result\.json is none that .* move it away"):
            entering(kind)
    with pytest.raises(DirectoryError, match=r"result\.json is none"):
        decide(run)
    assert (run / "result.json").read_text() == text
    checkpoint(run)
    entering(ckpt=run / "checkpoints" / "last.ckpt")  # a damaged record stops no run


def test_a_file_above_and_a_folder_in_a_files_place_are_named(tmp_path, entering):
    (tmp_path / "run" / "metrics.csv").mkdir()
    with pytest.raises(DirectoryError, match=r"run/metrics.csv should be a file"):
        entering()
    (tmp_path / "run" / "metrics.csv").rmdir()
    os.mkfifo(tmp_path / "run" / "metrics.csv")
    with pytest.raises(DirectoryError, match=r"run/metrics.csv should be a file .* pipe"):
        entering()
    (tmp_path / "above").write_text("")
    with pytest.raises(DirectoryError, match=re.escape(f"{tmp_path}/above should be a folder")):
        enter(tmp_path / "above" / "below", "train", None, "exact")


def test_leftovers_on_another_disk_are_cleared_away_but_not_another_runs(tmp_path):
    for name in ("disk", "other/checkpoints"):
        (tmp_path / name / "kept").mkdir(parents=True)
        (tmp_path / name / "kept" / "000000064.ckpt.partial").write_text("")
    run, other = tmp_path / "run", tmp_path / "other" / "checkpoints"
    run.mkdir()
    (run / "checkpoints").symlink_to(other)
    sweep(run)
    assert (other / "kept" / "000000064.ckpt.partial").exists()
    (run / "checkpoints").unlink()
    (run / "checkpoints").symlink_to(tmp_path / "disk")
    sweep(run)
    assert not list((tmp_path / "disk" / "kept").iterdir())


def test_what_killed_processes_were_writing_is_cleared_away_and_nothing_else(tmp_path):
    run = tmp_path / "run"
    archive = ImageZip(run / "images.zip", 1)
    left = [temporary(run / name) for name in ("metrics.csv", "samples/000064.png", ".holder")]
    left += [archive.partial, run / "samples" / ".000064.png.123.tmp"]
    left += [
        run / "checkpoints" / f"{name}.ckpt.partial" for name in ("last", "best", "kept/000500000")
    ]
    kept = [run / name for name in ("notes.tmp", ".mine.tmp", "rates.partial.safetensors")]
    kept += [temporary(run / ".hidden" / "x"), temporary(run / "scores" / "result.json")]
    kept += [run / "scores" / locks.LOCK]  # another process may be at work there
    for path in (*left, *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    sweep(run)
    assert not [path for path in left if path.exists()]
    assert not [path for path in kept if not path.exists()]


@pytest.mark.parametrize("name", ["checkpoints/last.ckpt", "checkpoints/best.ckpt", "parts.json"])
def test_a_folder_in_the_place_of_a_runs_own_file_is_named_at_the_start(tmp_path, entering, name):
    """Not where the file is to be written, after the training."""
    (tmp_path / "run" / name).mkdir(parents=True)
    text = rf"run/{name} should be a file of this run and is a folder: move it away"
    for begin in (entering, lambda: decide(tmp_path / "run")):
        with pytest.raises(DirectoryError, match=text):
            begin()


@pytest.mark.parametrize("name", ["checkpoints/last.ckpt", "metrics.csv"])
def test_a_link_to_a_disk_that_is_not_there_is_no_fresh_start(tmp_path, entering, name):
    """Neither a run nor `resume=auto` begins over it: what it leads to may come back."""
    path = tmp_path / "run" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(tmp_path / "unmounted" / "file")
    said = r"is a link to nothing, .*unmounted/file"
    for begin in (entering, lambda: decide(tmp_path / "run")):
        with pytest.raises(DirectoryError, match=said):
            begin()
    with pytest.raises(CheckpointError, match=said):
        require_file(path)
    assert path.is_symlink()
