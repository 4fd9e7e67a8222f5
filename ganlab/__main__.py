"""`python -m ganlab <command>`: train, evaluate, layers, data, report."""

import sys
from collections.abc import Callable
from pathlib import Path

import hydra
from omegaconf import DictConfig

from ganlab.cli import answered, conf_dir, nearest, run

USAGE = """usage: python -m ganlab <command> ...

  train ...               as python train.py ...
  evaluate ...            as python evaluate.py ...
  layers ckpt=<file>      index, name, shape and number of neurons of every layer
  data check <path>       list every image that training would stumble over
  report <dir> [<dir>]    (re)build report.html of a run, with the studies named after it"""


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")
def train(config: DictConfig) -> None:
    """Train what the config describes."""
    from ganlab.run import train

    with answered():
        if code := train(config)["exit_code"]:  # exit 0 would end a sweep after its first job
            sys.exit(code)


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="evaluate")
def evaluate(config: DictConfig) -> None:
    """Run a study on a checkpoint."""
    from ganlab.run import evaluate

    with answered():
        evaluate(config)


def layers() -> None:
    """Print the layers of a checkpoint's generator."""
    from ganlab.run import rebuilt
    from ganlab.studies.layers import describe
    from ganlab.systems.checkpoint import load_checkpoint

    argument = next((each for each in sys.argv[1:] if each.startswith("ckpt=")), None)
    if argument is None:
        raise ValueError("say which checkpoint: python -m ganlab layers ckpt=<file>")
    print(describe(rebuilt(load_checkpoint(argument.removeprefix("ckpt=")), []).generator_ema))


def data() -> None:
    """Check a folder, zip or array file, without training."""
    from ganlab.data import check

    match sys.argv[1:]:
        case ["check", path]:
            problems = check.check(Path(path).expanduser())
            print(check.report(problems))
            sys.exit(1 if problems else 0)
        case _:
            raise ValueError("usage: python -m ganlab data check <path>")


def report() -> None:
    """Write the static report of a run directory and of studies beside it."""
    from ganlab.report.html import write_report

    directories = [Path(argument) for argument in sys.argv[1:]]
    missing = [str(directory) for directory in directories if not directory.is_dir()]
    if missing or not directories:
        raise ValueError(f"no such run directory: {', '.join(missing) or 'none given'}")
    print(write_report(directories[0], include=directories[1:]).resolve())


COMMANDS: dict[str, Callable[[], None]] = {
    "train": train,
    "evaluate": evaluate,
    "layers": layers,
    "data": data,
    "report": report,
}


def main() -> None:
    """Dispatch on the first word; the rest is the command's."""
    word = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if word in ("-h", "--help", "help"):
        print(USAGE)
        return
    if word not in COMMANDS:
        sys.exit(f"error: there is no command {word}{nearest(word, COMMANDS)}\n\n{USAGE}")
    del sys.argv[1]
    run(COMMANDS[word])


if __name__ == "__main__":
    main()
