"""Train a model: `python train.py model=dcgan data=fashion_mnist kimg=500` (--help lists more)."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until `run` answers it: no import's traceback

import hydra
from omegaconf import DictConfig

from ganlab.cli import answered, conf_dir, importing, run, stopped_by
from ganlab.grid.process import run_cell, sweeping
from ganlab.grid.sweep import tabulated


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")
def main(config: DictConfig) -> float | None:
    """Hydra composes `config` from conf/train.yaml and the command line."""
    if sweeping():
        return run_cell(config)
    with importing():
        from ganlab.run import train  # torch is imported here, so that --help answers at once

    with answered():
        stopped_by(train(config))
    return None


def resumed(words: list[str]) -> list[str]:
    """The command line of a resume, with what its run was started with."""
    with importing():
        from ganlab.run import resumed

    return resumed(words)


if __name__ == "__main__":
    run(main, resumed, tabulated)
