"""`model=radial`: a generator that knows that its images are round."""

import torch
from torch import Tensor, nn

from ganlab.networks import base
from ganlab_rings.radial import hats


class Generator(base.Generator):
    """Latents to a profile over the distance from the centre, which is turned into an image."""

    def __init__(
        self,
        resolution: int = 32,  # side of an image in pixels
        channels: int = 1,  # of an image
        latent_dim: int = 16,  # Z
        width: int = 64,  # of the two hidden layers
        num_knots: int = 24,  # of the profile, K
    ) -> None:
        super().__init__()
        self.resolution, self.channels, self.latent_dim = resolution, channels, latent_dim
        self.hidden = nn.Sequential(
            *(nn.Linear(latent_dim, width), nn.LeakyReLU(0.2)),
            *(nn.Linear(width, width), nn.LeakyReLU(0.2)),
        )
        self.profile = nn.Linear(width, channels * num_knots)
        self.register_buffer("hats", hats(resolution, num_knots), persistent=False)

    @property
    def layers(self) -> dict[str, nn.Module]:
        """The two hidden layers."""
        return {"fc/0": self.hidden[1], "fc/1": self.hidden[3]}

    def forward(self, latents: Tensor, condition: base.Condition | None = None) -> Tensor:
        """(N, Z) -> (N, C, H, W)."""
        knots = self.profile(self.hidden(latents)).unflatten(1, (self.channels, -1))  # (N, C, K)
        return torch.tanh(knots @ self.hats).unflatten(2, (self.resolution, self.resolution))
