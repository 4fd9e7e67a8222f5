"""`python -m ganlab <command>`: train, evaluate, and what is asked of files and of the machine."""

import argparse
import inspect
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from ganlab.arguments import (
    checkpoint_of,
    key_of,
    overlaid,
    split_flags,
    value_of,
    without_packages,
)
from ganlab.checks.places import free_place
from ganlab.cli import conf_dir, importing, nearest, one_line_errors, run, stopped_by, visible
from ganlab.grid.process import run_cell, sweeping
from ganlab.grid.sweep import table_at_end
from ganlab.hydra_versions import BASE

USAGE = """usage: python -m ganlab <command> ...

  train ...               as python train.py ...
  evaluate ...            as python evaluate.py ...
  table <grid> [<grid>]   (re)build table and index.html of grids: rows= columns= metrics= into=
  table <file.json> ...   what people found on real_or_fake.html: rows=person into=
  layers ckpt=<file>      index, name, shape and number of neurons of every layer
  info ckpt=<file>        format, networks, labels and state of any checkpoint, and its layers
  convert in=<file> out=<file> [layout=<project>]
                          a generator into a .safetensors, or a StyleGAN2 into a project's names
  push ckpt=<run>/checkpoints/best.ckpt repo=<owner>/<name>
                          a run's networks, recipe, samples and scores to Hugging Face; dry=true
  export ckpt=<file> out=<file>
                          a generator as a graph that needs no ganlab: out=x.onnx or x.pt2
  explore ckpt=<file>     a page on this machine, to look into a generator by hand: --port=
  data check <path> [res] list every image that training would stumble over; count other files
  data stats ...          keep statistics of the reals; data= metrics= features= as in train
  report <dir> [<dir>]    (re)build report.html of a run, with the studies named after it
  doctor                  versions, devices, optional parts, kept files: for a problem's report"""


# What `data check` takes.
CHECKED = re.compile(r"\d+|data\.(resolution|channels|range|images|labels)=.+")


@hydra.main(**BASE, config_path=str(conf_dir()), config_name="train")
def train(config: DictConfig) -> float | None:
    """Train what the config describes."""
    if sweeping():
        return run_cell(config)
    with importing():
        from ganlab.run import train  # torch is imported here, so that --help answers at once

    with one_line_errors():
        stopped_by(train(config))
    return None


@hydra.main(**BASE, config_path=str(conf_dir()), config_name="evaluate")
def evaluate(config: DictConfig) -> float | None:
    """Run a study on a checkpoint."""
    if sweeping():
        return run_cell(config)
    with importing():
        from ganlab.run import evaluate

    with one_line_errors():
        evaluate(config)
    return None


def layers() -> None:
    """Print the layers of a checkpoint's generator, as studies name them.

    `ckpt=` is a file, or the name of a checkpoint that is known, such as `faces`. What the file
    does not say of its network, such as `model.nonlinearity=tanh`, may follow.
    """
    from ganlab.runs.recipes import open_checkpoint, rebuild_system
    from ganlab.sampling import Sampler
    from ganlab.studies.neurons.layers import describe

    ckpt, allowed, given = named_checkpoint(sys.argv[1:], "layers")
    print(visible(describe(Sampler.of(rebuild_system(open_checkpoint(ckpt), allowed, given)))))


def named_checkpoint(
    words: list[str],
    command: str,
    others: Sequence[str] = (),  # what else the command takes: keys, or sections of a config
) -> tuple[str, list[str], dict[str, Any] | None]:
    """The checkpoint that words name, packages it may build from, and what they say of its model.

    Raises:
        ValueError: they name none, or a key that the command does not take.
    """
    from ganlab.runs.saved_options import additions

    ckpt = checkpoint_of(words)
    if ckpt is None:
        raise ValueError(f"say which checkpoint: python -m ganlab {command} ckpt=<file>")
    _, overrides = split_flags(words)
    said = {key_of(each): value_of([each], key_of(each)) for each in overrides}
    known = ("ckpt", "allow_targets", "hydra", "model", *others)  # Hydra's: words are shared
    for key in said:
        if (section := re.split(r"[./]", key)[0]) not in known:
            raise ValueError(f"{command} takes no {key}={nearest(section, known)}")
    given = OmegaConf.create({"model": {}})
    for key in (key for key in said if key.startswith("model.")):
        OmegaConf.update(given, key, said[key], force_add=True)
    return ckpt, said.get("allow_targets", []), additions(given.model)


