"""Small generators with styles, and a run of a study on one."""

import torch
from study_toys import Data, System, trainer
from torch import nn

from ganlab.networks import stylegan, stylegan2
from ganlab.studies import Study


def small_stylegan2(num_labels=0, seed=0):
    """8 px; a mean style and noise that do something."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        options = {"latent_dim": 8, "style_dim": 6, "mapping_layers": 2, "num_labels": num_labels}
        generator = stylegan2.Generator(resolution=8, channels=1, width=4, max_width=8, **options)
        generator.mean_style.copy_(torch.randn(6))
        for name, parameter in generator.named_parameters():
            if name.endswith("strength"):
                nn.init.constant_(parameter, 0.3)
    return generator.eval()


def small_stylegan(resolution=64):
    """Coarse, middle and fine layers; images about in [-1, 1]."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        options = {"latent_dim": 8, "style_dim": 8, "mapping_layers": 2, "width": 4}
        generator = stylegan.Generator(resolution, 1, max_width=8, **options)
        for layer in generator.to_image:  # untrained images are 20 times too bright
            layer.weight.data.mul_(0.05)
        return generator.eval()


def run(question, generator, conditioner=None):
    system = System(generator)
    if conditioner is not None:
        system.conditioner = conditioner
    study = Study(question)
    trainer(study).test(system, datamodule=Data(), verbose=False)
    return study
