"""Study a trained model: `python evaluate.py ckpt=<run>/checkpoints/last.ckpt study=scores`."""

import hydra
from omegaconf import DictConfig

from ganlab.arguments import overlaid
from ganlab.cli import answered, conf_dir, run


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="evaluate")
def main(config: DictConfig) -> None:
    """Hydra composes `config` from conf/evaluate.yaml and the command line."""
    from ganlab.run import evaluate  # torch is imported here, so that --help answers at once

    with answered():
        evaluate(config)


if __name__ == "__main__":
    run(main, overlaid)
