"""Which stages of a feature pyramid a generator is told, and where.

Shocher et al.: "Semantic Pyramid for Image Generation" (CVPR 2020), sections 3.1 and 3.2. `stages`
maps the stages' names, from fine to coarse, to the shape of one image's features: (C, H, W), or
(C,) of a fully connected stage. A stage that has no mask is masked wholly.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Shapes = Mapping[str, Sequence[int]]  # stage -> (C, H, W) or (C,), fine to coarse


def cell_mask(
    keep: Tensor,  # (N, 1, H, W) of any size, 1 where the image is kept, 0 inside the crop
    shape: Sequence[int],  # of a stage
) -> Tensor:
    """(N, 1, h, w), or (N, 1) of a vector: 1 where a cell saw nothing but kept pixels, else 0.

    A vector is one cell, as large as the image.
    """
    size = tuple(shape[1:]) or (1, 1)
    if min(keep.shape[2] // size[0], keep.shape[3] // size[1]) < 1:  # fewer pixels than cells
        keep = F.interpolate(keep, [max(a, b) for a, b in zip(keep.shape[2:], size, strict=True)])
    cells = -F.adaptive_max_pool2d(-(keep >= 0.5).float(), size)
    return cells if len(shape) > 1 else cells.flatten(1)


def level_masks(
    stages: Shapes,
    level: str,  # the stage that is fully on
    n: int,  # samples
    keep: Tensor | None = None,  # (N, 1, H, W), 0 inside the crop; None = that level alone
    device: torch.device | str | None = None,  # None = that of `keep`, else the CPU
) -> dict[str, Tensor]:
    """Masks of one level, or of one level inside a crop and all finer ones outside it.

    Section 3.2: for one layer the mask is fully on; for all layers closer to the image it is on
    except in the crop. Deeper ones are off, as are vectors that saw the crop: they have no mask.

    Raises:
        ValueError: there is no such stage; lists those there are.
    """
    names = list(stages)
    if level not in stages:
        raise ValueError(f"there is no level {level!r}: the levels are {', '.join(names)}")
    device = keep.device if device is None and keep is not None else device
    mask = torch.ones(n, 1, *[1] * (len(stages[level]) - 1), device=device)
    masks = {level: mask.expand(n, 1, *stages[level][1:])}
    if keep is None:
        return masks
    finer = names[: names.index(level)]
    spatial = [name for name in finer if len(stages[name]) > 1]
    return {name: cell_mask(keep.to(device), stages[name]) for name in spatial} | masks


def crops(
    numbers: Tensor,  # (N, 4) in [0, 1): height, width, top, left
    size: int,  # H = W of the mask, px
    smallest: float = 0.25,  # side of a crop as a share of the image's
    largest: float = 0.75,
) -> Tensor:
    """Masks (N, 1, size, size) that are 0 in a random rectangle, 1 outside it."""
    sides = (smallest + (largest - smallest) * numbers[:, :2]) * size  # (N, 2)
    starts = (size - sides) * numbers[:, 2:]
    at = torch.arange(size, device=numbers.device) + 0.5  # centres of the pixels
    inside = (at >= starts[..., None]) & (at < (starts + sides)[..., None])  # (N, 2, size)
    return 1 - (inside[:, 0, :, None] & inside[:, 1, None, :]).float()[:, None]
