"""Images changed before a discriminator sees them: moved, warped, recoloured, cut.

Each function takes (N, C, H, W) images of 1 px or more and (N, ...) numbers that say what becomes
of each sample, and has any number of derivatives by the images. Lengths are shares of the image's
sides, so that one draw serves every scale of a list. `blit`, `warp` and the matrices of
colour are those of Karras et al. 2020 (arXiv:2006.06676), appendix B; `shift_pixels`, `cut` and
`spread` those of Zhao et al. 2020 (arXiv:2006.10738), section 4.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import grid_sample

from ganlab.nn.transfer import to_device

# Appendix B.1: the low-pass filter of the symlet with 6 vanishing moments, orthogonal to itself
# moved by 2, 4, .., so that halving undoes doubling.
SYMLET = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
TAPS = len(SYMLET)
BILINEAR, REFLECTION = 0, 2  # as ATen numbers them


def mirror(index: Tensor, size: int) -> Tensor:
    """Whole positions of any size as those from 0 to size - 1 of an image that goes on mirrored."""
    around = index.remainder(2 * size)
    return torch.minimum(around, 2 * size - 1 - around)


def pixels(share: Tensor, size: int) -> Tensor:
    """Shares of a side as whole pixels, int64; halves upwards."""
    return torch.floor(share * size + 0.5).long()


def take_pixels(images: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """The pixels that stand at (N, H, W) rows and columns: (N, C, H, W)."""
    n, channels, _, width = images.shape
    index = (row * width + column).flatten(1)[:, None].expand(-1, channels, -1)
    return images.flatten(2).gather(2, index).view(n, channels, *row.shape[1:])


def places(images: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column of each pixel, (1, H, 1) and (1, 1, W)."""
    height, width = images.shape[2:]
    row = torch.arange(height, device=images.device)[None, :, None]
    return row, torch.arange(width, device=images.device)[None, None, :]


def per_image(numbers: Tensor) -> Tensor:
    """(N,) as (N, 1, 1)."""
    return numbers[:, None, None]


def blit(
    images: Tensor,
    flip: Tensor,  # (N,) bool: left and right exchanged
    turns: Tensor,  # (N,) int64, 0 to 3 quarters against the clock
    shift: Tensor,  # (N, 2) to the right and down, shares of width and height; to whole pixels
) -> Tensor:
    """Flip, turn, move, in this order: every pixel is one of the image's, which goes on mirrored.

    Karras et al. mirror without repeating the pixel at the edge; here it is repeated.
    """
    (height, width), (row, column) = images.shape[2:], places(images)
    # twice the distance from the middle is whole in images of even and of odd sides
    x = 2 * (column - per_image(pixels(shift[:, 0], width))) - (width - 1)  # (N, 1, W)
    y = 2 * (row - per_image(pixels(shift[:, 1], height))) - (height - 1)  # (N, H, 1)
    quarters = to_device(torch.tensor([1, 0, -1, 0]), images.device)
    cosine, sine = per_image(quarters[turns]), per_image(quarters[turns - 1])
    x, y = cosine * x - sine * y, sine * x + cosine * y
    x = torch.where(per_image(flip), -x, x)
    from_row, from_column = (y + height - 1) // 2, (x + width - 1) // 2
    return take_pixels(images, mirror(from_row, height), mirror(from_column, width))


def matrices(rows: Sequence[Sequence[Tensor | float]]) -> Tensor:
    """(N, K, K) of K rows of numbers, (N,) or the same for all; one of them at least is (N,)."""
    like = next(number for row in rows for number in row if isinstance(number, Tensor))

    def number(value: Tensor | float) -> Tensor:
        return value if isinstance(value, Tensor) else torch.full_like(like, value)

    return torch.stack([torch.stack([number(v) for v in row], dim=-1) for row in rows], dim=-2)


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """(N, 3, 3): a plane stretched by x across and by y down."""
    return matrices([[x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, 1.0]])


