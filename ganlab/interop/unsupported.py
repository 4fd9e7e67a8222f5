"""Formats that are known and whose networks are not built here: each says by what it differs.

pytorch_GAN_zoo's PGAN, and rosinality's style-based-gan and progressive-gan, are not layer for
layer the networks of the papers that they follow, so no options of the networks here make them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

from ganlab.interop.foreign import ForeignFile, unwrapped

TITLE = "of a project whose networks are not built here"
LAYOUTS: Mapping[str, tuple[str, ...]] = {}  # nobody is sent to a format that is not read
SHOWN = 6  # names that the message lists


@dataclass(frozen=True)
class Unbuilt:
    """A format by the beginnings of names that its generator has."""

    title: str
    beginnings: tuple[str, ...]
    difference: str


KNOWN = (
    Unbuilt(
        "pytorch_GAN_zoo's PGAN",
        ("formatLayer.module.", "scaleLayers.", "toRGBLayers."),
        "its gain multiplies biases too, its first layer is a dense one with a bias a pixel, and "
        "its images have sqrt(2) times the published gain",
    ),
    Unbuilt(
        "rosinality's style-based-gan",
        ("generator.progression.", "generator.to_rgb.", "style."),
        "its bias comes before the blur and its noise after it, enlarging is fused with a quarter "
        "of the published weight, and the mapping has no learning rate of its own",
    ),
    Unbuilt(
        "rosinality's progressive-gan",
        ("label_embed.", "progression.", "to_rgb."),
        "its pixel norm comes before the activation, its classes are embedded beside the latent, "
        "and its discriminator measures the deviation of the images themselves",
    ),
)


def states(content: object) -> Iterator[list[str]]:
    """Names of each network that may be inside, without the prefixes of wrappers."""
    parts = [content, *(content.values() if isinstance(content, Mapping) else ())]
    for state in parts:
        if isinstance(state, Mapping):
            yield [unwrapped(name) for name in state if isinstance(name, str)]


def find_unsupported(content: object) -> tuple[Unbuilt, list[str]] | None:
    """The format, and the names of the generator that shows it."""
    for names in states(content):
        for known in KNOWN:
            if all(any(name.startswith(each) for name in names) for each in known.beginnings):
                return known, names
    return None


def recognises(content: object) -> bool:
    """Whether it is one of them."""
    return find_unsupported(content) is not None


def checkpoint(file: ForeignFile) -> NoReturn:
    """No checkpoint.

    Raises:
        ValueError: always; says by what the format differs, and the first names in the file.
    """
    known, names = find_unsupported(file.content) or (KNOWN[0], [])
    listed = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" * (len(names) > SHOWN))
    raise file.wrong(
        f"is {known.title}, whose networks are not built here: {known.difference}. "
        f"It holds {listed}"
    )
