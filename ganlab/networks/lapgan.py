"""Laplacian pyramid of adversarial networks.

Denton, Chintala, Szlam, Fergus: "Deep Generative Image Models using a Laplacian Pyramid of
Adversarial Networks" (arXiv:1506.05751), sections 2.3 and 3.2; widths, kernels and initial weights
are those of the authors' CIFAR-10 code.

Level K, the coarsest, is a fully connected GAN. Each finer level k has a convolutional generator
that paints detail h_k onto the enlarged image l_k of the level below, and a discriminator that sees
l_k + h_k. In training l_k comes from real images (`Condition.coarse`), so the levels do not depend
on each other and all of them train at once; without a condition the generator samples its own
chain, coarse to fine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ganlab.networks import base
from ganlab.networks.base import Condition, Images
from ganlab.nn.dropout import Dropout
from ganlab.nn.precision import in_single
from ganlab.nn.pyramid import expand, gaussian_pyramid


def pyramid_sizes(network: str, resolution: int, sizes: Sequence[int] | None) -> list[int]:
    """Sizes of the levels, coarse to fine: as given, or halved while even and at least 14.

    Raises:
        ValueError: fewer than two levels, sizes that do not rise, or that end elsewhere than at the
            resolution; the message names the key of `network`.
    """
    found = [resolution]
    while sizes is None and found[0] % 2 == 0 and found[0] >= 14:
        found.insert(0, found[0] // 2)
    found = found if sizes is None else [int(size) for size in sizes]
    rising = all(0 < coarse < fine for coarse, fine in pairwise(found))
    if len(found) < 2 or not rising or found[-1] != resolution:
        raise ValueError(
            f"model.{network}.sizes must list at least two rising sizes that end at the resolution "
            f"(data.resolution={resolution}), as [8,16,32]; got {found}"
        )
    return found


def check_positive(network: str, name: str, values: Sequence[int]) -> list[int]:
    """The values as a list, or a ValueError that names the key `name` of `network`."""
    if not values or min(values) < 1:
        raise ValueError(f"model.{network}.{name} must list numbers of at least 1, got {values}")
    return [int(value) for value in values]


def linear(incoming: int, outgoing: int, std: float) -> nn.Linear:
    """An affine map with weights N(0, std) and biases 0, as the authors' coarsest networks."""
    layer = nn.Linear(incoming, outgoing)
    nn.init.normal_(layer.weight, 0.0, std)
    nn.init.zeros_(layer.bias)
    return layer


@dataclass(frozen=True)
class Step:
    """One level of the sampling chain."""

    image: Tensor  # (N, C, H, W)
    low: Tensor | None = None  # l_k = u(I_{k+1}), what was painted on; None at the coarsest
    detail: Tensor | None = None  # h_k, what was painted


class CoarseGenerator(nn.Module):
    """G_K: affine maps and ReLU to the coarsest image."""

    def __init__(self, latent_dim: int, hidden: Sequence[int], channels: int, size: int) -> None:
        super().__init__()
        widths = [latent_dim, *hidden]
        self.affines = nn.ModuleList(linear(a, b, 0.05) for a, b in pairwise(widths))
        self.activations = nn.ModuleList(nn.ReLU() for _ in self.affines)
        self.to_image = linear(widths[-1], channels * size**2, 0.05)
        self.shape = (channels, size, size)

    def forward(self, latents: Tensor) -> Tensor:
        """(N, latent_dim) -> (N, C, size, size)."""
        x = latents
        for affine, activation in zip(self.affines, self.activations, strict=True):
            x = activation(affine(x))
        images: Tensor = in_single(self.to_image, x).unflatten(1, self.shape)
        return images


