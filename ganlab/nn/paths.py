"""Paths through latent space, and how evenly images change along them.

points = walked(starts, ends, 9, "spherical")          # (N, 9, Z), first and last exactly the ends
images = torch.stack([paint(points[:, t], addresses) for t in range(9)], dim=1)
steps = step_lengths(images)                           # (N, 8)
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

WALKS = ("linear", "spherical")


def positions(num_steps: int) -> Tensor:
    """`num_steps` points from 0 to 1, both included, (T,) float64.

    Raises:
        ValueError: fewer than two.
    """
    if num_steps < 2:
        raise ValueError(f"a path has at least 2 points, not {num_steps}")
    return torch.linspace(0, 1, num_steps, dtype=torch.float64)


def great_circle(start: Tensor, end: Tensor, at: Tensor) -> Tensor:
    """Points on the great circle between directions, their lengths interpolated: (N, Z) each.

    Karras et al. 2019, eq. 2. Their latents are normalized afterwards, so that only the direction
    matters; other generators need the length kept.
    """
    a, b = F.normalize(start, dim=1), F.normalize(end, dim=1)
    angle = (a * b).sum(1, keepdim=True).clamp(-1, 1).acos()
    beside = F.normalize(b - a * (a * b).sum(1, keepdim=True), dim=1)  # orthogonal to a
    direction = a * (at * angle).cos() + beside * (at * angle).sin()
    length = torch.lerp(start.norm(dim=1, keepdim=True), end.norm(dim=1, keepdim=True), at)
    return direction * length


def lerp(start: Tensor, end: Tensor, at: float) -> Tensor:
    """The point at `at` of the straight line, exact at both ends; any shape."""
    if at in (0, 1):
        return (end if at else start).clone()
    return torch.lerp(start.double(), end.double(), at).to(start)


def slerp(start: Tensor, end: Tensor, at: float) -> Tensor:
    """The same on the great circle, vector by vector along the last dimension.

    The direction turns evenly and the length goes evenly from one end's to the other's: where both
    ends have the same norm, so has every point.
    """
    if at in (0, 1):
        return (end if at else start).clone()
    a, b = (x.double().reshape(-1, x.shape[-1]) for x in (start, end))
    points = great_circle(a, b, torch.full((len(a), 1), at, dtype=torch.float64))
    return points.reshape(start.shape).to(start)


def between_three(
    corners: tuple[Tensor, Tensor, Tensor],  # of one shape
    at: float,  # from the first to the second
    third: float,  # from there to the third
    walk: str = "linear",  # or spherical
) -> Tensor:
    """A point between three, exact at each: straight ways mix them by barycentric weights,

    (1 - at)(1 - third), at (1 - third) and third; great circles meet at the third.
    """
    step = lerp if walk == "linear" else slerp
    first, second, last = corners
    return step(step(first, second, at), last, third)


def walk_path(
    start: Tensor,  # (N, Z) latents or (N, L, W) styles
    end: Tensor,  # of the same shape
    num_steps: int,  # points of each path, both ends included
    walk: str = "linear",  # or spherical
) -> Tensor:
    """Points of N paths, (N, T, ...); the first and last are the ends, bit for bit.

    Raises:
        ValueError: an unknown walk, ends of different shapes, or fewer than two points.
    """
    if walk not in WALKS or start.shape != end.shape:
        raise ValueError(
            f"a walk is {' or '.join(WALKS)} between equal shapes, not {walk} between "
            f"{tuple(start.shape)} and {tuple(end.shape)}"
        )
    step = lerp if walk == "linear" else slerp
    return torch.stack([step(start, end, float(at)) for at in positions(num_steps)], dim=1)


def closed_path(
    stops: Tensor,  # (K, Z) latents or (K, L, W) styles
    num_steps: int,  # points of the loop
    walk: str = "linear",  # or spherical
) -> Tensor:
    """A closed path through all stops in turn, at even times, (T, ...): one step after the last
    point it is at the first one, which is the first stop, bit for bit.

    Raises:
        ValueError: an unknown walk, no stop, or fewer points than stops.
    """
    count = len(stops)
    if walk not in WALKS or not 0 < count <= num_steps:
        raise ValueError(
            f"a walk is {' or '.join(WALKS)} through at most as many stops as it has points, not "
            f"{walk} of {num_steps} through {count}"
        )
    step = lerp if walk == "linear" else slerp
    ends = stops.roll(-1, 0)
    legs = [divmod(i * count, num_steps) for i in range(num_steps)]  # leg, and how far on it
    return torch.stack([step(stops[leg], ends[leg], done / num_steps) for leg, done in legs])


def step_lengths(points: Tensor) -> Tensor:
    """Root mean square difference of neighbours on N paths, (N, T, ...) -> (N, T-1) float64."""
    flat = points.double().flatten(2)  # (N, T, numbers)
    return (flat[:, 1:] - flat[:, :-1]).square().mean(2).sqrt()


def end_to_end(points: Tensor) -> Tensor:
    """Root mean square difference of a path's two ends, (N, T, ...) -> (N,) float64."""
    return step_lengths(points[:, [0, -1]])[:, 0]


@dataclass(frozen=True)
class Smoothness:
    """How evenly N paths change, as means over the paths."""

    mean_step: float
    largest_step: float
    unevenness: float  # largest step per mean step: 1 = all equal, T-1 = one jump
    detour: float  # length per end-to-end distance: 1 = as short as a cross-fade


def smoothness(points: Tensor) -> Smoothness:
    """Smoothness of paths of images or features, (N, T, ...).

    Unevenness and detour are NaN where nothing changes at all.
    """
    steps, straight = step_lengths(points), end_to_end(points)
    mean, largest, length = steps.mean(1), steps.max(1).values, steps.sum(1)
    found = (mean, largest, largest / mean, length / straight)
    return Smoothness(*(float(each.mean()) for each in found))
