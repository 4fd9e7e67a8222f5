"""Sliced Wasserstein distance of image patches, the score of ProGAN.

Karras et al. 2018, arXiv 1710.10196, section 5 and Table 1; Rabin et al. 2011 (the distance); Burt
and Adelson 1983 (the pyramid, with their 5-tap filter of a = 3/8).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ganlab.metrics.distance_bounds import full_precision
from ganlab.metrics.points import StoredPoints
from ganlab.nn.randomness import keyed_generator

PATCH = 7  # px, side of a patch
UNIT = 1e3  # distances are published times a thousand


class SlicedWasserstein(StoredPoints):
    """SWD of 7x7 patches at each level of a Laplacian pyramid, times a thousand; 0 for equal sets.

    Low at 16 px: alike in large structure; at the finest level: alike in texture and noise. Patch
    positions and projections are addressed by key. The images are kept as bytes; `compute` holds
    the patches of one level, 196 * C * patches_per_image bytes an image.
    """

    higher_is_better = False
    parts = None

    def __init__(
        self,
        patches_per_image: int = 128,  # patches of an image at each level
        num_projections: int = 512,  # directions patches are projected on
        min_resolution: int = 16,  # no level is smaller, px
        memory_mb: int = 256,  # bound on the projections held at once, MiB
    ) -> None:
        super().__init__("pixels")
        if min(patches_per_image, num_projections) < 1 or min_resolution < PATCH or memory_mb < 0:
            raise ValueError(
                "SWD needs patches_per_image, num_projections >= 1, memory_mb >= 0 and "
                f"min_resolution >= {PATCH}"
            )
        self.patches_per_image, self.num_projections = patches_per_image, num_projections
        self.min_resolution, self.memory_mb = min_resolution, memory_mb
        finest = "" if min_resolution == 16 else f"_from{min_resolution}px"
        published = (patches_per_image, num_projections) == (128, 512)
        drawn = "" if published else f"p{patches_per_image}x{num_projections}"
        self.protocol = (drawn + finest).removeprefix("_")

    def check_sizes(self, num_real: int | None, num_fake: int) -> None:
        """Raise ValueError where the sets differ in size and sorted projections do not pair."""
        if num_real not in (None, num_fake):
            raise ValueError(
                f"SWD compares equally many images, not {num_fake} with {num_real}: "
                "set metrics.num_real and metrics.num_fake alike"
            )

    def check_resolution(self, resolution: int) -> None:
        """Raise ValueError where an image of this side holds no patch."""
        if resolution < PATCH:
            raise ValueError(f"SWD needs images of at least {PATCH} px, not {resolution}")

    def compute(self) -> dict[str, Tensor]:
        """`swd_16px` and so on by level, and `swd`, their mean; float64."""
        real, fake = self.images("real"), self.images("fake")
        self.check_sizes(len(real), len(fake))
        sizes = level_sizes(real.shape[-1], self.min_resolution)
        found = {
            f"swd_{size}px": self.at_level(real, fake, size, lowest=size == sizes[-1])
            for size in reversed(sizes)
        }
        return {**found, "swd": torch.stack(list(found.values())).mean()}

    def images(self, side: str) -> Tensor:
        """The kept images by ascending index, (N, C, H, W) uint8.

        Raises:
            ValueError: images that are not square, or smaller than a patch.
        """
        shape = torch.as_tensor(self.metric_state[f"{side}_shape"]).tolist()
        self.check_resolution(shape[1])
        if shape[1] != shape[2]:
            raise ValueError(f"SWD needs square images, not of {shape[1]}x{shape[2]} px")
        patches: Tensor = self.rows(side).unflatten(1, shape)
        return patches

    def at_level(self, real: Tensor, fake: Tensor, size: int, lowest: bool) -> Tensor:
        """The distance at the level of this size, px."""
        real_patches = patches(real, size, lowest, self.patches_per_image)
        fake_patches = patches(fake, size, lowest, self.patches_per_image)
        bounds = self.num_projections, self.memory_mb
        return UNIT * sliced_distance(real_patches, fake_patches, *bounds)


def level_sizes(resolution: int, min_resolution: int = 16) -> list[int]:
    """Sizes of a pyramid's levels, fine to coarse: halved while even and not below the minimum."""
    sizes = [resolution]
    while sizes[-1] % 2 == 0 and sizes[-1] // 2 >= min_resolution:
        sizes.append(sizes[-1] // 2)
    return sizes


def level(
    images: Tensor,  # (N, C, H, H)
    size: int,  # of the level, px: H halved some times
    lowest: bool,  # whether what is left below is part of it
) -> Tensor:
    """One level of a Laplacian pyramid, (N, C, size, size)."""
    while images.shape[-1] > size:
        images = halve(images)
    return images if lowest else images - double(halve(images))


def halve(images: Tensor) -> Tensor:
    """REDUCE of Burt and Adelson, eq. 1: (N, C, H, H) -> (N, C, H/2, H/2)."""
    return _filtered(images)[..., ::2, ::2]


def double(images: Tensor) -> Tensor:
    """EXPAND of Burt and Adelson, eq. 2: (N, C, H, H) -> (N, C, 2H, 2H)."""
    n, channels, height, width = images.shape
    spread = images.new_zeros(n, channels, 2 * height, 2 * width)
    spread[..., ::2, ::2] = 4 * images  # three of four pixels are 0
    return _filtered(spread)


def _filtered(images: Tensor) -> Tensor:
    """5x5 binomial filter; the border is mirrored without repeating its pixels."""
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=images.dtype, device=images.device) / 16
    channels = images.shape[1]
    weight = taps.outer(taps).expand(channels, 1, 5, 5)
    return F.conv2d(F.pad(images, (2, 2, 2, 2), mode="reflect"), weight, groups=channels)


