"""Study a trained model: `python evaluate.py ckpt=<run>/checkpoints/last.ckpt study=scores`."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until `run` answers it: no import's traceback

import hydra
from omegaconf import DictConfig

from ganlab.arguments import overlaid
from ganlab.cli import answered, conf_dir, importing, run
from ganlab.grid.process import run_cell, sweeping
from ganlab.grid.sweep import tabulated


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="evaluate")
def main(config: DictConfig) -> float | None:
    """Hydra composes `config` from conf/evaluate.yaml and the command line."""
    if sweeping():
        return run_cell(config)
    with importing():
        from ganlab.run import evaluate  # torch is imported here, so that --help answers at once

    with answered():
        evaluate(config)
    return None


if __name__ == "__main__":
    run(main, overlaid, tabulated)
