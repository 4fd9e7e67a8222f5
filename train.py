"""Train a model: `python train.py model=dcgan data=fashion_mnist kimg=500` (--help lists more)."""

import sys

import hydra
from omegaconf import DictConfig

from ganlab.cli import answered, conf_dir, run


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")
def main(config: DictConfig) -> None:
    """Hydra composes `config` from conf/train.yaml and the command line."""
    from ganlab.run import train  # torch is imported here, so that --help answers at once

    with answered():
        if code := train(config)["exit_code"]:  # exit 0 would end a sweep after its first job
            sys.exit(code)


if __name__ == "__main__":
    run(main)
