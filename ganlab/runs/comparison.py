"""What a checkpoint's images are compared with outside of a run: its reals and its scores."""

from collections.abc import Sequence
from functools import partial

from hydra import compose, initialize_config_dir
from lightning import LightningDataModule
from omegaconf import open_dict

from ganlab.arguments import quote
from ganlab.cli import conf_dir, register_resolvers
from ganlab.config import Settings, build
from ganlab.hydra_versions import BASE
from ganlab.metrics import Suite
from ganlab.runs.checkpoint_sampler import CheckpointSampler
from ganlab.runs.recipes import check_config, with_saved_defaults, without_reals
from ganlab.systems.system import System


def build_data(settings: Settings) -> LightningDataModule:
    """The data module; one that takes a `painter` is told how to paint with a checkpoint."""
    node, extra = settings["data"], settings["allow_targets"]
    offered = {"painter": partial(CheckpointSampler, extra=extra)}
    data: LightningDataModule = build(node, "data", extra, offered)
    return data


def comparison(
    system: System,
    ckpt: str,
    words: Sequence[str] = (),  # data=, features= and metrics= of a command line
) -> tuple[Suite, LightningDataModule]:
    """What `evaluate.py ckpt=<ckpt> study=scores <words>` would score the system by.

    Raises:
        ConfigError: a key or value that cannot be, or no real images; says how to name some.
    """
    register_resolvers()
    with initialize_config_dir(str(conf_dir()), **BASE):
        config = compose("evaluate", [f"ckpt={quote(ckpt)}", "study=scores", *words])
    with open_dict(config):
        config.run_dir = "outputs"
    config = without_reals(with_saved_defaults(config, system.recipe), ckpt)
    settings = check_config(config, "evaluate")
    suite: Suite = build(settings["metrics"], "metrics", settings["allow_targets"])
    return suite, build_data(settings)