def rotation(angle: Tensor) -> Tensor:
    """(N, 3, 3): a plane turned by (N,) radians, from right to down."""
    cosine, sine = angle.cos(), angle.sin()
    return matrices([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def translation(x: Tensor, y: Tensor) -> Tensor:
    """(N, 3, 3): a plane moved by x to the right and by y down."""
    return matrices([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


class Sampling(Function):
    """Images read between their pixels, mirrored beyond their edges.

    As `grid_sample` does, which not every version and device differentiates twice; it is linear in
    the images, so that its derivatives are itself and its adjoint.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: Tensor) -> Tensor:
        """(N, C, H, W), (N, H', W', 2) in [-1, 1] from edge to edge -> (N, C, H', W')."""
        ctx.save_for_backward(grid)
        ctx.size = x.shape
        return grid_sample(x, grid, "bilinear", "reflection", align_corners=False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """The adjoint, which can be differentiated again; none by the grid."""
        (grid,) = ctx.saved_tensors
        return Painting.apply(gradient, grid, ctx.size), None


class Painting(Function):
    """Adjoint of `Sampling`: every number goes to the pixels that it was read from."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: Tensor, size: torch.Size) -> Tensor:
        """(N, C, H', W') -> (N, C, *size)."""
        ctx.save_for_backward(grid)
        paint, which = torch.ops.aten.grid_sampler_2d_backward, [True, False]
        shape = x.new_zeros(size)
        painted: Tensor = paint(x, shape, grid, BILINEAR, REFLECTION, False, which)[0]
        return painted

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """`Sampling` again."""
        (grid,) = ctx.saved_tensors
        return Sampling.apply(gradient, grid), None, None


@cache
def doubling(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(2 S, S): a line of pixels low-pass filtered at twice the density, mirrored at its ends."""
    line = torch.zeros(2 * size, size, dtype=torch.float64)
    fine = torch.arange(2 * size)
    for tap, weight in enumerate(SYMLET):
        # a tap of pixel i stands at 2 i + tap - (TAPS / 2 - 1)
        away = fine + TAPS // 2 - 1 - tap
        some = fine[away % 2 == 0]
        whole = mirror(away[some] // 2, size)
        amount = torch.full((len(some),), math.sqrt(2) * weight, dtype=torch.float64)
        line.index_put_((some, whole), amount, accumulate=True)
    return line.to(dtype).to(device)


@cache
def halving(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(S, 2 S + TAPS - 2): every second place of such a line, low-pass filtered."""
    line = torch.zeros(size, 2 * size + TAPS - 2, dtype=torch.float64)
    for tap, weight in enumerate(SYMLET):
        line[range(size), range(tap, 2 * size + tap, 2)] = weight / math.sqrt(2)
    return line.to(dtype).to(device)


def targets(images: Tensor, inverse: Tensor) -> Tensor:
    """(N, 2 H + TAPS - 2, 2 W + TAPS - 2, 2): where a warped image is read, as `Sampling` asks."""
    height, width = images.shape[2:]
    like: Any = {"dtype": inverse.dtype, "device": inverse.device}
    x, y = (
        ((torch.arange(2 * side + TAPS - 2, **like) - (TAPS - 1) / 2) / 2 - (side - 1) / 2) / width
        for side in (width, height)
    )
    x, y = x[None, None, :], y[None, :, None]  # shares of the width, from the middle
    (a, b, c), (d, e, f) = (inverse[:, row, :, None, None].unbind(1) for row in (0, 1))
    across, down = a * x + b * y + c, d * x + e * y + f
    return torch.stack([2 * across, 2 * down * width / height], dim=-1)


def warp(
    images: Tensor,
    inverse: Tensor,  # (N, 3, 3): place in the result -> place in the image, shares of the width
) -> Tensor:
    """One resampling with the filter of appendix B.1: doubled, read at twice the density, halved.

    The image goes on mirrored without end, at its doubled pixels; Karras et al. pad it by mirroring
    until one image's size and with zeros beyond.
    """
    height, width = images.shape[2:]
    of = (images.dtype, images.device)
    fine = doubling(height, *of) @ images @ doubling(width, *of).T
    read: Tensor = Sampling.apply(fine, targets(images, inverse.to(images)))
    return halving(height, *of) @ read @ halving(width, *of).T


def brightness(change: Tensor) -> Tensor:
    """(N, 4, 4): (N,) added to each colour."""
    return matrices(
        [
            [1.0, 0.0, 0.0, change],
            [0.0, 1.0, 0.0, change],
            [0.0, 0.0, 1.0, change],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def contrast(factor: Tensor) -> Tensor:
    """(N, 4, 4): each colour (N,) times as far from grey, 0."""
    return matrices(
        [
            [factor, 0.0, 0.0, 0.0],
            [0.0, factor, 0.0, 0.0],
            [0.0, 0.0, factor, 0.0],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def identity(like: Tensor) -> Tensor:
    """(4, 4)."""
    return torch.eye(4, dtype=like.dtype, device=like.device)


def luma(like: Tensor) -> Tensor:
    """(4, 4): onto the axis of greys, v v^T with v = (1, 1, 1, 0) / sqrt 3."""
    axis = to_device(torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=like.dtype), like.device)
    return torch.outer(axis, axis) / 3


def luma_flip(flip: Tensor) -> Tensor:
    """(N, 4, 4): light and dark exchanged where the (N,) number is 1: I - 2 v v^T."""
    return identity(flip) - 2 * luma(flip) * per_image(flip)


def hue(angle: Tensor) -> Tensor:
    """(N, 4, 4): colours turned by (N,) radians about the axis of greys."""
    cosine, sine = angle.cos(), angle.sin() / math.sqrt(3)
    across = (1 - cosine) / 3
    same, forth, back = cosine + across, across + sine, across - sine
    return matrices(
        [
            [same, back, forth, 0.0],
            [forth, same, back, 0.0],
            [back, forth, same, 0.0],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def saturation(factor: Tensor) -> Tensor:
    """(N, 4, 4): colours (N,) times as far from the axis of greys: v v^T + (I - v v^T) s."""
    onto = luma(factor)
    return onto + (identity(factor) - onto) * per_image(factor)


def recolour(images: Tensor, matrix: Tensor) -> Tensor:
    """Colours by (N, 4, 4) matrices; other than 3 channels change alike, by the mean of the rows.

    As Karras et al.'s code has it for one channel.
    """
    matrix = matrix.to(images)
    if images.shape[1] == 3:
        changed = matrix[:, :3, :3] @ images.flatten(2) + matrix[:, :3, 3:]
        return changed.view_as(images)
    line = matrix[:, :3].mean(dim=1)  # (N, 4)
    return images * per_image(line[:, :3].sum(dim=1))[:, None] + per_image(line[:, 3])[:, None]


def spread(
    images: Tensor,
    factor: Tensor,  # (N,)
    over: Sequence[int],  # dimensions whose mean stays
) -> Tensor:
    """Values so many times as far from their mean: saturation over (1,), contrast over all."""
    mean = images.mean(dim=tuple(over), keepdim=True)
    return (images - mean) * per_image(factor)[:, None].to(images) + mean


def shift_pixels(
    images: Tensor,
    shift: Tensor,  # (N, 2) to the right and down, shares of width and height; to whole pixels
) -> Tensor:
    """Moved, and 0 where nothing comes from."""
    (height, width), (row, column) = images.shape[2:], places(images)
    row = (row - per_image(pixels(shift[:, 1], height))).expand(-1, -1, width)
    column = (column - per_image(pixels(shift[:, 0], width))).expand(-1, height, -1)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    found = take_pixels(images, row.clamp(0, height - 1), column.clamp(0, width - 1))
    return found * inside[:, None]


def cut(
    images: Tensor,
    middle: Tensor,  # (N, 2) in [0, 1), across and down: where the hole is
    share: float,  # of the sides, those of the hole
) -> Tensor:
    """A rectangle of 0, of which at the edges a part may lie outside."""
    hole = torch.ones((), dtype=torch.bool, device=images.device)
    for place, axis in zip(places(images), (1, 0), strict=True):
        size = place.numel()
        side = int(size * share + 0.5)
        first = (middle[:, axis] * (size + 1 - side % 2)).long() - side // 2
        hole = hole & (place >= per_image(first)) & (place < per_image(first + side))
    return images * ~hole[:, None]