def info() -> None:
    """Print what a checkpoint of any format is, and the layers of its generator.

    `ckpt=` and what may follow it are as in `layers`.
    """
    from ganlab.runs.description import describe_checkpoint

    print(visible(describe_checkpoint(*named_checkpoint(sys.argv[1:], "info"))))


def convert() -> None:
    """Write the generator of a checkpoint of any format, and its discriminator, into a new file.

    `in=` is a checkpoint, `out=` a `.safetensors` of ours, or with `layout=nvidia`, `rosinality`,
    `genforce` or `hammer` the plain state dicts of a StyleGAN2 by that project's names.
    """
    from ganlab.runs.conversion import convert

    given = {key_of(word): value_of([word], key_of(word)) for word in sys.argv[1:]}
    if "in" not in given or "out" not in given or given.keys() - {"in", "out", "layout"}:
        raise ValueError("usage: python -m ganlab convert in=<file> out=<file> [layout=<project>]")
    layout = None if given.get("layout") is None else str(given["layout"])
    print(convert(str(given["in"]), Path(str(given["out"])).expanduser(), layout))


PUSHED = ("ckpt", "repo", "licence", "dry", "out", "private", "allow_targets")


def push() -> None:
    """Publish a run of ours in a model repository on Hugging Face (pip install 'ganlab[hub]').

    Networks as .safetensors, the recipe, a picture of samples, a card with the scores and how they
    were measured; `licence=mit` goes into the card. `dry=true` writes the files into
    outputs/hub/<owner>/<name>, or `out=<folder>` there, for a look, and uploads nothing.
    `private=true` lets only you see a new repository. Nothing that names a place on this machine is
    in it; what was left out is listed.
    """
    from ganlab.runs.publishing import push

    said = {key_of(word): value_of([word], key_of(word)) for word in sys.argv[1:]}
    if not {"ckpt", "repo"} <= said.keys() <= {*PUSHED}:
        wrong = [key for key in said if key not in PUSHED]
        raise ValueError(
            "usage: python -m ganlab push ckpt=<run>/checkpoints/best.ckpt repo=<owner>/<name> "
            "[licence=<id>] [dry=true] [out=<folder>] [private=true]"
            + (f"; there is no {wrong[0]}{nearest(wrong[0], PUSHED)}" if wrong else "")
        )
    for key in ("dry", "private"):
        if not isinstance(said.get(key, False), bool):
            raise ValueError(f"{key}={said[key]} should be true or false")
    repo, out = str(said["repo"]), said.get("out")
    out = f"outputs/hub/{repo}" if out is None and said.get("dry") else out
    folder = None if out is None else Path(str(out)).expanduser()
    licence, private = said.get("licence"), said.get("private", False)
    extra = said.get("allow_targets") or []
    print(push(str(said["ckpt"]), repo, licence, folder, private, extra))


def export() -> None:
    """Write the generator of a checkpoint of any format as a graph that needs no ganlab.

    `ckpt=` and what may follow it are as in `layers`; `out=x.onnx` is a graph of ONNX (pip install
    'ganlab[onnx]'), `out=x.pt2` one of torch.export. Inputs are latents (N, Z) of any N, labels
    (N,) where there are classes, truncation, a number, where there are styles; noise is fixed. What
    was written is opened again, and its images are compared with ganlab's.
    """
    from ganlab.runs.export import export

    ckpt, allowed, given = named_checkpoint(sys.argv[1:], "export", ["out"])
    out = value_of(sys.argv[1:], "out")
    if out is None:
        raise ValueError("say where to: python -m ganlab export ckpt=<file> out=<file.onnx>")
    print(export(ckpt, Path(str(out)).expanduser(), allowed, given))


