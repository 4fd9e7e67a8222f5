"""Penalties, added to the adversarial losses.

Bound to their strengths (`_partial_: true` in a config), those on the discriminator have one call
shape, and those on the generator another:

    penalty(discriminator, real, fake, condition, uniform) -> scalar
    penalty(generator, styles, condition, normal) -> scalar

`real` and `fake` are images as the discriminator takes them, (N, C, H, W) or a list of scales;
`styles` is what the generator makes images of, on a draw of the penalty's own: (N, L, W) after
mixing, with their graph, or (N, Z) latents where there are no styles. `uniform(n)` gives n numbers
in [0, 1) and `normal(shape)` standard normal ones; a penalty may use no other randomness. The
gradients on the discriminator are those of a sample's logits, summed if there are K of them, and
can be differentiated again. They assume that a logit depends on its own sample only, which batch
normalization breaks.
"""

from collections.abc import Callable
from math import sqrt
from typing import Protocol

import torch
from torch import Tensor, nn

from ganlab.nn.ranks import mean_over_ranks

Images = Tensor | list[Tensor]  # as in the networks: a list runs from coarse to fine
Uniform = Callable[[int], Tensor]  # n -> (n,) in [0, 1)
Normal = Callable[[torch.Size], Tensor]  # shape -> N(0, 1)


class StyleGenerator(Protocol):
    """What a generator with styles offers to `path_length`."""

    mean_path_length: Tensor  # (), running mean that the penalty keeps

    def synthesize(self, styles: Tensor) -> Images:
        """(N, L, W) -> images."""
        ...


def check_strength(name: str, value: float) -> None:
    """A ValueError, which says `name`, of a strength below 0."""
    if not value >= 0:
        raise ValueError(f"{name} must be at least 0, got {value}")


def scales(images: Images) -> list[Tensor]:
    """The images as a list, of one if they are a tensor."""
    return images if isinstance(images, list) else [images]


def image_gradients(
    discriminator: nn.Module,
    images: list[Tensor],  # one tensor per scale
    condition: object,  # passed on to the discriminator
    as_list: bool,  # whether the discriminator takes a list
) -> list[Tensor]:
    """Gradient of each sample's logits by its pixels, (N, C * H * W) per scale, with a graph."""
    leaves = [image.detach().requires_grad_() for image in images]
    logits = discriminator(leaves if as_list else leaves[0], condition)
    gradients = torch.autograd.grad(logits.sum(), leaves, create_graph=True)
    return [gradient.flatten(1) for gradient in gradients]


def squared_slope(discriminator: nn.Module, images: Images, condition: object) -> Tensor:
    """E ||grad D||^2 at these images, with a graph; over several scales the mean."""
    gradients = image_gradients(discriminator, scales(images), condition, isinstance(images, list))
    return torch.stack([each.square().sum(dim=1).mean() for each in gradients]).mean()


def r1(
    discriminator: nn.Module,
    real: Images,
    fake: Images,
    condition: object,
    uniform: Uniform,
    *,
    gamma: float = 10.0,  # strength; the papers' losses carry no factor 1/2, nor do ours
) -> Tensor:
    """gamma/2 E ||grad D(x)||^2 on reals.

    Mescheder et al. 2018 (arXiv:1801.04406), eq. 9. Over several scales the mean, as in the code of
    MSG-GAN's authors: gamma does not grow with the resolution.

    Raises:
        ValueError: a gamma below 0.
    """
    check_strength("r1: gamma", gamma)
    return gamma / 2 * squared_slope(discriminator, real, condition)


def r2(
    discriminator: nn.Module,
    real: Images,
    fake: Images,
    condition: object,
    uniform: Uniform,
    *,
    gamma: float = 10.0,  # strength
) -> Tensor:
    """gamma/2 E ||grad D(G(z))||^2 on fakes; over several scales as `r1`.

    Mescheder et al. 2018 (arXiv:1801.04406), eq. 10: what holds D where the fakes are, too.

    Raises:
        ValueError: a gamma below 0.
    """
    check_strength("r2: gamma", gamma)
    return gamma / 2 * squared_slope(discriminator, fake, condition)


