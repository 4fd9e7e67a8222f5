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


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_networks_pull_at_logits_in_opposite_ways(file):
    """Inside every margin D wants reals higher and fakes lower, G wants fakes higher."""
    pair = instantiate(OmegaConf.load(file))
    real, fake = torch.tensor([0.1, 0.3]), torch.tensor([0.2, 0.05])
    real.requires_grad_(), fake.requires_grad_()
    of_real, of_fake = torch.autograd.grad(pair.discriminator(real, fake), (real, fake))
    (of_generator,) = torch.autograd.grad(pair.generator(fake, real.detach()), fake)
    assert (of_real < 0).all()
    assert (of_fake > 0).all()
    assert (of_generator < 0).all()


class Bent(torch.nn.Module):
    """A discriminator with a second derivative."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.linspace(-1, 1, 48))

    def forward(self, images, condition=None):
        return (images.flatten(1) @ self.weight).tanh()


@pytest.mark.parametrize(
    "file", sorted((DIRECTORY.parent / "penalties").glob("*.yaml")), ids=lambda file: file.stem
)
def test_each_config_of_penalties_gives_finite_ones_that_train(file):
    node = OmegaConf.create({"data": {"resolution": 4, "batch_size": 5}, "all": {}})
    node.all = OmegaConf.load(file)
    images = torch.rand(2, 5, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for penalty in instantiate(node.all).values():
        discriminator, before = Bent(), torch.get_rng_state()
        value = penalty(discriminator, *images, None, lambda n: torch.linspace(0.1, 0.9, n))
        value.backward()
        assert value.ndim == 0
        assert value.isfinite()
        assert value > 0
        assert discriminator.weight.grad.any()
        assert torch.equal(torch.get_rng_state(), before), "draws come from `uniform` alone"
    assert file.read_text().startswith("# ")
