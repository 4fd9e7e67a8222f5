"""Smooth images of four random numbers each, and generators that draw anew or copy."""

import torch
from study_toys import Data
from torch import nn

from ganlab.data.batch import Batch
from ganlab.data.decode import Fitting
from ganlab.networks import base


def smooth(numbers):
    """(N, 4) in [0, 1] -> (N, 1, 8, 8) in [-1, 1], by the toy data's own rule."""
    small = numbers.view(-1, 1, 2, 2)
    return nn.functional.interpolate(small, size=(8, 8), mode="bilinear") * 2 - 1


class Stored(Data):
    """The toy data with access by position."""

    flip = False

    def __init__(self, num=500):
        super().__init__(num)
        self.fitting = Fitting(8, 1)

    def batch(self, indices):
        return Batch(self.dataset[indices], None, indices)


class Honest(base.Generator):
    """Draws from the very distribution of the data; `spread` below 1 keeps to its middle."""

    latent_dim, resolution, channels, prior = 6, 8, 1, "uniform"

    def __init__(self, spread=1.0):
        super().__init__()
        self.spread = spread

    @property
    def layers(self):
        return {}

    def forward(self, latents, condition=None):
        return smooth(0.5 + self.spread * latents[:, :4] / 2)


class Copying(Honest):
    """A share of its images are training images, slightly changed; the others are honest."""

    def __init__(self, data, share=1.0, noise=0.0):
        super().__init__()
        self.images, self.share, self.noise = data.dataset.float() / 127.5 - 1, share, noise

    def forward(self, latents, condition=None):
        position = ((latents[:, 4] + 1) / 2 * len(self.images)).long()
        shift = self.noise * latents[:, :4].mean(1)[:, None, None, None]
        copied = (latents[:, 5] + 1) / 2 < self.share
        copies = self.images[position] + shift
        return torch.where(copied[:, None, None, None], copies, super().forward(latents))
