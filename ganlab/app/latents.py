"""The tab of latents: between two images, one with another's styles, sums, and directions."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import torch
from torch import Tensor

from ganlab.app.commands import Value, addresses_text, command
from ganlab.app.samples import chosen_indices
from ganlab.app.session import How, Session
from ganlab.app.view import View, enlarged
from ganlab.nn.paths import WALKS, between_three, lerp, slerp
from ganlab.report.figures import npz
from ganlab.report.images import captioned_rows
from ganlab.sampling import Sampler
from ganlab.storage.atomic import replace_file
from ganlab.studies.latents.arithmetic import displace, displacement
from ganlab.studies.latents.components import Components, find_components, moved, read_direction
from ganlab.studies.latents.style_mixing import bands_of, mixed_row

CELL = 128  # pixels: height of images side by side
COMPONENTS = 10  # directions that are found at once
NUM_LATENTS = 2000  # that they are found on, as in `study=directions`
ENDS = 3.0  # deviations: how far its command moves


def walks(session: Session, space: str) -> list[str]:
    """Ways between two points of a space; a cube has no great circles."""
    cube = session.generator.prior != "normal" and space == "z"
    return [walk for walk in WALKS if not (cube and walk == "spherical")]


def values_of(sampler: Sampler, indices: Sequence[int], space: str) -> Tensor:
    """Latents (N, Z), or styles (N, L, W), of addresses."""
    return sampler.styles(indices) if space == "w" else sampler.latents(indices)


def between(
    session: Session,
    how: How,
    ends: tuple[int, int],  # addresses
    at: float,  # 0 = the first, 1 = the second
    space: str = "z",
    walk: str = "linear",
) -> View:
    """Both ends, and the image at a point of the way between them."""
    check_walk(session, space, walk)
    sampler, step = session.sampler(how), lerp if walk == "linear" else slerp
    with session.lock:
        start, end = (values_of(sampler, [each], space) for each in ends)
        points = torch.cat([start, step(start, end, at), end])
        images = sampler.paint(points, [ends[0], ends[0], ends[1]])
    facts = f"{ends[0]} to {ends[1]} in {space}, {walk}, at {at:.2f}; {sampler.stated}"
    options: dict[str, Value] = {"latents": list(ends), "spaces": [space], "walks": [walk]}
    return row(session, "interpolation", how, (f"at {at:.2f}", images), facts, options)


def among_three(
    session: Session,
    how: How,
    corners: tuple[int, int, int],  # addresses
    at: float,  # 0 = the first, 1 = the second
    third: float,  # from there, 0, to the third, 1
    space: str = "z",
    walk: str = "linear",
) -> View:
    """Three images, and the one at a point of the triangle between them."""
    check_walk(session, space, walk)
    sampler = session.sampler(how)
    with session.lock:
        ends = [values_of(sampler, [each], space) for each in corners]
        point = between_three((ends[0], ends[1], ends[2]), at, third, walk)
    shares = f"{(1 - at) * (1 - third):.2f}, {at * (1 - third):.2f} and {third:.2f}"
    named = ", ".join(map(str, corners))
    facts = f"{named} in {space}, {walk}, by {shares}; {sampler.stated}"
    points, addresses = torch.cat([point, *ends]), [corners[0], *corners]
    return painted(session, how, "between, and the three", points, addresses, facts)


def check_walk(session: Session, space: str, walk: str) -> None:
    """Raise ValueError for a way that this space does not have."""
    if walk not in walks(session, space):
        raise ValueError(f"walk={walk}: in {space} there is {', '.join(walks(session, space))}")


def mixed(session: Session, how: How, a: int, b: int, layers: Sequence[int]) -> View:
    """A, A with B's styles in some layers, and B."""
    chosen = bands_of(session.generator, {"chosen": list(layers)} if layers else None)
    sampler = session.sampler(how)
    with session.lock:
        styles = sampler.styles([a, b])
        mix = mixed_row(styles[0], styles[1:], list(layers))
        images = sampler.paint(torch.cat([styles[:1], mix, styles[1:]]), [a, a, b])
    facts = f"{a} with the styles {list(layers)} of {b}; {sampler.stated}"
    options: dict[str, Value] = {"a": [a], "b": [b], "bands": chosen if layers else None}
    return row(session, "style_mixing", how, ("A, mixed, B", images), facts, options)


