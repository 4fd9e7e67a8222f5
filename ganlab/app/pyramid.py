"""The tab of a semantic pyramid: an image painted anew in a region, composed, or relabelled."""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import torch
from torch import Tensor

from ganlab.app.commands import Value, command
from ganlab.app.session import How, Session
from ganlab.app.view import View, enlarged
from ganlab.data.decode import Fitting
from ganlab.data.image_input import read_image
from ganlab.metrics.edits import change
from ganlab.networks.base import Condition
from ganlab.report.images import captioned_rows, png
from ganlab.storage.atomic import replace_file
from ganlab.studies.neurons.painted import Mark, checked_marks, painted_region
from ganlab.studies.pyramid.edits import (
    composition,
    find_level,
    guesses,
    mark_region,
    paste_object,
    pyramid_features,
    stages_of,
    to_rgb,
    told_alike,
)
from ganlab.systems.semantic import PyramidFeatures

CELL = 128  # pixels: height of images side by side
MOST = 16  # variants


def is_pyramid(session: Session) -> bool:
    """Whether the generator is told features of images."""
    return pyramid_features(session.system) is not None


def conditioner_of(session: Session) -> PyramidFeatures:
    """What tells it.

    Raises:
        ValueError: nothing does.
    """
    found = pyramid_features(session.system)
    if found is None:
        raise ValueError("this needs a checkpoint of model=semantic_pyramid")
    return found


def levels(session: Session) -> list[str]:
    """Stages that an image can be painted from, fine to coarse."""
    return list(stages_of(session.generator))


def usual_level(session: Session) -> str:
    """The coarsest that is a map, as in the studies."""
    return find_level(None, stages_of(session.generator))


def kept_image(session: Session, place: str | None) -> Path:
    """An image that was given to the page, kept so that its command finds it.

    Raises:
        ValueError: none was given.
        OSError: it is gone.
    """
    if not place:
        raise ValueError("no image yet: drop one, or choose a file")
    data = Path(place).read_bytes()
    name = blake2b(data, digest_size=8).hexdigest() + Path(place).suffix.lower()
    path = session.cache / "images" / name
    return path if path.is_file() else replace_file(path, data)


def opened(session: Session, place: str | None) -> Tensor:
    """The image as the generator's own, (1, C, R, R).

    Raises:
        ValueError, FileNotFoundError: see `read_image`.
    """
    generator = session.generator
    fitting = Fitting(generator.resolution, generator.channels, enlarge=True)
    return read_image(kept_image(session, place), fitting, "image").to(session.place)


def region_of(session: Session, marks: Sequence[Mark]) -> Tensor:
    """What is painted, (1, 1, R, R). Raises ValueError where nothing is."""
    return painted_region(checked_marks(marks), session.generator.image_size)[None, None]


def kept_mask(session: Session, region: Tensor) -> Path:
    """A region as a file, white inside, for the command."""
    data = png(region[0] * 2 - 1)
    path = session.cache / "images" / f"mask-{blake2b(data, digest_size=8).hexdigest()}.png"
    return path if path.is_file() else replace_file(path, data)


def shown(session: Session, place: str | None, marks: Sequence[Mark]) -> View:
    """The image with what is painted in red."""
    with session.lock:
        image = opened(session, place).cpu()
    region = painted_region(marks, session.generator.image_size)[None, None]
    facts = f"an image of {tuple(image.shape[1:])}; painted: {float(region.mean()):.1%} of it"
    return View(enlarged(mark_region(to_rgb(image), region))[0], facts)


def variants(session: Session, how: How, told: Condition, num: int) -> Tensor:
    """Images of the first latents, all told this, (N, C, R, R) on the CPU.

    Raises:
        ValueError: a number of them that is not shown.
    """
    if not 1 <= num <= MOST:
        raise ValueError(f"variants={num}: from 1 to {MOST}")
    return session.told(how, told_alike(told)).images(range(num))


def repainted(
    session: Session, how: How, place: str | None, marks: Sequence[Mark], level: str, num: int
) -> View:
    """The region painted anew, as `study=repaint` does."""
    region = region_of(session, marks)
    with session.lock:
        image = opened(session, place)
        keep = 1 - region.to(image)
        images = variants(session, how, conditioner_of(session).condition(image, level, keep), num)
    image = image.cpu()
    first = torch.cat([to_rgb(image), mark_region(image, region)])
    outside = float(change(images, image, 1 - region).mean())
    facts = f"painted anew from {level}, latents 0:{num}; outside moved {outside:.3f}"
    options: dict[str, Value] = {"image": kept_image(session, place), "level": level}
    options |= {"mask": kept_mask(session, region), "num_variants": num}
    return rows_of(session, how, "repaint", (first, images), facts, options)


def composed(
    session: Session,
    how: How,
    place: str | None,  # the background
    thing: str | None,  # the image that holds the object
    marks: Sequence[Mark],  # over the object
    at: tuple[float, float],  # where its centre goes, y and x
    scale: float,
    level: str,
    num: int,
) -> View:
    """The painted object put into the image, as `study=compose` does."""
    outline = region_of(session, marks)
    with session.lock:
        background, source = opened(session, place), opened(session, thing)
        pasted, region = paste_object(background, source, outline.to(source), at, scale)
        told = composition(conditioner_of(session), background, pasted, region, level)
        images = variants(session, how, told, num)
    marked = mark_region(source.cpu(), outline)
    first = torch.cat([to_rgb(background.cpu()), marked, to_rgb(pasted.cpu())])
    facts = f"composed from {level}, latents 0:{num}; background, object, paste, then variants"
    options: dict[str, Value] = {"image": kept_image(session, place), "level": level}
    options |= {"object": kept_image(session, thing), "mask": kept_mask(session, outline)}
    options |= {"at": list(at), "scale": scale, "num_variants": num}
    return rows_of(session, how, "compose", (first, images), facts, options)


def relabelled(
    session: Session, how: How, place: str | None, label: int, level: str, num: int
) -> View:
    """The image's features at a level under another class, as `study=relabel` does."""
    conditioner = conditioner_of(session)
    with session.lock:
        image = opened(session, place)
        chances = guesses(conditioner, image)[0]
        told = conditioner.condition(image, level, label=torch.tensor([label]).to(session.place))
        images = variants(session, how, told, num)
    guess, names = int(chances.argmax()), session.classes
    facts = (
        f"{level} kept, told {names[label]}; the classifier takes the image for {names[guess]} "
        f"({float(chances[guess]):.0%} sure); latents 0:{num}"
    )
    options: dict[str, Value] = {"image": kept_image(session, place), "level": level}
    options |= {"labels": [label], "num_variants": num}
    return rows_of(session, how, "relabel", (to_rgb(image.cpu()), images), facts, options)


def rows_of(
    session: Session,
    how: How,
    study: str,
    images: tuple[Tensor, Tensor],  # what was given, what came of it
    facts: str,
    options: dict[str, Value],
) -> View:
    """Two rows, and the command."""
    given, made = (enlarged(to_rgb(each), CELL) for each in images)
    seed = {"seed": how.seed or None, "truncation": how.truncation}
    pixels = captioned_rows([("given", given), ("painted", made)], scale=1)
    return View(pixels, f"{facts}; seed {how.seed}", command(session.ckpt, study, options | seed))