class DetailGenerator(nn.Module):
    """G_k: convolutions and ReLU from the low-pass image and a plane of noise to detail."""

    def __init__(self, channels: int, width: int, kernels: Sequence[int], size: int) -> None:
        super().__init__()
        widths = [channels + 1] + [width] * (len(kernels) - 1) + [channels]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, kernel, padding="same")
            for (a, b), kernel in zip(pairwise(widths), kernels, strict=True)
        )
        self.activations = nn.ModuleList(nn.ReLU() for _ in kernels[1:])
        self.size = size

    def forward(self, noise: Tensor, low: Tensor) -> Tensor:
        """(N, size * size) noise and (N, C, size, size) images -> h_k, (N, C, size, size)."""
        plane = noise.unflatten(1, (1, self.size, self.size))
        x = torch.cat([low, plane.to(low.dtype)], dim=1)  # (N, C + 1, size, size): a color plane
        for convolution, activation in zip(self.convolutions, self.activations, strict=False):
            x = activation(convolution(x))
        images: Tensor = self.convolutions[-1](x)
        return images


class Generator(base.Generator):
    """One generator a level; images of all levels, coarse to fine.

    A latent holds `coarse_latent_dim` numbers for the coarsest level, then one plane for each finer
    level, all uniform on [-1, 1). `layers` are the ReLUs, `fc/0`, ..., `16x16/0`, ....

    Raises:
        ValueError: sizes that make no pyramid, or an empty or non-positive width or kernel.
    """

    prior = "uniform"

    def __init__(
        self,
        resolution: int = 32,  # of the finest level
        channels: int = 3,  # of the image
        coarse_latent_dim: int = 100,  # numbers for the coarsest level
        hidden: Sequence[int] = (1200, 1200),  # width of each hidden layer of the coarsest level
        width: int = 64,  # channels between the convolutions of a finer level
        kernels: Sequence[int] = (7, 7, 5),  # size of each of its convolutions
        sizes: Sequence[int] | None = None,  # of the levels, coarse to fine; None = halved
    ) -> None:
        super().__init__()
        self.sizes = pyramid_sizes("generator", resolution, sizes)
        hidden = check_positive("generator", "hidden", hidden)
        kernels = check_positive("generator", "kernels", kernels)
        check_positive("generator", "width", [width])
        check_positive("generator", "coarse_latent_dim", [coarse_latent_dim])
        self.resolution, self.channels = resolution, channels
        self.split = [coarse_latent_dim, *(size**2 for size in self.sizes[1:])]
        self.latent_dim = sum(self.split)
        self.coarsest = CoarseGenerator(coarse_latent_dim, hidden, channels, self.sizes[0])
        self.details = nn.ModuleList(
            DetailGenerator(channels, width, kernels, size) for size in self.sizes[1:]
        )

    @property
    def layers(self) -> dict[str, nn.Module]:
        """`fc/<position>` and `<size>x<size>/<position>` -> the ReLU there."""
        named = {f"fc/{i}": module for i, module in enumerate(self.coarsest.activations)}
        for size, detail in zip(self.sizes[1:], self.details, strict=True):
            activations = detail.get_submodule("activations").children()
            named |= {f"{size}x{size}/{i}": module for i, module in enumerate(activations)}
        return named

    def steps(self, latents: Tensor, condition: Condition | None = None) -> list[Step]:
        """Every level's image with what it was made of, coarse to fine."""
        noise, *planes = latents.split(self.split, dim=1)
        steps = [Step(self.coarsest(noise))]
        given = self.given(condition)
        for level, (detail, plane) in enumerate(zip(self.details, planes, strict=True)):
            below = steps[-1].image if given is None else given[level]
            low = expand(below, self.sizes[level + 1])  # l_k = u(I_{k+1})
            high = detail(plane, low)  # h_k = G_k(z_k, l_k), Denton et al., eq. 5
            steps.append(Step(low + high, low, high))
        return steps

    def given(self, condition: Condition | None) -> list[Tensor] | None:
        """[I_K, ..., I_1] of the condition's coarse images; None = sample the chain.

        Raises:
            ValueError: coarse images that are not of the size below the finest.
        """
        if condition is None or condition.coarse is None:
            return None
        if condition.coarse.shape[-1] != self.sizes[-2]:
            raise ValueError(
                f"model.conditioner.size must be {self.sizes[-2]}, the level below the finest of "
                f"model.generator.sizes; it gave images of {condition.coarse.shape[-1]} pixels"
            )
        return gaussian_pyramid(condition.coarse, self.sizes[:-1])

    def forward(self, latents: Tensor, condition: Condition | None = None) -> list[Tensor]:
        """(N, Z) -> images of every level; with `condition.coarse` each level repaints reals."""
        return [step.image for step in self.steps(latents, condition)]

    def chain(self, latents: Tensor) -> dict[str, Tensor]:
        """The sampling chain to look at: caption -> images, coarse to fine (paper, figure 1)."""
        first, *others = self.steps(latents)
        shown = {f"{self.sizes[0]} px": first.image}
        for size, step in zip(self.sizes[1:], others, strict=True):
            parts = {f"enlarged to {size}": step.low, f"detail at {size}": step.detail}
            shown |= {caption: part for caption, part in parts.items() if part is not None}
            shown[f"{size} px"] = step.image
        return shown


