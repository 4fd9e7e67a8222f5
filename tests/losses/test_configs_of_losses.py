"""Every loss of the package has a config, and every config a loss."""

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from ganlab import losses

DIRECTORY = Path(__file__).parents[2] / "conf" / "model" / "loss"
FILES = sorted(DIRECTORY.glob("*.yaml"))


def test_configs_and_classes_are_the_same_set():
    pairs = {name for name in losses.__all__ if hasattr(getattr(losses, name), "generator")}
    assert {OmegaConf.load(file)["_target_"] for file in FILES} == {
        f"ganlab.losses.{name}" for name in pairs
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_config_gives_a_pair_of_losses(file):
    pair = instantiate(OmegaConf.load(file))
    assert type(pair).__name__.lower() == file.stem.replace("_", "")
    real, fake = torch.tensor([0.5, 1.5]), torch.tensor([-0.5, 0.25])
    assert pair.discriminator(real, fake).isfinite()
    assert pair.generator(fake, real).isfinite()
    assert file.read_text().startswith("# ")