def patches(
    images: Tensor,  # (N, C, H, H)
    size: int,  # of the pyramid's level, px
    lowest: bool,  # whether it is the coarsest level
    num: int = 128,  # patches an image
    batch_size: int = 100,  # images at once
) -> Tensor:
    """Normalized patches at keyed positions of one level, (N * num, 49 * C) float32.

    Each colour channel has mean 0 and deviation 1 over the whole set (section 5).
    """
    generator = keyed_generator("swd positions", size)
    highest = size - PATCH + 1
    corners = torch.randint(highest, (len(images), num, 2), generator=generator)
    corners = corners.to(images.device)
    found = [
        _cut(level(batch.float(), size, lowest), corner)
        for batch, corner in zip(images.split(batch_size), corners.split(batch_size), strict=True)
    ]
    return _normalized(torch.cat(found)).flatten(1)


def _cut(maps: Tensor, corners: Tensor) -> Tensor:
    """Patches of (N, C, H, H) with these (N, P, 2) upper left corners, (N * P, 7, 7, C)."""
    steps = torch.arange(PATCH, device=maps.device)
    rows = corners[..., 0, None, None] + steps[:, None]  # (N, P, 7, 1)
    columns = corners[..., 1, None, None] + steps  # (N, P, 1, 7)
    image = torch.arange(len(maps), device=maps.device)[:, None, None, None]
    return maps.permute(0, 2, 3, 1)[image, rows, columns].flatten(0, 1)


def _normalized(found: Tensor) -> Tensor:
    """Patches (M, 7, 7, C) with mean 0 and deviation 1 in each channel; a constant one is 0."""
    flat = found.flatten(0, 2)  # (M * 49, C)
    deviation, mean = torch.std_mean(flat, 0, correction=0)
    return found.sub_(mean).div_(torch.where(deviation > 0, deviation, 1.0))


def sliced_distance(
    points_a: Tensor,  # (M, d)
    points_b: Tensor,  # (M, d), equally many
    num_projections: int = 512,
    memory_mb: int = 256,  # bound on the projections held at once, MiB
    power: int = 1,  # p
) -> Tensor:
    """Mean over keyed directions of the p-Wasserstein distance of projections to the p; float64.

    On a line it is the mean distance of the sorted values, to the p.
    """
    directions = _directions(points_a.shape[1], num_projections).to(points_a)
    parts = [
        (_sorted(points_a, some) - _sorted(points_b, some)).abs_().double().pow(power).mean(0)
        for some in directions.split(_columns(len(points_a), memory_mb), dim=1)
    ]
    return torch.cat(parts).mean()


def _directions(width: int, num: int) -> Tensor:
    """Uniform unit vectors as columns, (width, num) float32."""
    drawn = torch.randn(width, num, generator=keyed_generator("swd directions", width))
    return F.normalize(drawn, dim=0)


def _sorted(points: Tensor, directions: Tensor) -> Tensor:
    """Projections in ascending order down each column, (M, number of directions)."""
    with full_precision(points.device):
        return (directions.T @ points.T).sort(1).values.T


def _columns(rows: int, memory_mb: int) -> int:
    return max(1, memory_mb * 2**20 // (6 * 4 * rows))  # six float32 copies live at a time