def explore() -> None:
    """Open a page of a checkpoint of any format, to look into it by hand.

    It needs `pip install 'ganlab[app]'`. Samples, neurons, units under a brush, latents; each view
    says the line of evaluate.py that makes it. `ckpt=` and what may follow it are as in `layers`;
    `data=` and `features=` are as in `evaluate`, and what realism is measured by. The page is at
    127.0.0.1, at `--port 7860` or another, asks for nothing elsewhere, and is opened unless
    `--no-browser` is said. Ctrl-C or SIGTERM ends it.
    """
    parser = argparse.ArgumentParser(prog="python -m ganlab explore", add_help=False)
    parser.add_argument("--port", type=int)
    parser.add_argument("--no-browser", action="store_true")
    said, words = parser.parse_known_args(sys.argv[1:])
    parts = ("data", "features", "metrics", "allow_targets")  # of what images are compared with
    ckpt, allowed, given = named_checkpoint(words, "explore", parts)
    compared = [word for word in words if key_of(word).lstrip("~").split(".")[0] in parts]
    try:
        from ganlab.app.page import serve
    except ImportError as error:
        raise ValueError(f"explore needs Gradio ({error}): pip install 'ganlab[app]'") from error
    from ganlab.app.session import Session
    from ganlab.runs.outcome import interruptible

    with interruptible():  # else a signal would leave the page's files behind
        opened = Session.open(ckpt, allowed, given, compared)
        serve(opened, said.port, not said.no_browser)


@hydra.main(**BASE, config_path=str(conf_dir()), config_name="train")
def stats(config: DictConfig) -> None:
    """Print where the statistics of the reals are, computed unless they are there."""
    from ganlab.run import statistics

    with one_line_errors():
        path, found = statistics(config)
        print(f"{path}{' (it was there already)' if found else ''}")


def data() -> None:
    """Check a folder, zip or array file, or keep the statistics of its images; no training.

    `check` reads every image, at the side in pixels that training would use if it is named, and
    with its `data.resolution`, `data.channels`, `data.range`, `data.images` or `data.labels`; it
    says which values there are, and ends with 1 where an image cannot be read. `stats` takes the
    words of a training, and computes what the scores of such runs will look up in the user's cache.
    """
    from ganlab.data import check

    match sys.argv[1:]:
        case words if "stats" in words:  # flags may stand before it
            words.remove("stats")
            # Hydra's own folder is not wanted: the result lies in the user's cache.
            nowhere = ["hydra.run.dir=.", "hydra.output_subdir=null", "~hydra.callbacks.directory"]
            sys.argv[1:] = [*nowhere, *words]
            stats()
        case ["check", path, *rest] if all(CHECKED.fullmatch(word) for word in rest):
            words = [f"data.resolution={word}" if word.isdecimal() else word for word in rest]
            asked = {key_of(word): value_of(words, key_of(word)) for word in words}
            options = {key.removeprefix("data."): value for key, value in asked.items()}
            found = check.survey(Path(path), **options)
            told = (found.problems, found.passed_over, found.labelled, found.values)
            print(visible(check.report(*told)))
            sys.exit(1 if found.problems else 0)
        case _:
            raise ValueError(
                "usage: python -m ganlab data check <path> [resolution] [data.channels=4] "
                "[data.range=auto] [data.images=x] [data.labels=y], "
                "or python -m ganlab data stats data=... metrics=... features=..."
            )


