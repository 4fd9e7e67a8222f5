"""Editing images with a semantic pyramid (Shocher et al. 2020, section 4.2), for a notebook.

image = read_image("hiker.jpg", fitting_of(data))                            # (1, C, R, R)
region = read_mask("where.png", "hiker.jpg", fitting_of(data))               # 1 = painted anew
told = system.conditioner.condition(image, "pool4", keep=1 - region)
variants = Sampler(system.generator_ema, condition_at=told_alike(told)).images(range(8))
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganlab.networks.base import Condition
from ganlab.nn.randomness import latents_at
from ganlab.sampling import ConditionAt
from ganlab.systems.semantic import PyramidFeatures
from ganlab.systems.system import System

MARKER = (1.0, -1.0, -1.0)  # red, as figure 6 marks a region


def pyramid_features(system: System) -> PyramidFeatures | None:
    """What tells the generator features of references, stage by stage; None = it is no pyramid."""
    return system.conditioner if isinstance(system.conditioner, PyramidFeatures) else None


def stages_of(generator: Any) -> Mapping[str, tuple[int, ...]]:
    """Level -> shape of its features, fine to coarse, of a generator that mirrors them."""
    stages: Mapping[str, tuple[int, ...]] = generator.stages
    return stages


def find_level(
    level: str | None,  # a stage's name, or the paper's `conv5` for `pool5`; None = see below
    stages: Mapping[str, tuple[int, ...]],  # name -> shape of its features, fine to coarse
    key: str = "study.level",
) -> str:
    """The stage's own name; None is the coarsest that is a map: VGG-16's CONV5.

    Raises:
        ValueError: there is no such stage.
    """
    if level is None:
        return [name for name, shape in stages.items() if len(shape) == 3][-1]
    name = re.sub(r"^conv(\d+)$", r"pool\1", str(level).lower())
    if name not in stages:
        raise ValueError(f"{key}={level} is no level of this pyramid; it has {', '.join(stages)}")
    return name


def find_levels(
    levels: Sequence[str] | str | None,  # None = all
    stages: Mapping[str, tuple[int, ...]],
    key: str = "study.levels",
) -> list[str]:
    """The stages' own names, fine to coarse as given. Raises as `find_level`, or for none."""
    if levels is None:
        return list(stages)
    listed = [levels] if isinstance(levels, str) else list(levels)
    if not listed:
        raise ValueError(f"{key} names no level; there are {', '.join(stages)}")
    return list(dict.fromkeys(find_level(level, stages, key) for level in listed))


def repeat_condition(condition: Condition, n: int) -> Condition:
    """The condition of one image, told to n."""

    def rows(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: rows(item) for name, item in value.items()}
        return None if value is None else value.expand(n, *value.shape[1:])

    return replace(condition, **{name: rows(value) for name, value in vars(condition).items()})


def told_alike(condition: Condition) -> ConditionAt:
    """Every address is told the same: the condition of one image."""
    return lambda addresses: repeat_condition(condition, len(addresses))


def latents_within(
    generator: Any, addresses: Sequence[int], seed: int, truncation: float | None
) -> Tensor:
    """Addressed latents (N, Z), cut to a truncated normal: the truncation trick (BigGAN, 3.1)."""
    latents = latents_at(generator, addresses, seed)
    found: Tensor = latents if truncation is None else generator.truncated(latents, truncation)
    return found


def composition(
    conditioner: PyramidFeatures,
    background: Tensor,  # (1, C, R, R)
    pasted: Tensor,  # the same with the object pasted into it
    region: Tensor,  # (1, 1, R, R), 1 where it was pasted
    level: str,
) -> Condition:
    """The chosen level of the naive paste, levels closer to the image of the background around it.

    Section 4.2, semantic image composition. The label is the classifier's guess of the paste.
    """
    paste, around = conditioner.features(pasted), conditioner.features(background)
    masks = conditioner.masks(paste, level, keep=1 - region)
    features = {name: (paste if name == level else around)[name] for name in masks}
    return Condition(label=conditioner.label(paste), features=features, masks=masks)


