"""What a semantic pyramid's generator descends besides its adversarial loss.

Shocher et al.: "Semantic Pyramid for Image Generation" (CVPR 2020), section 3.3. Bound to their
strengths, both have the call shape of terms on images that were drawn already:

    term(images, latents, condition, stages) -> scalar

`images` are as the discriminator takes them, (N, C, H, W) or a list of scales; these terms are of
the finest. `condition` is what the generator was told, and `stages(images)` gives the frozen
network's stages, fine to coarse, with a gradient.
"""

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from ganlab.losses.penalties import Images, scales

Stages = Callable[[Tensor], Mapping[str, Tensor]]  # images -> stage -> (N, C, H, W) or (N, C)
Standardize = Literal["concatenation", "kept"]  # over all of both maps, or what is compared of them


class Told(Protocol):
    """What a generator was told, as these losses read it."""

    @property
    def features(self) -> Mapping[str, Tensor] | None:
        """Stage -> (N, C, H, W) or (N, C)."""

    @property
    def masks(self) -> Mapping[str, Tensor] | None:
        """Stage -> (N, 1, H, W) or (N, 1) in {0, 1}; a stage that is fully masked has none."""


def windows(mask: Tensor) -> Tensor:
    """The 2x2 windows that are wholly on, (N, 1, H, W) -> (N, 1, H / 2, W / 2); the last may be
    smaller.
    """
    return -F.max_pool2d(-mask, 2, ceil_mode=True)


def standardize(
    a: Tensor,  # (N, C, ...)
    b: Tensor,  # the same
    mask: Tensor,  # (N, 1, ...) in {0, 1}: the entries that count
    eps: float = 1e-8,  # added to the variance
) -> tuple[Tensor, Tensor]:
    """Both maps less the mean of the two together, by their standard deviation, sample by sample.

    "Both the original feature maps and the reconstructed ones are normalized together": what
    makes the comparison blind to a global scale.
    """
    dims = tuple(range(1, a.ndim))
    count = 2 * a.shape[1] * mask.sum(dims, keepdim=True).clamp(min=1)
    mean = ((a + b) * mask).sum(dims, keepdim=True) / count
    squares = (((a - mean).square() + (b - mean).square()) * mask).sum(dims, keepdim=True)
    scale = (squares / count + eps).rsqrt()
    return (a - mean) * scale, (b - mean) * scale


def distance(
    original: Tensor,  # (N, C, H, W) or (N, C)
    generated: Tensor,  # the same
    mask: Tensor,  # (N, 1, H, W) or (N, 1) in {0, 1}
    over: Standardize = "concatenation",  # what mean and deviation are of, see `reconstruction`
) -> Tensor:
    """(N,) mean L1 distance of two stages where unmasked; of maps, of the strongest in 2x2 windows.

    A window that is partly masked is not compared. The mask multiplies the difference. A sample
    that is fully masked is at distance 0.
    """
    compared = mask if original.ndim == 2 else windows(mask)
    if over == "concatenation":
        counted = torch.ones_like(mask)
    elif original.ndim == 2:
        counted = mask
    else:  # entries of windows that are compared
        height, width = mask.shape[2:]
        counted = F.interpolate(compared, scale_factor=2.0)[..., :height, :width]
    a, b = standardize(original, generated, counted)
    if original.ndim > 2:
        a, b = (F.max_pool2d(each, 2, ceil_mode=True) for each in (a, b))
    difference = (a - b).abs() * compared
    count = original.shape[1] * compared.flatten(1).sum(1).clamp(min=1)
    return difference.flatten(1).sum(1) / count


def reconstruction(
    images: Images,
    latents: Tensor,
    condition: Told | None,
    stages: Stages,
    *,
    weight: float = 0.1,  # alpha
    standardize: Standardize = "kept",  # what runs had that do not say; model=semantic_pyramid does
) -> Tensor:
    """weight sum_l |C_l(x) - C_l(G(z))| m_l over the stages that were told (eq. 3).

    A stage's distance is a mean over its unmasked entries, and that of the batch over its samples;
    see `distance`. The paper leaves the scale open: both maps of a sample are standardized by
    the mean and the standard deviation of all that is in the two (`concatenation`, "normalized
    together"), or of the windows that a crop leaves to compare (`kept`). The two differ in crops;
    three seeds of faces and three of garments did not tell which has the lower FIDs of its levels
    (docs/semantic_pyramid.md), so the words of the paper decide.

    Raises:
        ValueError: nothing was told.
    """
    if condition is None or condition.masks is None or condition.features is None:
        raise ValueError("losses.reconstruction needs model.conditioner to tell features and masks")
    found = stages(scales(images)[-1])
    distances = [
        distance(condition.features[name], found[name], mask, standardize).mean()
        for name, mask in condition.masks.items()
    ]
    return weight * torch.stack(distances).sum()


def diversity(
    images: Images,
    latents: Tensor,  # (N, Z)
    condition: Told | None,
    stages: Stages,
    *,
    weight: float = 0.1,  # beta
    eps: float = 1e-8,  # added to the distance of images
) -> Tensor:
    """weight |z1 - z2| / (|G(z1) - G(z2)| + eps) over pairs that were told the same (eq. 4).

    Both distances are means over numbers. Sample i of the first half of the batch and sample i of
    the second half are a pair.

    Raises:
        ValueError: an odd number of samples.
    """
    finest = scales(images)[-1]
    if len(finest) % 2:
        raise ValueError(f"losses.diversity takes pairs, and the batch has {len(finest)} images")
    z1, z2 = latents.flatten(1).chunk(2)
    x1, x2 = finest.flatten(1).chunk(2)
    return weight * ((z1 - z2).abs().mean(1) / ((x1 - x2).abs().mean(1) + eps)).mean()
