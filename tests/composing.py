"""A config as the command line makes it, outside of Hydra's own run."""

from hydra import compose, initialize_config_dir
from omegaconf import open_dict

from ganlab.cli import conf_dir
from ganlab.hydra_versions import BASE


def composed(name, words, directory):
    """`conf/<name>.yaml` under these words, for a run in a directory."""
    with initialize_config_dir(str(conf_dir()), **BASE):
        config = compose(name, list(words))
    with open_dict(config):
        config.run_dir = str(directory)
    return config
