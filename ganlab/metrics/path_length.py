"""Perceptual path length: how smoothly images change along paths through latent space.

Karras et al. 2019, arXiv 1812.04948, section 4.1. The published number measures with LPIPS on
VGG-16, whose learned weights are in no file of the house; here the measure is the squared distance
of an extractor's features, each scaled to length 1. The two do not compare.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ganlab.features import Extractor
from ganlab.networks.base import Condition, Generator, StyleGenerator
from ganlab.nn.paths import great_circle
from ganlab.nn.randomness import keyed_generator, latents_at
from ganlab.sampling import ConditionAt, batched, device_of, evaluating, full_size

SPACES, SAMPLINGS = ("z", "w"), ("full", "end")
WIDEST = 256  # px; larger images are averaged down before they are compared


@torch.no_grad()
def perceptual_path_lengths(
    generator: Generator,
    extractor: Extractor,
    indices: Iterable[int],  # addresses of paths; path i joins latents 2i and 2i + 1
    seed: int,
    *,
    space: str = "z",  # z, along a great circle, or w, along a straight line between styles
    sampling: str = "full",  # full: anywhere on the path; end: where it begins
    epsilon: float = 1e-4,  # step along a path, whose length is 1
    crop: bool = False,  # compare the middle of an aligned face alone
    batch_size: int = 50,  # paths at a time
    device: torch.device | str | None = None,  # None = where the generator is
    condition_at: ConditionAt | None = None,  # for conditional generators; both ends are told one
) -> Tensor:
    """d(g(t), g(t + epsilon)) / epsilon^2 of each path, (N,) float64 on the CPU.

    Length i of a seed does not depend on the batch or the process, beyond rounding. Noise is fixed;
    nothing is drawn from the global random number generator.

    Raises:
        ValueError: an unknown space or sampling, epsilon outside (0, 1), styles of a generator that
            has none, or no index at all.
    """
    check_path(generator, space, sampling, epsilon)
    device = device_of(generator) if device is None else torch.device(device)
    found = []
    for batch in batched(indices, batch_size):
        at = positions(batch, seed, sampling).to(device)
        told = condition_at(batch) if condition_at else None
        condition = None if told is None else told.to(device)
        ends = [latents_at(generator, [2 * i + k for i in batch], seed).to(device) for k in (0, 1)]
        with evaluating(generator):
            images = [
                paint(generator, ends, at + step, space, condition) for step in (0.0, epsilon)
            ]
        features = [unit_features(extractor, crop_and_shrink(x, crop)) for x in images]
        squared = (features[0] - features[1]).square().sum(1)
        found.append((squared / epsilon**2).cpu())
    if not found:
        raise ValueError("perceptual_path_lengths needs at least one index")
    return torch.cat(found)


def path_length(lengths: Tensor) -> Tensor:
    """Mean of the lengths between the 1st and the 99th percentile, both included; a scalar."""
    lowest = torch.quantile(lengths, 0.01, interpolation="lower")
    highest = torch.quantile(lengths, 0.99, interpolation="higher")
    return lengths[(lengths >= lowest) & (lengths <= highest)].mean()


def check_path(generator: Generator, space: str, sampling: str, epsilon: float) -> None:
    """Raise ValueError for a path that cannot be walked."""
    if space not in SPACES or sampling not in SAMPLINGS or not 0 < epsilon < 1:
        raise ValueError(
            f"study.spaces={space}, study.samplings={sampling}, study.epsilon={epsilon}: a path "
            "needs space z or w, sampling full or end, and epsilon in (0, 1)"
        )
    if space == "w" and not isinstance(generator, StyleGenerator):
        raise ValueError(
            f"study.spaces=[w] needs a style generator, {type(generator).__module__} has no "
            "styles; measure in z"
        )


def positions(indices: Sequence[int], seed: int, sampling: str) -> Tensor:
    """Where on its path each length is taken, (N, 1) float64 in [0, 1)."""
    if sampling == "end":
        return torch.zeros(len(indices), 1, dtype=torch.float64)
    sources = (keyed_generator("path position", seed, i) for i in indices)
    return torch.stack([torch.rand(1, dtype=torch.float64, generator=each) for each in sources])


def paint(
    generator: Generator,
    ends: Sequence[Tensor],  # latents of both ends, (N, Z) each
    at: Tensor,  # (N, 1) float64
    space: str,
    condition: Condition | None,
) -> Tensor:
    """Images at these positions, (N, C, H, W)."""
    walk = great_circle if generator.prior == "normal" else torch.lerp  # a cube has none
    if not isinstance(generator, StyleGenerator):
        latents = walk(ends[0].double(), ends[1].double(), at).to(ends[0])
        images = generator(latents, condition)
    elif space == "w":
        first, last = (generator.map(z, condition) for z in ends)  # (N, L, W) each
        between = torch.lerp(first.double(), last.double(), at[:, :, None]).to(first)
        images = generator.synthesize(between, noise="const")
    else:
        latents = walk(ends[0].double(), ends[1].double(), at).to(ends[0])
        images = generator.synthesize(generator.map(latents, condition), noise="const")
    return full_size(images, generator)


def crop_and_shrink(images: Tensor, crop: bool) -> Tensor:
    """Images (N, C, H, H) cropped to the face if asked, and averaged down to at most 256 px.

    The crop of an aligned face is its central half: rows 3/8 to 7/8, columns 1/4 to 3/4.
    """
    if crop:
        eighth = images.shape[2] // 8
        images = images[:, :, 3 * eighth : 7 * eighth, 2 * eighth : 6 * eighth]
    factor = images.shape[2] // WIDEST
    return F.avg_pool2d(images, factor) if factor > 1 else images


def unit_features(extractor: Extractor, images: Tensor) -> Tensor:
    """Features of images (N, C, H, W) scaled to length 1, (N, d) float64.

    Pixels are neither rounded to 8 bits nor clamped: a step of epsilon is far smaller than a grey
    level.
    """
    extractor.prepare()
    return F.normalize(extractor.unrounded_features(images).double(), dim=1)