class Discriminator(base.Discriminator):
    """One discriminator a level: (N, K) logits, one for each image of the list.

    D_K has affine maps, D_k convolutions, the second of stride 2; ReLU and dropout in both.

    Raises:
        ValueError: sizes that make no pyramid, kernels too large for them, or an empty or
            non-positive width or kernel.
    """

    augments = False  # its fakes are painted on reals as they are

    def __init__(
        self,
        resolution: int = 32,  # of the finest level
        channels: int = 3,  # of the image
        hidden: Sequence[int] = (600, 600),  # width of each hidden layer of the coarsest level
        width: int = 64,  # channels of the convolutions of a finer level
        kernels: Sequence[int] = (5, 5),  # size of each of its convolutions
        dropout: float = 0.5,  # share of units dropped in training; 0.0 = none
        sizes: Sequence[int] | None = None,  # of the levels, coarse to fine; None = halved
    ) -> None:
        super().__init__()
        self.sizes = pyramid_sizes("discriminator", resolution, sizes)
        kernels = check_positive("discriminator", "kernels", kernels)
        check_positive("discriminator", "width", [width])
        hidden = check_positive("discriminator", "hidden", hidden)
        coarsest = self.affine(channels * self.sizes[0] ** 2, hidden, dropout)
        finer = [
            self.convolutional(channels, width, kernels, dropout, size) for size in self.sizes[1:]
        ]
        self.levels = nn.ModuleList([coarsest, *finer])

    @staticmethod
    def affine(pixels: int, hidden: Sequence[int], dropout: float) -> nn.Sequential:
        """D_K."""
        modules: list[nn.Module] = [nn.Flatten()]
        for incoming, outgoing in pairwise([pixels, *hidden]):
            modules += [linear(incoming, outgoing, 0.005), nn.ReLU(), Dropout(dropout)]
        return nn.Sequential(*modules, linear(hidden[-1], 1, 0.005))

    @staticmethod
    def convolutional(
        channels: int, width: int, kernels: Sequence[int], dropout: float, size: int
    ) -> nn.Sequential:
        """D_k: convolutions without padding, all but the first with stride 2."""
        modules: list[nn.Module] = []
        incoming, left = channels, size
        for position, kernel in enumerate(kernels):
            stride = 2 if position else 1
            modules += [nn.Conv2d(incoming, width, kernel, stride), nn.ReLU()]
            incoming, left = width, (left - kernel) // stride + 1
        if left < 1:
            raise ValueError(
                f"model.discriminator.kernels={list(kernels)} leave nothing of a level of {size} "
                "pixels; use smaller kernels or larger sizes"
            )
        return nn.Sequential(
            *modules, Dropout(dropout), nn.Flatten(), nn.Linear(width * left**2, 1)
        )

    def views(self, images: Tensor) -> list[Tensor]:
        """The Gaussian pyramid: at each level the real image is l_k + h_k."""
        return gaussian_pyramid(images, self.sizes)

    def forward(self, images: Images, condition: Condition | None = None) -> Tensor:
        """Score each level's l_k + h_k by its own network: K images -> (N, K) logits."""
        logits = [level(image) for level, image in zip(self.levels, images, strict=True)]
        return torch.cat(logits, dim=1)  # K of (N, 1) -> (N, K)