def table() -> None:
    """Write and print the table of grids, or of what people found, from their files.

    Into the first grid's directory, or `into=<dir>`, go table.csv, table.md, table.tex and
    index.html. `rows=a,b` and `columns=c` name swept keys, as `model/norm` or `norm`;
    `metrics=fid,is` the scores by their names' beginnings. What is not said is chosen from the
    keys that were swept. Of judgements, `rows=person` or another of their columns.
    """
    from ganlab.grid.human_eval import are_judgements, publish_judgements
    from ganlab.grid.page import publish
    from ganlab.grid.table import Choice

    words = [argument.partition("=") for argument in without_packages(sys.argv[1:])]
    directories = [Path(word).expanduser() for word, sign, _ in words if not sign]
    said = {key: value for key, sign, value in words if sign}
    into = free_place(said.pop("into"), "into", folder=True) if "into" in said else None
    if are_judgements(directories):
        print(visible(publish_judgements(directories, said, into)))
        return
    print(visible(publish(directories, Choice.from_words(said), into)))


def report() -> None:
    """Write the static report of a run directory and of studies beside it.

    The first directory gets report.html, which holds its pictures and needs no other file.
    """
    from ganlab.report.html import write_report

    directories = [Path(argument) for argument in without_packages(sys.argv[1:])]
    missing = [str(directory) for directory in directories if not directory.is_dir()]
    if missing or not directories:
        raise ValueError(f"no such run directory: {', '.join(missing) or 'none given'}")
    print(write_report(directories[0], include=directories[1:]).resolve())


def doctor() -> None:
    """Print what a report of a problem should say of the machine.

    Versions of ganlab, of Python and of every package that is required or optional, processors and
    devices with their memory, and the sizes of files kept for all runs. No user, no host and no
    folder of anybody's is named, so that the text can be shown as it is.
    """
    from ganlab.runs.doctor import report

    if sys.argv[1:]:
        raise ValueError("usage: python -m ganlab doctor")
    print(report())


def resume_words(words: list[str]) -> list[str]:
    """The command line of a resume, with what its run was started with, or of a run from a file."""
    with importing():
        from ganlab.run import resume_words

    return resume_words(words)


COMMAND = "GANLAB_COMMAND"  # the first word, for the ranks that Lightning starts
REARRANGED = {"train": resume_words, "evaluate": overlaid}  # where a checkpoint is given
COMMANDS: dict[str, Callable[[], Any]] = {
    "train": train,
    "evaluate": evaluate,
    "layers": layers,
    "info": info,
    "convert": convert,
    "push": push,
    "export": export,
    "explore": explore,
    "data": data,
    "table": table,
    "report": report,
    "doctor": doctor,
}


def help_of(word: str) -> str:
    """A command's lines of the usage, and what its function says of itself."""
    lines = re.findall(rf"^  {word}\b.*(?:\n {{3,}}.*)*", USAGE, re.MULTILINE)
    about = inspect.cleandoc(COMMANDS[word].__doc__ or "")
    return "\n".join(["usage: python -m ganlab <command> ...", "", *lines, "", about])


def begin(word: str) -> None:
    """Run a command on the words behind it."""
    run(COMMANDS[word], REARRANGED.get(word), table_at_end)


def main() -> None:
    """Dispatch on the first word; the rest is the command's."""
    if "LOCAL_RANK" in os.environ and COMMAND in os.environ:  # a rank is started without its word
        sys.argv.insert(1, os.environ[COMMAND])
    word = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if word in ("-h", "--help", "help"):
        print(USAGE)
        return
    if word not in COMMANDS:
        sys.exit(f"error: there is no command {word}{nearest(word, COMMANDS)}\n\n{USAGE}")
    del sys.argv[1]
    hydras = word in REARRANGED or sys.argv[1:2] == ["stats"]  # whose help lists every key
    if not hydras and {"-h", "--help"} & {*sys.argv[1:]}:
        print(help_of(word))
        return
    os.environ[COMMAND] = word
    begin(word)


if __name__ == "__main__":
    main()