def arithmetic(session: Session, how: How, a: str, b: str, c: str, space: str = "z") -> View:
    """A - mean(B) + mean(C) for each of A, under A itself."""
    sampler, groups = session.sampler(how), [chosen_indices(each) for each in (a, b, c)]
    with session.lock:
        values = [values_of(sampler, group, space) for group in groups]
        results = displace(values[0], displacement(values[1], values[2]))
        before, after = (sampler.paint(each, groups[0]) for each in (values[0], results))
    rows = [("A", enlarged(before, CELL)), ("A - B + C", enlarged(after, CELL))]
    named = " ".join(f"{k} {g}" for k, g in zip("ABC", groups, strict=True))
    facts = f"each of A - mean(B) + mean(C) in {space}: {named}; {sampler.stated}"
    options: dict[str, Value] = {k: addresses_text(g) for k, g in zip("abc", groups, strict=True)}
    line = command(session.ckpt, "arithmetic", {**options, "space": space, **how.options})
    return View(captioned_rows(rows, scale=1), facts, line)


def components(session: Session, how: How, method: str, layer: str | None) -> Components:
    """Directions found without labels, found once for a seed."""
    key = (how.seed, how.label, method, layer)
    with session.lock:
        if key not in session.kept:
            sampler = session.sampler(how, truncated=False)
            session.kept[key] = find_components(sampler, method, COMPONENTS, NUM_LATENTS, layer)
    found: Components = session.kept[key]
    return found


def along(
    session: Session,
    how: How,
    index: int,
    method: str,  # sefa or pca
    layer: str | None,  # of pca; None = w
    number: int,  # which component
    by: float,  # standard deviations
) -> View:
    """The image moved to one side, itself, and to the other side along a component."""
    found = components(session, how, method, layer)
    if not 0 <= number < len(found.vectors):
        raise ValueError(f"component={number}: there are 0 to {len(found.vectors) - 1}")
    distance = by * float(found.deviations[number])
    points = moved_points(session, how, index, found.vectors[number], distance)
    with session.lock:
        images = session.sampler(how).paint(points, [index] * 3)
    facts = f"latent {index} by {by:+.2f} deviations along component {number} of {method}"
    options: dict[str, Value] = {"method": method, "layer": layer, "num": number + 1}
    options |= {"latents": [index], "reach": max(ENDS, abs(by))}
    return row(session, "directions", how, ("-, 0, +", images), facts, options)


def along_saved(session: Session, how: How, index: int, place: str, by: float) -> View:
    """The same along a direction that `study=arithmetic` or `study=directions` left in a file."""
    with session.lock:
        width = values_of(session.sampler(how), [0], session.spaces[-1]).shape[-1]
    vector = read_direction(place, width)
    points = moved_points(session, how, index, vector, by)
    facts = f"latent {index} by {by:+.2f} times the direction of {Path(place).name}"
    return painted(session, how, "-, 0, +", points, [index] * 3, facts)


def moved_points(
    session: Session,
    how: How,
    index: int,
    vector: Tensor,  # (D,) of w where there are styles, else of z
    distance: float,
) -> Tensor:
    """Latents (3, Z) or styles (3, L, W): moved back, not, and forth."""
    with session.lock:
        start = values_of(session.sampler(how), [index], session.spaces[-1])
    return moved(start, vector, [-distance, 0.0, distance])[0]


def painted(
    session: Session,
    how: How,
    caption: str,
    points: Tensor,  # (N, Z) or (N, L, W)
    addresses: Sequence[int],  # of which each is told what that image is, and has its noise
    facts: str,
) -> View:
    """Images of points that no address has; the command of `study=samples` reads them from a file.

    It has none under random noise, which a file's rows have of their own.
    """
    sampler = session.sampler(how)
    with session.lock:
        images, told = sampler.paint(points, addresses), sampler.condition(addresses)
    if how.noise == "random":
        return row(session, "", how, (caption, images), facts, {})
    labels = None if told is None or told.label is None else told.label.tolist()
    options: dict[str, Value] = {"latents": kept_latents(session, points), "labels": labels}
    return row(session, "samples", replace(how, label=None), (caption, images), facts, options)


def kept_latents(session: Session, points: Tensor) -> Path:
    """A file of latents or styles, for the command."""
    data = npz({"w" if points.ndim == 3 else "z": points.numpy()})
    path = session.cache / "latents" / f"{blake2b(data, digest_size=8).hexdigest()}.npz"
    return path if path.is_file() else replace_file(path, data)


def row(
    session: Session,
    study: str,  # that makes it; empty = none does
    how: How,
    shown: tuple[str, Tensor],  # caption and (N, C, H, W)
    facts: str,
    options: dict[str, Value],
) -> View:
    """Images side by side."""
    pixels = captioned_rows([(shown[0], enlarged(shown[1], CELL))], scale=1)
    line = command(session.ckpt, study, {**options, **how.options}) if study else ""
    return View(pixels, f"{facts}; seed {how.seed}", line)
