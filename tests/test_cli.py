"""The command line as a user meets it: quick help, and one line for every mistake."""

import errno
import json
import os
import pickle
import shlex
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from forked import Forked
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from PIL import Image

from ganlab.__main__ import COMMANDS, REARRANGED, main
from ganlab.cli import SharedError, conf_dir, fail, one_line
from ganlab.hydra_versions import SINCE_1_4
from ganlab.places import is_among, run_of, training_directory
from ganlab.runs import locks
from ganlab.systems.trainer import make_trainer

ROOT = Path(__file__).parent.parent
TINY = [
    "data=synthetic",
    "data.resolution=32",
    "data.batch_size=8",
    "model=dcgan",
    "model.generator.width=4",
    "model.discriminator.width=4",
    "kimg=0.016",
    "scores=null",
    "callbacks=none",
]


def command(script, *arguments):
    """Run a script's command line in a process of its own."""
    process = Forked(script, *arguments)
    out, err = process.communicate(300)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@pytest.fixture
def complaint(tmp_path, monkeypatch, capsys):
    """Run a command line in this process; give the error it prints before exit code 1."""
    from ganlab.cli import run

    def complain(script, *arguments, resumes=False):
        word = script.removesuffix(".py")
        arguments = (*arguments, f"hydra.run.dir={tmp_path}/run")
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        with pytest.raises(SystemExit) as stopped:
            run(COMMANDS[word], REARRANGED[word] if resumes else None)
        assert stopped.value.code == 1
        said = capsys.readouterr().err
        assert "Traceback" not in said
        assert said.count("error: ") == 1
        return said[said.index("error: ") :].strip()

    return complain


@pytest.mark.parametrize("word", [word for word in COMMANDS if word not in REARRANGED])
@pytest.mark.parametrize("rest", [["--help"], ["anything", "-h"]])
def test_every_command_explains_itself(monkeypatch, capsys, word, rest):
    monkeypatch.setattr(sys, "argv", ["ganlab", word, *rest])
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    main()
    usage, _, about = capsys.readouterr().out.partition("\n\n" + "  " + word)
    assert usage.startswith("usage: ")
    assert len(about.split("\n\n")) > 2, "more than its line of the usage"


@pytest.mark.parametrize("program", ["train", "evaluate"])
def test_help_explains_each_group_and_lists_its_options(program):
    own = yaml.safe_load((conf_dir() / "hydra" / "help" / f"{program}.yaml").read_text())
    told = {line.split("=")[0] for line in own["header"].splitlines() if "=  " in line}
    defaults = yaml.safe_load((conf_dir() / f"{program}.yaml").read_text())["defaults"]
    chosen = {key for each in defaults if isinstance(each, dict) for key in each}
    assert {key for key in chosen if not key.startswith("override ")} <= told


