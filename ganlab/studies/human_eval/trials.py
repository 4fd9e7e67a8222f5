"""Who judges what: the trials of a real-or-fake test, and the images they show.

| protocol | a trial shows | time | source |
|---|---|---|---|
| `single` | one image, real or fake | no limit | Heikka, section 4.2.1: 50 and 50 |
| `paired` | a fake beside its own reference | 1 s | Shocher et al., section 4.1: 75 a level |
| `unpaired` | a fake beside an unrelated real | 1 s | the same |

Fakes and reals may come from a folder, as any program can write them:

<folder>/fake/0001.png  <folder>/real/0001.png          # one level; files of one name are a pair
<folder>/conv1/fake/... <folder>/conv1/real/...         # a folder for each level
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ganlab.checks.places import place_named
from ganlab.data.image_input import is_image_name, open_image
from ganlab.data.positions import random_positions
from ganlab.nn.randomness import keyed_generator
from ganlab.report.images import Pixels

PROTOCOLS = ("single", "paired", "unpaired")
LAYOUT = (
    "it takes <folder>/fake/<name>.png and <folder>/real/<name>.png, or these two in a folder for "
    "each level; files of one name are a pair"
)


@dataclass(frozen=True)
class Protocol:
    """A test as it is announced to the people who take it."""

    name: str  # single, paired or unpaired
    num: int  # images of each kind (single), or pairs, a level
    seconds: float | None  # for which images are shown; None = until the answer


def protocol_of(name: str, num: int | None = None, seconds: float | None = None) -> Protocol:
    """A protocol with the paper's numbers where none are given; 0 seconds = no limit.

    Raises:
        ValueError: no such protocol, or a number that none can have.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"study.protocol must be {', '.join(PROTOCOLS)}, got {name!r}")
    num = (50 if name == "single" else 75) if num is None else num
    seconds = (0.0 if name == "single" else 1.0) if seconds is None else seconds
    least = 2 if name == "unpaired" else 1  # one real alone is nobody's stranger
    if num < least or not 0 <= seconds < 3600:
        raise ValueError(
            f"study.num={num} must be at least {least}, study.seconds={seconds} from 0 to 3600"
        )
    return Protocol(name, num, seconds or None)


@dataclass(frozen=True)
class Trial:
    """One question: positions of its images in a list; one of them is None in `single`."""

    level: str  # of the pyramid, or empty
    fake: int | None
    real: int | None


@dataclass(frozen=True, eq=False)
class Level:
    """Fakes and reals of one level, (H, W, 3) each; for `paired` row i of both is a pair."""

    name: str
    fakes: Sequence[Pixels]
    reals: Sequence[Pixels]


def trials_of(
    protocol: Protocol, levels: Sequence[Level], seed: int
) -> tuple[list[Trial], list[Pixels]]:
    """Every trial, and the images that they point into; the first `num` of each kind a level.

    Raises:
        ValueError: no level, one with fewer images than the protocol shows, or images of unlike
            size, which would tell fakes from reals.
    """
    trials: list[Trial] = []
    images: list[Pixels] = []
    for level in levels:
        check_level(protocol, level)
        num, start = protocol.num, len(images)
        images += [*level.fakes[:num], *level.reals[:num]]
        fakes, reals = range(start, start + num), range(start + num, start + 2 * num)
        if protocol.name == "single":
            trials += [Trial(level.name, fake, None) for fake in fakes]
            trials += [Trial(level.name, None, real) for real in reals]
        else:
            other = range(num) if protocol.name == "paired" else derangement(num, seed, level.name)
            trials += [Trial(level.name, fakes[i], reals[other[i]]) for i in range(num)]
    if len({image.shape for image in images}) != 1:
        raise ValueError("fakes and reals must all have one size: the size would tell them apart")
    return trials, images


def check_level(protocol: Protocol, level: Level) -> None:
    """Raise ValueError where a level has too few images."""
    for kind, images in (("fake", level.fakes), ("real", level.reals)):
        if len(images) < protocol.num:
            where = f" of level {level.name}" if level.name else ""
            raise ValueError(
                f"study.num={protocol.num}, but there are {len(images)} {kind} images{where}"
            )


def derangement(num: int, seed: int, level: str = "") -> list[int]:
    """A keyed random order of 0 .. num-1 in which nothing stays in its place; num at least 2."""
    rng = keyed_generator("unrelated", seed, level)
    order: list[int] = torch.randperm(num, generator=rng).tolist()
    partner = [0] * num
    for place, item in enumerate(order):  # one cycle through all of them
        partner[item] = order[(place + 1) % num]
    return partner


def read_levels(folder: str | Path, protocol: Protocol, seed: int) -> list[Level]:
    """The levels of a folder, each with a keyed random choice of `protocol.num` of either kind.

    Raises:
        FileNotFoundError: no such folder, or no `fake` and `real` in it.
        ValueError: too few images, a broken one, or one without its pair where pairs are shown.
    """
    place = place_named(folder, "study.images")
    if not place.is_dir():
        raise FileNotFoundError(f"study.images={folder} is no folder; {LAYOUT}")
    places = {"": place} if is_level(place) else {}
    places = places or {path.name: path for path in sorted(place.iterdir()) if is_level(path)}
    if not places:
        raise FileNotFoundError(f"study.images={folder} holds no fake/ and real/; {LAYOUT}")
    return [read_level(name, path, protocol, seed) for name, path in places.items()]


def is_level(place: Path) -> bool:
    """Whether a folder holds both kinds of image."""
    return (place / "fake").is_dir() and (place / "real").is_dir()


def read_level(name: str, place: Path, protocol: Protocol, seed: int) -> Level:
    """Some images of one level."""
    fakes, reals = image_files(place / "fake"), image_files(place / "real")
    together = set(fakes) == set(reals)
    if protocol.name == "paired" and not together:
        alone = min(set(fakes) ^ set(reals))
        raise ValueError(f"{place}: {alone} is not in both fake/ and real/; {LAYOUT}")
    fewest = min(len(fakes), len(reals))
    if fewest < protocol.num:
        raise ValueError(f"study.num={protocol.num}, but {place} has {fewest} fakes or reals")
    # One choice for both where files are pairs, so that a pair stays one and a stranger is none.
    kinds = {"fake": fakes, "real": reals}
    keys = dict.fromkeys(kinds, "pairs") if together else {kind: kind for kind in kinds}
    pixels = {}
    for kind, files in kinds.items():
        listed = list(files.values())
        chosen = random_positions(len(listed), protocol.num, "judged", name, keys[kind], seed)
        pixels[kind] = [pixels_of(listed[i]) for i in chosen]
    return Level(name, pixels["fake"], pixels["real"])


def image_files(place: Path) -> dict[str, Path]:
    """Name without suffix -> file, by name."""
    return {path.stem: path for path in sorted(place.iterdir()) if is_image_name(path)}


def pixels_of(path: Path) -> Pixels:
    """A file as (H, W, 3) bytes; raises ValueError naming one that is no image."""
    return np.asarray(open_image(path, "study.images").convert("RGB"))
