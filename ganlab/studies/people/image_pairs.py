"""Fakes and reals from a folder, as any program can write them.

<folder>/fake/0001.png  <folder>/real/0001.png          # one level; files of one name are a pair
<folder>/conv1/fake/... <folder>/conv1/real/...         # a folder for each level
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ganlab.data.files import SUFFIXES
from ganlab.report.images import Pixels
from ganlab.studies.people.trials import Level, Protocol
from ganlab.studies.stored import random_positions

LAYOUT = (
    "it takes <folder>/fake/<name>.png and <folder>/real/<name>.png, or these two in a folder for "
    "each level; files of one name are a pair"
)


def read_levels(folder: str | Path, protocol: Protocol, seed: int) -> list[Level]:
    """The levels of a folder, each with a keyed random choice of `protocol.num` of either kind.

    Raises:
        FileNotFoundError: no such folder, or no `fake` and `real` in it.
        ValueError: too few images, a broken one, or one without its pair where pairs are shown.
    """
    place = Path(folder).expanduser()
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
    chosen = {kind: some(kinds[kind], protocol.num, name, keys[kind], seed) for kind in kinds}
    return Level(name, [*map(pixels_of, chosen["fake"])], [*map(pixels_of, chosen["real"])])


def image_files(place: Path) -> dict[str, Path]:
    """Name without suffix -> file, by name."""
    return {
        path.stem: path
        for path in sorted(place.iterdir())
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    }


def some(files: Mapping[str, Path], num: int, level: str, key: str, seed: int) -> Sequence[Path]:
    """`num` of the files, at random by key."""
    listed = list(files.values())
    return [listed[i] for i in random_positions(len(listed), num, "judged", level, key, seed)]


def pixels_of(path: Path) -> Pixels:
    """A file as (H, W, 3) bytes; raises ValueError naming one that is no image."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, UnidentifiedImageError) as error:
        raise ValueError(f"study.images: {path} is no image that can be read: {error}") from error
