"""Nearest neighbours and balls around points: exact, and in blocks of bounded memory.

Everything here means the Euclidean distance that float64 gives for the differences of two rows.
A float32 matrix product ranks all pairs; its rounding error is bounded, pair by pair, and whatever
that bound leaves open is decided by the differences. So no result depends on blocks, threads or
the device's matrix product, equal rows are at exactly 0, and an offset of all rows is harmless.
Besides `memory_mb` a call holds one float32 copy of the centres.
"""

import torch
from torch import Tensor

from ganlab.metrics.distance_bounds import DistanceBounds


def neighbour_radii(
    points: Tensor,  # (N, d)
    k: int,  # which neighbour, 1 = the nearest
    memory_mb: int = 64,  # bound on the distances held at once, MiB
) -> Tensor:
    """Distance from each point to its k-th nearest other point, (N,) float64.

    Raises:
        ValueError: no more than k points, or points that are not finite.
    """
    return nearest(points, points, k, memory_mb, exclude_self=True)[0][:, -1]


def nearest(
    points: Tensor,  # (M, d)
    centres: Tensor,  # (N, d)
    k: int = 1,  # neighbours of a point
    memory_mb: int = 64,  # bound on the distances held at once, MiB
    exclude_self: bool = False,  # both are one set, in which no point is its own neighbour
) -> tuple[Tensor, Tensor]:
    """The k nearest centres of each point: distances float64 and indices int64, (M, k) ascending.

    Of centres at equal distance the one of lower index comes first.

    Raises:
        ValueError: fewer than k candidates, unequal widths, or points that are not finite.
    """
    if not 1 <= k <= len(centres) - exclude_self:
        raise ValueError(f"no {k} nearest among {len(centres) - exclude_self} points: lower k")
    ranking = DistanceBounds(points, centres, memory_mb, exclude_self)
    distances = torch.empty(len(points), k, dtype=torch.float64, device=points.device)
    indices = torch.empty(len(points), k, dtype=torch.int64, device=points.device)
    for rows in ranking.blocks():
        distances[rows], indices[rows] = _nearest(ranking, rows, k)
    return distances, indices


def _nearest(ranking: DistanceBounds, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    def possible(low: Tensor, some: Tensor) -> tuple[Tensor, ...]:
        """Pairs whose lower bound is below the upper bounds of k pairs of the row."""
        lowest, order = low.topk(k, largest=False)
        width, widths = ranking.widths(some, low.dtype)
        limit = (lowest + width + widths[0, order]).amax(1, keepdim=True)
        return (low <= limit,)

    (doubtful,) = ranking.judged(ranking.low(rows), rows, possible)
    r, c = doubtful.nonzero(as_tuple=True)  # by row, then by column
    exact = ranking.exact(rows[r], c)
    order = exact.argsort(stable=True)
    order = order[r[order].argsort(stable=True)]  # by row, then distance, then column
    held = r.bincount(minlength=len(rows))
    first = (held.cumsum(0) - held)[:, None] + torch.arange(k, device=r.device)  # (R, k)
    return exact[order][first], c[order][first]


def is_inside(points: Tensor, centres: Tensor, radii: Tensor, memory_mb: int = 64) -> Tensor:
    """Whether each of (M, d) points lies in at least one ball around (N, d) centres, (M,) bool.

    `radii` are (N,) float64; the boundary belongs to its ball.
    """
    found = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    ranking = DistanceBounds(points, centres, memory_mb)
    for rows in ranking.blocks():
        found[rows] = ranking.held(ranking.low(rows), rows, _row(radii, centres)).any(1)
    return found


def inside_each_other(
    points: Tensor,  # (M, d)
    point_radii: Tensor,  # (M,) float64
    centres: Tensor,  # (N, d)
    centre_radii: Tensor,  # (N,) float64
    memory_mb: int = 64,  # bound on the distances held at once, MiB
) -> tuple[Tensor, Tensor]:
    """`is_inside` of points in balls around centres and the reverse, (M,) and (N,) bool.

    In one pass: the distances, which take nearly all the time, are computed once.
    """
    ours = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    theirs = torch.zeros(len(centres), dtype=torch.bool, device=points.device)
    ranking = DistanceBounds(points, centres, memory_mb)
    for rows in ranking.blocks():
        low = ranking.low(rows)
        ours[rows] = ranking.held(low, rows, _row(centre_radii, centres)).any(1)
        theirs |= ranking.held(low, rows, _row(point_radii, points).T).any(0)
    return ours, theirs


def balls_around(points: Tensor, centres: Tensor, radii: Tensor, memory_mb: int = 64) -> Tensor:
    """How many balls around (N, d) centres hold each of (M, d) points, (M,) int64."""
    found = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    ranking = DistanceBounds(points, centres, memory_mb)
    for rows in ranking.blocks():
        found[rows] = ranking.held(ranking.low(rows), rows, _row(radii, centres)).sum(1)
    return found


def smallest_ball(points: Tensor, centres: Tensor, radii: Tensor, memory_mb: int = 64) -> Tensor:
    """Radius of the smallest ball around (N, d) centres that holds each of (M, d) points, (M,).

    `radii` are (N,) float64, and so is what is found; infinite where no ball holds a point.
    """
    found = torch.full((len(points),), torch.inf, dtype=torch.float64, device=points.device)
    ranking, row = DistanceBounds(points, centres, memory_mb), _row(radii, centres)
    for rows in ranking.blocks():
        held = ranking.held(ranking.low(rows), rows, row)
        found[rows] = torch.where(held, row, torch.inf).amin(1)
    return found


def nearest_inside_ratio(
    points: Tensor,  # (M, d)
    centres: Tensor,  # (N, d)
    radii: Tensor,  # (N,) float64
    memory_mb: int = 64,  # bound on the distances held at once, MiB
) -> Tensor:
    """Largest radius / distance over the centres, (M,) float64: Kynkäänniemi et al. 2019, eq. 4.

    At least 1 exactly where `is_inside` is true, infinite at the centre of a ball with a radius.
    """
    found = torch.zeros(len(points), dtype=torch.float64, device=points.device)
    ranking = DistanceBounds(points, centres, memory_mb)
    for rows in ranking.blocks():
        r, c = _largest_ratios(ranking, rows, _row(radii, centres))
        distances = ranking.exact(rows[r], c)
        ratios = torch.where(distances <= 0, torch.inf, radii[c] / distances)
        ratios = torch.where((distances <= 0) & (radii[c] <= 0), 1.0, ratios)  # on the boundary
        found.scatter_reduce_(0, rows[r], ratios, "amax")
    return found


def _largest_ratios(ranking: DistanceBounds, rows: Tensor, radii: Tensor) -> tuple[Tensor, ...]:
    """Pairs (row in the block, column) among which is each row's largest ratio that is not 0."""

    def possible(low: Tensor, some: Tensor) -> tuple[Tensor, ...]:
        least, most = ranking.squares(radii, low.dtype)
        width, widths = ranking.widths(some, low.dtype)
        best = (least.clamp(min=0) / (low + width).add_(widths)).amax(1, keepdim=True)
        return ((low <= 0) | ((low * best <= most) & (radii > 0)),)

    (doubtful,) = ranking.judged(ranking.low(rows), rows, possible)
    return doubtful.nonzero(as_tuple=True)


def _row(radii: Tensor, centres: Tensor) -> Tensor:
    if radii.shape != centres.shape[:1]:
        raise ValueError(f"{len(centres)} balls came with radii of shape {tuple(radii.shape)}")
    if (radii < 0).any():
        raise ValueError("balls with negative radii")
    return radii.double()[None]