def test_words_are_completed_at_the_prompt():
    done = subprocess.run(
        [sys.executable, "train.py", "-sc", "install=bash"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "complete -o nospace" in done.stdout


def test_help_does_not_import_torch():
    for script in ("train.py", "evaluate.py"):
        code = f"import sys; sys.argv = ['{script}', '--help']; import runpy\n"
        code += f"try: runpy.run_path('{script}', run_name='__main__')\nexcept SystemExit: pass\n"
        code += "assert 'torch' not in sys.modules and 'lightning' not in sys.modules"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "model=  " in done.stdout or "study=  " in done.stdout
        assert "progan" in done.stdout


@pytest.mark.parametrize(
    ("argument", "wrong", "right"),
    [
        ("kimgs=3", "kimgs", "kimg"),
        ("model.generator.widht=8", "model.generator.widht", "model.generator.width"),
        ("data.batchsize=8", "data.batchsize", "data.batch_size"),
        ("+model.discriminator.widht=8", "model.discriminator.widht", "width"),
        ("+model.generator_optimizer.beta=1", "model.generator_optimizer.beta", "betas"),
        ("modle=dcgan", "modle", "model"),
        ("model=dcgn", "model=dcgn", "dcgan"),
        ("trainer.device=2", "trainer.device", "trainer.devices"),
        ("experiment=heika2020/dcgan32", "experiment=heika2020/dcgan32", "heikka2020/dcgan32"),
        ("experiment=dmo", "experiment=dmo", "demo"),
    ],
)
def test_mistyped_key(complaint, argument, wrong, right):
    line = complaint("train.py", *TINY, argument)
    assert wrong in line
    assert f"did you mean {right}?" in line


def test_a_key_of_a_grids_table_is_added(complaint):
    line = complaint("train.py", *TINY, "grid.table.rows=[seed]")
    assert line == "error: grid.table.rows is not there yet: +grid.table.rows=<value> puts it there"


def test_mistyped_key_in_a_global_experiment(complaint, tmp_path):
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "mine.yaml").write_text("# @package _global_\nkimgg: 3\n")
    line = complaint("train.py", *TINY, f"hydra.searchpath=[file://{tmp_path}]", "experiment=mine")
    assert "did you mean kimg?" in line


def test_a_full_disk_is_told_with_its_place_and_the_way_out():
    error = OSError(errno.ENOSPC, "No space left on device", "/runs/a/rates.safetensors")
    line = one_line(error)
    assert line.startswith("no space left on device: /runs/a/rates.safetensors was not written")
    assert "hydra.run.dir=" in line


@pytest.mark.parametrize("rank", [0, 1])
def test_what_all_ranks_meet_is_told_by_the_first(capfd, monkeypatch, rank):
    monkeypatch.setenv("LOCAL_RANK", str(rank))
    with pytest.raises(SystemExit) as end:
        fail(SharedError("no room"))
    assert end.value.code == 1
    assert capfd.readouterr().err == ("error: no room\n" if rank == 0 else "")


def test_a_run_whose_checkpoints_are_kept_elsewhere_under_another_name_is_its_own(tmp_path):
    """`checkpoints` may be a link to a large disk, or to another run's, whose run it then is."""
    run, other = tmp_path / "run", tmp_path / "other"
    for folder in (run, other / "checkpoints", tmp_path / "scratch"):
        folder.mkdir(parents=True)
    (run / "checkpoints").symlink_to(tmp_path / "scratch")
    assert training_directory(f"{run}/checkpoints/last.ckpt", "fresh") == str(run)
    assert training_directory(f"{tmp_path}/scratch/last.ckpt", "fresh") == "fresh"
    (run / "checkpoints").unlink()
    (run / "checkpoints").symlink_to(other / "checkpoints")
    assert training_directory(f"{run}/checkpoints/last.ckpt", "fresh") == str(other)


def test_a_checkpoint_lies_in_its_run_wherever_it_is_kept_there(tmp_path):
    run, link = tmp_path / "run", tmp_path / "link.ckpt"
    kept = run / "checkpoints" / "kept" / "000000064.ckpt"
    kept.parent.mkdir(parents=True)
    kept.touch()
    link.symlink_to(kept)
    for path in (kept, link, run / "checkpoints" / "best.ckpt"):
        assert run_of(path) == run
        assert training_directory(str(path), "fresh") == str(run)
        assert is_among(path, run / "checkpoints")
        assert not is_among(path, tmp_path / "other" / "checkpoints")
    for path in (tmp_path / "last.ckpt", run / "kept" / "a.ckpt", kept.parent / "more" / "a.ckpt"):
        assert run_of(path) is None
        assert not is_among(path, run / "checkpoints")


def test_a_loop_of_links_is_no_checkpoint_and_no_directory_of_ours(tmp_path):
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    last.parent.mkdir(parents=True)
    last.symlink_to(last)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert run_of(last) == tmp_path / "run"
    assert is_among(last, last.parent)
    assert not is_among(tmp_path / "loop", last.parent)
    assert not locks.is_ours(tmp_path / "loop")
    assert locks.holder(tmp_path / "loop") is None


@pytest.mark.usefixtures("hydra_is_clean")
def test_a_branch_keeps_its_config_and_a_resume_leaves_that_of_its_run(tmp_path):
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    for run, kept in (("run", None), ("branch", ".hydra")):
        words = [f"ckpt={last}", f"hydra.run.dir={tmp_path / run}"]
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            config = compose("train", words, return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        assert config.hydra.output_subdir == kept


def test_missing_value(complaint):
    assert "ckpt has no value; give one, as in ckpt=..." in complaint("evaluate.py")
    assert "data.path" in complaint("train.py", "data=folder", "features=classifier")


def test_missing_checkpoint(complaint, tmp_path):
    line = complaint("evaluate.py", f"ckpt={tmp_path}/nothing.ckpt")
    assert "nothing.ckpt: no such file" in line


def test_text_file_named_ckpt(complaint, tmp_path):
    (tmp_path / "fake.ckpt").write_text("not a checkpoint")
    assert "some other kind of file" in complaint("evaluate.py", f"ckpt={tmp_path}/fake.ckpt")


class Bomb:
    """Would run a command if anything unpickled it."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (os.system, (f"touch {self.mark}",))


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_checkpoint_with_a_pickled_object_is_not_run(complaint, tmp_path, writer):
    path, mark = tmp_path / "bomb.ckpt", tmp_path / "exploded"
    if writer == "torch":
        torch.save({"state_dict": {}, "recipe": Bomb(mark), "images_seen": 0}, path)
    else:
        path.write_bytes(pickle.dumps(Bomb(mark)))
    line = complaint("evaluate.py", f"ckpt={path}")
    assert "bomb.ckpt" in line
    assert not mark.exists()


def test_checkpoint_whose_recipe_names_a_forbidden_target(complaint, tmp_path):
    mark = tmp_path / "exploded"
    model = {"_target_": "os.system", "command": f"touch {mark}"}
    recipe = {"model": model, "data": {}, "features": None}
    torch.save({"state_dict": {}, "recipe": recipe, "images_seen": 0}, tmp_path / "bad.ckpt")
    line = complaint(
        "evaluate.py", f"ckpt={tmp_path}/bad.ckpt", "data=synthetic", "features=classifier"
    )
    assert "os.system is not allowed" in line
    assert not mark.exists()


def test_checkpoint_of_another_project(complaint, tmp_path):
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.ckpt")
    assert "was not written by ganlab" in complaint("evaluate.py", f"ckpt={tmp_path}/other.ckpt")


def pictures(folder, count=3, size=32):
    folder.mkdir()
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (size, size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def folder_of(path):
    return [*TINY, "data=folder", f"data.path={path}", "data.resolution=32", "features=classifier"]


def test_empty_folder(complaint, tmp_path):
    (tmp_path / "empty").mkdir()
    line = complaint("train.py", *folder_of(tmp_path / "empty"))
    assert "empty" in line


def test_truncated_image_among_good_ones(complaint, tmp_path):
    folder = pictures(tmp_path / "images")
    whole = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[: len(whole) // 2])
    (folder / "2.png").write_text("no image at all")
    line = complaint("train.py", *folder_of(folder))
    assert "1.png" in line
    assert "2.png" in line, "all broken files are named, not the first alone"
    assert "data.skip_broken=true" in line


def test_resolution_that_is_no_power_of_two(complaint):
    assert "data.resolution" in complaint("train.py", *TINY, "data.resolution=48")


def test_more_images_asked_than_exist(complaint, tmp_path):
    folder = pictures(tmp_path / "images")
    line = complaint(
        "train.py", *[a for a in folder_of(folder) if a != "scores=null"], "metrics=fid10k"
    )
    assert "10000" in line.replace(",", "")
    assert "3" in line


def test_hostile_overrides_of_a_checkpoint_are_not_replayed(tmp_path):
    """The words a checkpoint remembers may shape the model, not import packages or name places."""
    run, mark = tmp_path / "run", tmp_path / "stolen"
    assert command("train.py", *TINY, f"hydra.run.dir={run}").returncode == 0
    path = run / "checkpoints" / "last.ckpt"
    state = torch.load(path, weights_only=True)
    state["recipe"]["overrides"] += [
        "allow_targets=[shutil]",
        "+callbacks.x._target_=shutil.copyfile",
        f"+callbacks.x.src={path}",
        f"+callbacks.x.dst={mark}",
        "logger=../..",
        "trainer.devices=500",
        f"run_dir={mark}",
    ]
    torch.save(state, path)
    done = command("train.py", f"ckpt={path}", "kimg=0.032")
    assert done.returncode == 0, done.stderr
    assert not mark.exists()
    (line,) = [line for line in done.stderr.splitlines() if "may not choose" in line]
    assert shlex.split(line)[-7:] == state["recipe"]["overrides"][-7:]
    assert json.loads((run / "result.json").read_text())["images_seen"] == 32


def test_a_checkpoint_composes_no_file_from_beside_it(complaint, tmp_path):
    mark = tmp_path / "stolen"
    (tmp_path / "evil.yaml").write_text(
        "# @package _global_\nallow_targets: [shutil]\ncallbacks:\n  x:\n"
        f"    _target_: shutil.copyfile\n    src: {tmp_path}/evil.yaml\n    dst: {mark}\n"
    )
    way = os.path.relpath(tmp_path / "evil", ROOT / "conf" / "experiment")
    recipe = {"model": {}, "overrides": [*TINY, f"experiment={way}"]}
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": {}, "recipe": recipe, "images_seen": 0}, path)
    line = complaint("train.py", f"ckpt={path}", resumes=True)
    assert f"experiment={way}, which names no option" in line
    assert not mark.exists()
    line = complaint("train.py", f"experiment={way}", "kimg=0")
    told = "Parent traversal" if SINCE_1_4 else "kimg"
    assert told in line, "on a command line, which is the user's, Hydra 1.3 would compose it"


@pytest.mark.slow
def test_resume_and_evaluation_need_no_other_word_and_leave_the_record_true(tmp_path):
    run = tmp_path / "it's a=b, größe" / "run"
    assert command("train.py", *TINY, f"hydra.run.dir={run}").returncode == 0
    words = (run / ".hydra" / "overrides.yaml").read_text()
    ckpt = f"ckpt={run}/checkpoints/last.ckpt"
    done = command("train.py", ckpt, "kimg=0.032", "data.seed=0")
    assert done.returncode == 0, done.stderr
    assert f"report: {run}/report.html" in done.stderr
    result = json.loads((run / "result.json").read_text())
    assert (result["data"], result["model"], result["images_seen"]) == ("synthetic", "dcgan", 32)
    assert (run / ".hydra" / "overrides.yaml").read_text() == words
    smaller = ["data.num=150", "metrics.num_real=120", "metrics.num_fake=120"]
    done = command("evaluate.py", ckpt, *smaller, f"hydra.run.dir={tmp_path}/scores")
    assert done.returncode == 0, done.stderr
    assert "fid120_classifier" in done.stderr
    scored = json.loads((tmp_path / "scores" / "result.json").read_text())
    assert scored["data"] == "synthetic"
    assert scored["config"]["data"]["num"] == 150
    done = command("evaluate.py", ckpt, "data=fashion_mnist", f"hydra.run.dir={tmp_path}/other")
    assert "data.channels=1, but the checkpoint's generator was trained at 3" in done.stderr


@pytest.mark.slow
def test_a_checkpoint_paints_where_its_training_images_are_not(complaint, tmp_path):
    images = pictures(tmp_path / "images", 8)
    run = tmp_path / "trained"
    words = [word for word in TINY if not word.startswith("data")]
    words += [*folder_of(images), "data.batch_size=8", "logger=csv", f"hydra.run.dir={run}"]
    done = command("train.py", *words)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(images)
    ckpt = f"ckpt={run}/checkpoints/last.ckpt"
    for study in ("study=samples", "study=activation_rates study.num_latents=4"):
        done = command("evaluate.py", ckpt, *study.split(), f"hydra.run.dir={tmp_path}/painted")
        assert done.returncode == 0, done.stderr
    told = complaint("evaluate.py", ckpt, "study=scores", "features=classifier")
    assert f"data.path={images} does not exist" in told


def test_unknown_command_names_the_nearest():
    done = subprocess.run(
        [sys.executable, "-m", "ganlab", "layer"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "did you mean layers?" in done.stderr


@pytest.mark.slow
def test_two_ranks_of_the_module_train_together(tmp_path):
    ranks = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu"]
    words = ["train", *TINY, *ranks, f"hydra.run.dir={tmp_path}/run"]
    done = subprocess.run(
        [sys.executable, "-m", "ganlab", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["status"], result["images_seen"]) == ("done", 16)
    assert "MEMBER: 2/2" in done.stdout + done.stderr
    (part,) = result["parts"]
    assert (part["images_to"], part["status"]) == (16, "done")
    assert (part["machine"]["processes"], part["machine"]["devices"]) == (2, {"cpu": 2})
    assert (part["machine"]["hosts"], part["seconds"]) == ([os.uname().nodename], result["seconds"])


@pytest.mark.slow
def test_sigterm_stops_a_study_which_goes_on_from_what_it_kept(tmp_path):
    run = tmp_path / "run"
    assert command("train.py", *TINY, f"hydra.run.dir={run}").returncode == 0
    counting = ["study=activation_rates", "study.num_latents=400000", "study.save_every=500"]
    words = [f"ckpt={run}/checkpoints/last.ckpt", *counting, f"hydra.run.dir={tmp_path}/rates"]
    started = subprocess.Popen([sys.executable, str(ROOT / "evaluate.py"), *words], cwd=ROOT)
    partial = tmp_path / "rates" / "rates.partial.safetensors"
    for _ in range(600):
        if partial.exists():
            break
        time.sleep(0.1)
    started.terminate()
    assert started.wait(60) == 143
    result = json.loads((tmp_path / "rates" / "result.json").read_text())
    assert (result["status"], result["exit_code"]) == ("interrupted", 143)
    assert partial.exists()


INTERRUPT = "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(60)"


def interrupted(*words, path=ROOT):
    """How a command ended that gets SIGINT as a foreground one does, and all that it said."""
    source = "import signal, sys; signal.signal(2, signal.SIG_DFL); import os; "
    source += "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    done = subprocess.run(
        [sys.executable, "-c", source, *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("program", ["train.py", "evaluate.py"])
def test_ctrl_c_while_the_first_library_is_imported_says_nothing(tmp_path, program):
    (tmp_path / "hydra.py").write_text(INTERRUPT)
    assert interrupted(program, path=tmp_path) == (-signal.SIGINT, "")


def test_ctrl_c_in_a_later_import_ends_it_whatever_the_library_would_answer():
    source = f"from ganlab.cli import importing\nwith importing():\n try:\n  {INTERRUPT}\n"
    source += " except KeyboardInterrupt: print('swallowed')"
    assert interrupted("-c", source) == (130, "stopped before anything was trained\n")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("hydra/launcher=slurm", "submitit is not installed: pip install 'ganlab[slurm]'"),
        ("hydra/launcher=ray_tasks", "ray is not installed: pip install 'ganlab[ray]'"),
        ("hydra/sweeper=optuna", "optuna is not installed: pip install 'ganlab[optuna]'"),
    ],
)
def test_a_plugin_that_is_not_there_names_its_extra(option, message):
    package = {"slurm": "hydra_submitit_launcher", "ray_tasks": "hydra_ray_launcher"}
    if find_spec(f"hydra_plugins.{package.get(option.split('=')[1], 'hydra_optuna_sweeper')}"):
        pytest.skip("the plugin is there")
    command = [sys.executable, "train.py", "-m", option, "seed=0,1"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert said.returncode == 1
    assert said.stderr.startswith("error: ")
    assert message in said.stderr
    assert said.stderr.count("\n") == 1


def test_without_slurm_its_launcher_is_one_line_with_the_way_out(monkeypatch, capsys):
    from ganlab.cli import run

    def main():  # the launcher's words
        raise RuntimeError('Could not detect "srun", are you indeed on a slurm cluster?')

    monkeypatch.setattr(sys, "argv", ["train.py"])
    with pytest.raises(SystemExit):
        run(main)
    said = capsys.readouterr().err
    assert said.startswith("error: hydra/launcher=slurm")
    assert said.endswith("on a machine of the cluster, or leave the launcher out\n")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line_with_the_way_out():
    with pytest.raises(ValueError, match=r"trainer\.accelerator=gpu .* GPU here: trainer=cpu"):
        make_trainer("gpu")


def test_a_value_that_points_nowhere_is_named_with_what_it_points_at():
    config = OmegaConf.create({"discriminator": {"widths": "${generator.widths}"}})
    with pytest.raises(OmegaConfBaseException) as error:
        OmegaConf.to_container(config, resolve=True)
    said = one_line(error.value)
    assert said.startswith("discriminator.widths is ${generator.widths}, and there is no generator")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("data/foldr", "there is no data=foldr; there are arrays, "),
        ("data", "there is no data=; there are arrays, "),
        ("data/../data/folder", "there is no data=../data/folder; there are arrays, "),
        ("model/norm/pni", "there is no model/norm=pni; there are in, "),
        ("model/loss", "there is no model=loss; there are dcgan, lapgan, msg_gan, progan, r3gan, "),
        ("experiment/karras2018", "there is no experiment=karras2018; there are demo, denton2015/"),
        ("/etc/x", "there is no =etc/x; there are callbacks/default, "),
        ("../..", "there is no =../..; there are callbacks/default, "),
        ("hydra/sweeper/../x", "there is no hydra=sweeper/../x; there are help/evaluate, "),
    ],
)
def test_an_option_that_is_not_there_is_named_with_those_that_are(path, said):
    assert one_line(ValueError(f"Could not find '{path}'")).startswith(said)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("~run_dir", "error: run_dir cannot be told before the run has a folder"),
        ("~hydra.job", "error: hydra.job cannot be taken out (~hydra.job)"),
    ],
)
def test_what_hydra_needs_cannot_be_taken_out(complaint, word, said):
    assert complaint("train.py", *TINY, word).startswith(said)


def test_a_disk_that_is_full_before_a_run_began_is_told_with_the_way_out():
    line = one_line(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert line.startswith("no space left on device: a file of this run was not written; free some")
    assert "hydra.run.dir=" in line
