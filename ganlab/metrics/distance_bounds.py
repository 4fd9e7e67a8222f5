"""Bounds on distances from float32 matrix products, and the float64 distances they stand for."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property

import torch
from torch import Tensor

Masks = tuple[Tensor, ...]
INNER = 2048  # terms summed by one matrix product: its error bound grows with them
CROWD = 256  # open pairs of one row from which a float64 product is worth its time
MANY = 2**16  # open pairs from which it is worth looking for equal rows among them
UNIT = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}  # rounding error of one operation


class DistanceBounds:
    """Lower bounds on the squared distances of points to centres, a block of rows at a time.

    Rows are moved to the centres' mean and scaled by a power of 2, which no distance notices.
    For each pair |bound - distance^2| is at most a sum of a term of the row and one of the column.
    """

    def __init__(
        self,
        points: Tensor,  # (M, d), any real type: pixels may stay bytes
        centres: Tensor,  # (N, d)
        memory_mb: int,  # bound on the temporary matrices, MiB
        exclude_self: bool = False,  # pair i, i is at infinity
    ) -> None:
        _check(points, centres, memory_mb)
        self.points, self.centres, self.exclude_self = points, centres, exclude_self
        self.memory = memory_mb * 2**20
        self.origin = _mean(centres)
        self.scale = self._scale()
        self.columns = torch.empty(centres.shape, dtype=torch.float32, device=centres.device)
        self.column_norms = self._norms(centres, self.columns)
        self.row_norms = self.column_norms if points is centres else self._norms(points)

    def _scale(self) -> float:
        """A power of 2 that brings the largest coordinate to about 1, far from under- and overflow.

        Raises:
            ValueError: a coordinate that is not a finite number.
        """
        sets = [points for points in (self.points, self.centres) if points.numel()]
        ends = [end(0).double() - self.origin for x in sets for end in (x.amin, x.amax)]
        largest = max((float(end.abs().max()) for end in ends), default=0.0)
        if not math.isfinite(largest):
            raise ValueError("neighbours of features that are not finite numbers")
        return math.ldexp(1.0, -max(-1000, min(1000, math.frexp(largest)[1])))

    def _moved(self, points: Tensor) -> Tensor:
        return (points.double() - self.origin) * self.scale

    def _norms(self, points: Tensor, single: Tensor | None = None) -> Tensor:
        """Squared norms of the moved points, (N,) float64; the points themselves go to `single`."""
        norms = torch.empty(len(points), dtype=torch.float64, device=points.device)
        for rows in _slices(points):
            moved = self._moved(points[rows])
            norms[rows] = moved.square().sum(1)
            if single is not None:
                single[rows] = moved.float()
        return norms

    def blocks(self) -> Iterator[Tensor]:
        """Indices of rows, ascending, so many at a time as the memory bound allows."""
        num, width = self.centres.shape
        size = max(1, self.memory // max(1, 16 * num + 12 * width))  # bytes of a row's temporaries
        return iter(torch.arange(len(self.points), device=self.points.device).split(size))

    def low(self, rows: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Lower bounds on the scaled squared distances of these rows to all centres, (R, N)."""
        relative, _ = self._error(dtype)
        bound = self._products(rows, dtype).mul_(-2)
        bound += ((1 - relative) * self.row_norms[rows, None]).to(dtype)
        bound += ((1 - relative) * self.column_norms - self._error(dtype)[1]).to(dtype)
        if self.exclude_self:
            bound[torch.arange(len(rows), device=rows.device), rows] = torch.inf
        return bound

    def widths(self, rows: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """What to add to a lower bound for the upper one: a term (R, 1) and a term (1, N)."""
        relative, absolute = self._error(dtype)
        width = 2 * relative * self.row_norms[rows, None]
        return width.to(dtype), (2 * relative * self.column_norms + 2 * absolute)[None].to(dtype)

    def _error(self, dtype: torch.dtype) -> tuple[float, float]:
        """(e, t) with |bound - distance^2| <= e (|x|^2 + |c|^2) + t, see Higham 2002, section 3.1.

        With u the rounding unit, v that of float64 and n the longest chain of additions:
        2 x.c as a matrix product, in any order          n u / (1 - n u) (|x|^2 + |c|^2)
        rounding the moved points to u, their norms      12 u (|x|^2 + |c|^2)
        adding the norms, here and in upper bounds        9 u (|x|^2 + |c|^2)
        the norms, and the distance by differences       3 (d + 16) v (|x|^2 + |c|^2)
        """
        unit, width = UNIT[dtype], self.points.shape[1]
        chain = (min(width, INNER) + math.ceil(width / INNER) + 32) * unit
        relative = 1.05 * (chain / (1 - chain) + 3 * (width + 16) * UNIT[torch.float64])
        return relative, 64 * (width + 64) * torch.finfo(dtype).tiny  # t: products that underflow

    def _products(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        moved = self._moved(self.points[rows])
        with full_precision(rows.device):
            if dtype == torch.float32:
                return _product(moved.float(), self.columns)
            size = max(64, self.memory // (32 * max(1, self.points.shape[1])))
            parts = [_product(moved, self._moved(c)) for c in self.centres.split(size)]
        return torch.cat(parts, 1)

    def judged(self, low: Tensor, rows: Tensor, judge: Callable[[Tensor, Tensor], Masks]) -> Masks:
        """`judge(low, rows)`, masks (R, N) of which the first marks open pairs.

        Rows with a crowd of open pairs are judged again by bounds of a float64 product.
        """
        masks = judge(low, rows)
        crowded = masks[0].nonzero()[:, 0].bincount(minlength=len(rows)) > CROWD
        if not crowded.any():
            return masks
        for part in crowded.nonzero()[:, 0].split(max(1, len(rows) // 2)):
            finer = judge(self.low(rows[part], torch.float64), rows[part])
            for mask, better in zip(masks, finer, strict=True):
                mask[part] = better
        return masks

    def held(self, low: Tensor, rows: Tensor, radii: Tensor) -> Tensor:
        """Whether each distance is at most its radius, (R, N) bool; `radii` (1, N) or (M, 1)."""

        def compared(low: Tensor, some: Tensor) -> Masks:
            least, most = self.squares(radii if len(radii) == 1 else radii[some], low.dtype)
            width, widths = self.widths(some, low.dtype)
            sure = (low + width).add_(widths) <= least
            return (low <= most) & ~sure, sure

        doubtful, sure = self.judged(low, rows, compared)
        r, c = doubtful.nonzero(as_tuple=True)
        reach = radii.expand(len(self.points), len(self.centres))[rows[r], c]
        sure[r, c] = self.exact(rows[r], c) <= reach
        return sure

    def squares(self, radii: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Bounds on the scaled squares of radii, which absorb their rounding to `dtype`."""
        relative, absolute = 16 * UNIT[dtype], self._error(dtype)[1]
        square = (radii * self.scale).square()
        least, most = square * (1 - relative) - absolute, square * (1 + relative) + absolute
        return least.to(dtype), most.to(dtype)

    def exact(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Distances of pairs by differences in float64, (P,)."""
        if len(rows) <= MANY:
            return _pair_distances(self.points, self.centres, rows, columns)
        ours, theirs = self._twins
        pairs = ours[rows] * len(self.centres) + theirs[columns]
        pairs, which = pairs.unique(return_inverse=True)  # repeated images cost one distance
        rows, columns = pairs // len(self.centres), pairs % len(self.centres)
        return _pair_distances(self.points, self.centres, rows, columns)[which]

    @cached_property
    def _twins(self) -> tuple[Tensor, Tensor]:
        ours = _first_equal(self.points)
        return ours, ours if self.points is self.centres else _first_equal(self.centres)


def _check(points: Tensor, centres: Tensor, memory_mb: int) -> None:
    if points.ndim != 2 or centres.ndim != 2 or points.shape[1] != centres.shape[1]:
        shapes = f"{tuple(points.shape)} and {tuple(centres.shape)}"
        raise ValueError(f"neighbours need two sets of rows of one width, not {shapes}")
    if memory_mb < 0:
        raise ValueError(f"memory_mb={memory_mb}: a bound on memory cannot be negative")


def _slices(points: Tensor) -> Iterator[slice]:
    """So few rows at a time that their float64 copies take 4 MiB."""
    size = max(1, 2**19 // max(1, points.shape[1]))
    return (slice(start, start + size) for start in range(0, len(points), size))


def _mean(points: Tensor) -> Tensor:
    total = torch.zeros(points.shape[1], dtype=torch.float64, device=points.device)
    for rows in _slices(points):
        total += points[rows].double().sum(0)
    return total / max(1, len(points))


def _product(rows: Tensor, columns: Tensor) -> Tensor:
    """rows @ columns.T, (R, N), with bounded chains of additions."""
    first, *rest = zip(rows.split(INNER, 1), columns.split(INNER, 1), strict=True)
    total: Tensor = first[0] @ first[1].T
    for ours, theirs in rest:
        total += ours @ theirs.T
    return total


def _pair_distances(points: Tensor, centres: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Distance of points[rows[i]] and centres[columns[i]]; a pair's never depends on the others."""
    size = max(1, 2**18 // max(1, points.shape[1]))  # fits a cache
    found = torch.empty(len(rows), 1, 1, dtype=torch.float64, device=points.device)
    for out, r, c in zip(found.split(size), rows.split(size), columns.split(size), strict=True):
        ours, theirs = (x.index_select(0, i).double() for x, i in ((points, r), (centres, c)))
        by_differences = "donot_use_mm_for_euclid_dist"
        out[:] = torch.cdist(ours[:, None], theirs[:, None], compute_mode=by_differences)
    return found.flatten()


def _first_equal(points: Tensor) -> Tensor:
    """Index of the first row that equals each row, (N,) int64."""
    _, kind = points.unique(dim=0, return_inverse=True)
    first = torch.full_like(kind, len(kind))
    return first.scatter_reduce(0, kind, torch.arange(len(kind), device=kind.device), "amin")[kind]


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Matrix products in the precision of their operands: no TF32, bfloat16 or autocast."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
