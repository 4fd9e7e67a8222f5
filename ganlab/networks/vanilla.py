"""The first GAN: fully connected networks.

Goodfellow et al.: "Generative Adversarial Networks" (arXiv:1406.2661), section 5. The defaults are
the MNIST constants of the authors' published code (mnist.yaml): 100 standard normal numbers, two
hidden layers of 1200 ReLUs, sigmoid output; against two layers of 240 maxout units of 5 pieces,
with a fifth of the pixels and half of the hidden units dropped. One thing of it is left out: the
generator's output bias starts at 0, not at the mean of the data.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from ganlab.networks import base
from ganlab.networks.base import Condition, Images
from ganlab.nn.dropout import Dropout


def hidden_widths(network: str, hidden: Sequence[int]) -> list[int]:
    """The widths as a list, or a ValueError that names the key of `network`."""
    if not hidden or min(hidden) < 1:
        raise ValueError(f"model.{network}.hidden must list widths of at least 1, got {hidden}")
    return list(hidden)


def linear(incoming: int, outgoing: int, init_range: float) -> nn.Linear:
    """An affine map with weights U(-init_range, init_range) and biases 0."""
    layer = nn.Linear(incoming, outgoing)
    nn.init.uniform_(layer.weight, -init_range, init_range)
    nn.init.zeros_(layer.bias)
    return layer


class Maxout(nn.Module):
    """The largest of several affine maps, unit by unit (Maxout Networks, arXiv:1302.4389)."""

    def __init__(
        self,
        incoming: int,
        units: int,
        pieces: int,  # affine maps per unit
        init_range: float,  # weights U(-init_range, init_range)
    ) -> None:
        super().__init__()
        self.units, self.pieces = units, pieces
        self.affine = linear(incoming, units * pieces, init_range)

    def forward(self, x: Tensor) -> Tensor:
        """(N, incoming) -> (N, units)."""
        units: Tensor = self.affine(x).unflatten(1, (self.units, self.pieces)).amax(dim=2)
        return units


class Generator(base.Generator):
    """Affine maps and ReLU; a sigmoid scaled to [-1, 1] at the end.

    `layers` are the ReLUs, `fc/0`, `fc/1`, ...: (N, width) each.

    Raises:
        ValueError: no hidden layer, or an unknown prior.
    """

    def __init__(
        self,
        resolution: int = 28,  # any size
        channels: int = 1,  # of the image
        latent_dim: int = 100,  # numbers in a latent
        hidden: Sequence[int] = (1200, 1200),  # width of each hidden layer
        init_range: float = 0.05,  # weights U(-init_range, init_range)
        prior: str = "normal",  # or "uniform" on [-1, 1)
    ) -> None:
        super().__init__()
        widths = [latent_dim, *hidden_widths("generator", hidden)]
        self.resolution, self.channels, self.latent_dim = resolution, channels, latent_dim
        self.prior = base.known_prior(prior)
        self.affines = nn.ModuleList(
            linear(incoming, outgoing, init_range) for incoming, outgoing in pairwise(widths)
        )
        self.activations = nn.ModuleList(nn.ReLU() for _ in self.affines)
        self.to_image = linear(widths[-1], channels * resolution**2, init_range)

    @property
    def layers(self) -> dict[str, nn.Module]:
        """`fc/<position>` -> the ReLU of that hidden layer."""
        return {f"fc/{i}": activation for i, activation in enumerate(self.activations)}

    def forward(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        """Map latents to images, (N, Z) -> (N, C, H, W); the condition is not used."""
        x = latents
        for affine, activation in zip(self.affines, self.activations, strict=True):
            x = activation(affine(x))  # (N, width)
        pixels = 2 * self.to_image(x).sigmoid() - 1  # from (0, 1) to the project's range
        images: Tensor = pixels.unflatten(1, (self.channels, self.resolution, self.resolution))
        return images


class Discriminator(base.Discriminator):
    """Maxout units, or LeakyReLU, with dropout before every affine map.

    Raises:
        ValueError: no hidden layer.
    """

    def __init__(
        self,
        resolution: int = 28,  # any size
        channels: int = 1,  # of the image
        hidden: Sequence[int] = (240, 240),  # units of each hidden layer
        pieces: int | None = 5,  # affine maps per maxout unit; None = LeakyReLU 0.2 instead
        dropout: float = 0.5,  # share of hidden units dropped in training; 0.0 = none
        input_dropout: float = 0.2,  # share of pixels dropped in training; 0.0 = none
        init_range: float = 0.005,  # weights U(-init_range, init_range)
    ) -> None:
        super().__init__()
        modules: list[nn.Module] = [Dropout(input_dropout)]
        incoming = channels * resolution**2
        for units in hidden_widths("discriminator", hidden):
            if pieces is None:
                modules += [linear(incoming, units, init_range), nn.LeakyReLU(0.2)]
            else:
                modules += [Maxout(incoming, units, pieces, init_range)]
            modules += [Dropout(dropout)]
            incoming = units
        self.flatten = nn.Flatten()
        self.hidden = nn.Sequential(*modules)
        self.to_logit = linear(incoming, 1, init_range)

    def forward(self, images: Images, condition: Condition | None = None) -> Tensor:
        """Score images, (N, C, H, W) -> (N,) logits: the sigmoid of the paper is in the loss."""
        # The paper's pixels are in [0, 1], so that a dropped pixel is a black one.
        pixels = (self.flatten(images) + 1) / 2  # (N, C * H * W)
        logits: Tensor = self.to_logit(self.hidden(pixels)).squeeze(1)  # (N, 1) -> (N,)
        return logits
