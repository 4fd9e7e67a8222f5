"""Train a model: `python train.py model=dcgan data=fashion_mnist kimg=500` (--help lists more)."""

import hydra
from omegaconf import DictConfig

from ganlab.cli import answered, conf_dir, run, stopped_by


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")
def main(config: DictConfig) -> None:
    """Hydra composes `config` from conf/train.yaml and the command line."""
    from ganlab.run import train  # torch is imported here, so that --help answers at once

    with answered():
        stopped_by(train(config))


def resumed(words: list[str]) -> list[str]:
    """The command line of a resume, with what its run was started with."""
    from ganlab.run import resumed

    return resumed(words)


if __name__ == "__main__":
    run(main, resumed)
