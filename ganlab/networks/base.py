"""What every generator and discriminator of the house promises.

Letters fixed for the project: N batch, C channels, H W space, Z latent width, W style width.
Images are float, nominally in [-1, 1], NCHW.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ganlab.nn.frames import Frame
from ganlab.nn.modulation import Normal

Images = Tensor | list[Tensor]  # a list runs from coarse to fine


@dataclass(frozen=True)
class Condition:
    """What a conditional network is told besides the latent; every field is optional."""

    label: Tensor | None = None  # (N,) int64, or (N, K) float: soft, or all zero
    features: Mapping[str, Tensor] | None = None  # frozen network's stage -> (N, C, H, W) or (N, C)
    masks: Mapping[str, Tensor] | None = None  # stage -> (N, 1, H, W) or (N, 1); none = all masked
    coarse: Tensor | None = None  # (N, C, H, W), the next coarser image

    def to(self, *args: Any, **kwargs: Any) -> "Condition":
        """Move every tensor, with the arguments of `Tensor.to`."""
        return self.mapped(lambda tensor: tensor.to(*args, **kwargs))

    def rows(self, some: slice) -> "Condition":
        """What these samples are told."""
        return self.mapped(lambda tensor: tensor[some])

    def mapped(self, change: Callable[[Tensor], Tensor]) -> "Condition":
        """With each tensor changed."""

        def changed(value: Any) -> Any:
            if isinstance(value, Mapping):
                return {name: changed(item) for name, item in value.items()}
            return None if value is None else change(value)

        return replace(self, **{name: changed(value) for name, value in vars(self).items()})


def one_hot_labels(condition: Condition | None, num_labels: int) -> Tensor | None:
    """(N, num_labels), one 1 a row or the soft labels given; None for a network without labels.

    Raises:
        ValueError: no condition, one without labels, or soft ones of another number of classes.
    """
    if not num_labels:
        return None
    if condition is None or condition.label is None:
        raise ValueError(
            f"a network of {num_labels} labels got none: give Condition(label=...), in a config "
            "model/conditioner=labels, or build it with num_labels=0"
        )
    if not condition.label.is_floating_point():
        return one_hot(condition.label, num_labels).float()
    if condition.label.shape[1:] != (num_labels,):
        shape = tuple(condition.label.shape)
        raise ValueError(f"soft labels must be (N, {num_labels}), got {shape}")
    return condition.label


PRIORS = ("normal", "uniform")


def known_prior(prior: str) -> str:
    """The prior's name, or a ValueError that lists the priors there are."""
    if prior not in PRIORS:
        raise ValueError(f"model.generator.prior must be {' or '.join(PRIORS)}, got {prior!r}")
    return prior


class Generator(nn.Module):
    """Latents to images, with a stable address for every layer of neurons."""

    latent_dim: int  # Z
    resolution: int  # H = W of the finest image; of a rectangle that of its table, see `Frame`
    frame: Frame | None = None  # of images that may be rectangles; None = a square
    channels: int  # C of an image
    num_labels: int = 0  # classes that it must be told one of; 0 = unconditional
    prior: str = "normal"  # of each latent number: N(0, 1), or "uniform" on [-1, 1)
    layer_studied: int = 0  # of the layers of each size: whose neurons papers look at

    def sample_latents(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw (n, Z) from this generator's prior, on the device of `generator`."""
        draw = torch.rand if self.prior == "uniform" else torch.randn
        latents = draw(n, self.latent_dim, generator=generator, device=generator.device)
        return 2 * latents - 1 if self.prior == "uniform" else latents

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the finest image, px."""
        if self.frame is None:
            return self.resolution, self.resolution
        return self.frame.at(self.frame.size)

    @property
    def layers(self) -> dict[str, nn.Module]:
        """Name -> activation module, input to output; each fires once a pass with one tensor.

        Names are `<resolution>/<position>`, as `8x8/1`. The output is (N, C, H, W), or (N, C) in a
        fully connected network, taken after the nonlinearity wherever the normalization stands.
        """
        raise ValueError(f"{type(self).__name__} names no layers of neurons: give it `layers`")

    @property
    def truncates(self) -> bool:
        """Whether truncation can change an image."""
        return False

    def truncated(self, latents: Tensor, threshold: float) -> Tensor:
        """Latents within +-threshold, of a generator that truncates these and no styles."""
        raise NotImplementedError

    @property
    def points(self) -> dict[str, nn.Module]:
        """Where maps can be read besides: `<layer>/norm`, `<layer>/style`; none by default."""
        return {}

    def chain(self, latents: Tensor) -> dict[str, Tensor]:
        """Caption -> (N, C, H, W), the steps of an image in the making; empty if there are none."""
        return {}

    def forward(self, latents: Tensor, condition: Condition | None = None) -> Images:
        """Map (N, Z) latents to images."""
        raise NotImplementedError


class StyleGenerator(Generator):
    """A generator that goes by way of styles: `forward` maps, then synthesizes."""

    style_sizes: list[int]  # (L,), px of the map that each style acts on
    mean_style: Tensor  # (W,) or (L, W), running mean of the styles in training; a buffer
    draw_noise: Normal | None = None  # shape -> N(0, 1); None = torch's global generator
    mean_style_decay: float = 0.995  # of the running mean, a step

    @property
    def num_styles(self) -> int:
        """L."""
        return len(self.style_sizes)

    @property
    def active_styles(self) -> int:
        """How many of the L styles are in use; fewer while a network still grows."""
        return self.num_styles

    @property
    def truncates(self) -> bool:
        """Styles can be moved towards their mean."""
        return True

    @property
    def affines(self) -> dict[str, nn.Module]:
        """Layer -> what turns its style into scales, and shifts if there are any."""
        raise NotImplementedError

    def map(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        """(N, Z) latents -> (N, L, W) styles."""
        raise NotImplementedError

    def synthesize(self, styles: Tensor, noise: str = "random") -> Images:
        """(N, L, W) styles -> images; `noise` is random, const or none."""
        raise NotImplementedError

    @torch.no_grad()
    def update_mean_style(self, styles: Tensor) -> None:
        """Let `mean_style` follow a batch of unmixed styles, (N, L, W)."""
        mean = styles[:, 0].mean(dim=0).to(self.mean_style)
        self.mean_style.lerp_(mean, 1 - self.mean_style_decay)


class Encoder(nn.Module):
    """Images to codes: (N, C, H, W) -> mean and log variance, (N, Z) each."""

    latent_dim: int  # Z
    resolution: int  # H = W
    channels: int  # C


class Discriminator(nn.Module):
    """Images to logits: (N,) or (N, K); a loss takes the mean over N and the sum over K."""

    num_labels: int = 0  # classes, one of which it must be told; 0 = unconditional
    augments: ClassVar[bool] = True  # whether what it sees may be changed at random

    @property
    def finest_first(self) -> list[tuple[nn.Module, ...]]:
        """The blocks of each size above the last, from the image on; none where there are none."""
        return []

    def views(self, images: Tensor) -> Images:
        """What a full-resolution real batch looks like to this network now: itself by default."""
        return images

    def forward(self, images: Images, condition: Condition | None = None) -> Tensor:
        """Score images: positive means real."""
        raise NotImplementedError