def gradient_penalty(
    discriminator: nn.Module,
    real: Images,
    fake: Images,
    condition: object,
    uniform: Uniform,
    *,
    weight: float = 10.0,  # lambda
    target: float = 1.0,  # slope that costs nothing; the penalty is relative to its square
) -> Tensor:
    """weight E (||grad D(x_hat)|| - target)^2 / target^2 between reals and fakes.

    Gulrajani et al. 2017 (arXiv:1704.00028), eq. 3; the target is that of Karras et al. 2018
    (arXiv:1710.10196), which is 750 on CIFAR-10. A sample has one epsilon for all its scales, and
    the penalty is the mean over scales (MSG-GAN, arXiv:1903.06048).

    Raises:
        ValueError: a target that is not positive, or a weight below 0.
    """
    check_strength("gradient_penalty: weight", weight)
    if target <= 0:
        raise ValueError(f"gradient_penalty: target must be positive, got {target}; for 0 use r1")
    epsilon = uniform(len(scales(real)[0]))[:, None, None, None]  # (N, 1, 1, 1)
    mixed = [
        epsilon.to(x) * x.detach() + (1 - epsilon.to(x)) * y.detach()
        for x, y in zip(scales(real), scales(fake), strict=True)
    ]
    gradients = image_gradients(discriminator, mixed, condition, isinstance(real, list))
    slopes = torch.stack([torch.linalg.vector_norm(g, dim=1) for g in gradients])  # (scales, N)
    return weight * (slopes / target - 1).square().mean()


def drift(
    discriminator: nn.Module,
    real: Images,
    fake: Images,
    condition: object,
    uniform: Uniform,
    *,
    weight: float = 0.001,  # epsilon_drift
) -> Tensor:
    """weight E D(x)^2 on reals: holds the level that a Wasserstein loss leaves free.

    Karras et al. 2018 (arXiv:1710.10196), appendix A.1. Mean over the batch, sum over the logits
    of a sample, at the price of one more pass over the reals.

    Raises:
        ValueError: a weight below 0.
    """
    check_strength("drift: weight", weight)
    logits: Tensor = discriminator(real, condition)
    return weight * logits.square().mean(dim=0).sum()


def path_lengths(
    images: Tensor,  # (N, C, H, W), made from `styles`
    styles: Tensor,  # (N, L, W)
    normal: Normal,
) -> Tensor:
    """How far each image moves with its styles in a random direction, (N,), with a graph.

    ||J^T y|| of Karras et al. 2020 (arXiv:1912.04958), eq. 4, with y ~ N(0, I) / sqrt(H W): the
    root of the mean over the L layers of the squared length of a layer's gradient.
    """
    noise = normal(images.shape) / sqrt(images.shape[-2] * images.shape[-1])
    (gradient,) = torch.autograd.grad((images * noise.to(images)).sum(), styles, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()  # (N, L, W) -> (N,)


def path_length(
    generator: StyleGenerator,
    styles: Tensor,  # (N, L, W), mixed as those of the adversarial loss are
    condition: object,  # already in the styles
    normal: Normal,
    *,
    weight: float = 2.0,
    decay: float = 0.01,  # share of the newest lengths in the running mean
    batch_shrink: int = 2,  # only every batch_shrink-th part of the batch is looked at
) -> Tensor:
    """weight E (||J^T y|| - a)^2, with a the running mean of the lengths: equal steps everywhere.

    Karras et al. 2020 (arXiv:1912.04958), section 3.2, eq. 4 and appendix B. `a` is kept in the
    generator's `mean_path_length` and is a constant to the gradient. An image list counts by its
    finest scale.

    Raises:
        ValueError: a weight below 0, a decay outside (0, 1], or a batch_shrink below 1.
    """
    check_strength("path_length: weight", weight)
    if not 0 < decay <= 1:
        raise ValueError(f"path_length: decay must be above 0 and at most 1, got {decay}")
    if batch_shrink < 1:
        raise ValueError(f"path_length: batch_shrink must be at least 1, got {batch_shrink}")
    styles = styles[: max(1, len(styles) // batch_shrink)]
    if not styles.requires_grad:  # without a mapping network nothing learned lies behind them
        styles = styles.requires_grad_()
    images = generator.synthesize(styles)
    lengths = path_lengths(images[-1] if isinstance(images, list) else images, styles, normal)
    mean = generator.mean_path_length
    with torch.no_grad():  # over the whole batch: of ranks that differed each would pull elsewhere
        mean.lerp_(mean_over_ranks(lengths.mean()).to(mean), decay)
    return weight * (lengths - mean.clone()).square().mean()