def paste_object(
    background: Tensor,  # (1, C, R, R)
    source: Tensor,  # (1, C, R, R), the image that holds the object
    region: Tensor,  # (1, 1, R, R), 1 where the object is in it
    at: Sequence[float] | None = None,  # where its centre goes, shares of height and width
    scale: float = 1.0,  # of its size
) -> tuple[Tensor, Tensor]:
    """The object's crop pasted as it is, (1, C, R, R), and where it lies, (1, 1, R, R).

    `at` None leaves its centre where it is. What falls outside of the image is cut off.

    Raises:
        ValueError: nothing of it lies inside, or a scale that leaves no pixel.
    """
    rows, columns = (region[0, 0].any(dim).nonzero().flatten() for dim in (1, 0))
    top, bottom, left, right = (int(v) for v in (rows[0], rows[-1], columns[0], columns[-1]))
    crop = torch.cat([source, region], 1)[..., top : bottom + 1, left : right + 1]
    size = [round(scale * side) for side in crop.shape[-2:]]
    if min(size) < 1:
        raise ValueError(f"study.scale={scale} leaves nothing of an object of {crop.shape[-2:]} px")
    if size != list(crop.shape[-2:]):
        image = F.interpolate(crop[:, :-1], size, mode="bilinear", antialias=True)
        crop = torch.cat([image, F.interpolate(crop[:, -1:], size, mode="nearest-exact")], 1)
    centre = [(top + bottom + 1) / 2, (left + right + 1) / 2]
    if at is not None:
        centre = [share * side for share, side in zip(at, background.shape[-2:], strict=True)]
    corner = [round(middle - side / 2) for middle, side in zip(centre, size, strict=True)]
    placed = _placed(crop, corner, background.shape[-1])
    where = (placed[:, -1:] > 0.5).to(background)
    if not where.any():
        raise ValueError(f"study.at={at} leaves nothing of the object inside the image")
    return torch.where(where.bool(), placed[:, :-1], background), where


def _placed(crop: Tensor, corner: Sequence[int], side: int) -> Tensor:
    """A crop (1, C, h, w) on an empty (1, C, side, side), its upper left corner given."""
    (top, left), (height, width) = corner, crop.shape[-2:]
    first, last = [max(0, top), max(0, left)], [min(side, top + height), min(side, left + width)]
    placed = crop.new_zeros(*crop.shape[:2], side, side)
    if first[0] < last[0] and first[1] < last[1]:
        inside = crop[..., first[0] - top : last[0] - top, first[1] - left : last[1] - left]
        placed[..., first[0] : last[0], first[1] : last[1]] = inside
    return placed


def box_region(
    box: Sequence[float],  # top, left, bottom, right as shares of height and width
    side: int,
    key: str = "study.box",
) -> Tensor:
    """A rectangle as a region, (1, 1, side, side).

    Raises:
        ValueError: no such rectangle, or one without a pixel.
    """
    region = torch.zeros(1, 1, side, side)
    if len(box) == 4 and all(0 <= value <= 1 for value in box):
        top, left, bottom, right = (round(side * float(value)) for value in box)
        region[..., top:bottom, left:right] = 1
    if not region.any():
        raise ValueError(
            f"{key}={list(box)} holds no pixel: it takes [top,left,bottom,right] from 0 to 1"
        )
    return region


def mark_region(images: Tensor, region: Tensor) -> Tensor:
    """Images (N, 1 or 3, R, R) with the region in red, (N, 3, R, R), as figure 6 shows it."""
    colour = torch.tensor(MARKER).view(1, 3, 1, 1)
    return torch.where(region.bool(), (to_rgb(images) + colour) / 2, to_rgb(images))


def to_rgb(images: Tensor) -> Tensor:
    """(N, 1 or 3, R, R) as (N, 3, R, R); grey repeats."""
    return images.expand(-1, 3, -1, -1)


@torch.no_grad()
def feature_change(
    conditioner: PyramidFeatures,  # of the pyramid's system
    images: Tensor,  # (N, C, H, W)
    features: Mapping[str, Tensor],  # of one reference
    level: str,
) -> Tensor:
    """How far the images' features are from the reference's, over the length of these, (N,)."""
    ours = conditioner.features(images)[level].cpu().double().flatten(1)
    theirs = features[level].cpu().double().flatten(1)
    distances: Tensor = (ours - theirs).norm(dim=1) / theirs.norm(dim=1)
    return distances


@torch.no_grad()
def guesses(conditioner: PyramidFeatures, images: Tensor) -> Tensor:
    """The frozen classifier's probabilities, (N, classes), float64 on the CPU."""
    logits = list(conditioner.features(images).values())[-1]
    probabilities: Tensor = logits.cpu().double().softmax(1)
    return probabilities
