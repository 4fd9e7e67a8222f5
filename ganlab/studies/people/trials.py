"""Who judges what: the trials of a real-or-fake test, and the images they show.

| protocol | a trial shows | time | source |
|---|---|---|---|
| `single` | one image, real or fake | no limit | Heikka, section 4.2.1: 50 and 50 |
| `paired` | a fake beside its own reference | 1 s | Shocher et al., section 4.1: 75 a level |
| `unpaired` | a fake beside an unrelated real | 1 s | the same |
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ganlab.nn.randomness import keyed_generator
from ganlab.report.images import Pixels

PROTOCOLS = ("single", "paired", "unpaired")


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
            other = range(num) if protocol.name == "paired" else unrelated(num, seed, level.name)
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


def unrelated(num: int, seed: int, level: str = "") -> list[int]:
    """A keyed random order of 0 .. num-1 in which nothing stays in its place; num at least 2."""
    rng = keyed_generator("unrelated", seed, level)
    order: list[int] = torch.randperm(num, generator=rng).tolist()
    partner = [0] * num
    for place, item in enumerate(order):  # one cycle through all of them
        partner[item] = order[(place + 1) % num]
    return partner
