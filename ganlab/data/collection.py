"""Stored images by number: what every source opens into, and how a whole set is read."""

import hashlib
import os
import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from ganlab.data.decode import Fitting, admit
from ganlab.data.labels import UNLABELLED
from ganlab.data.problems import Problem, UnusableImage
from ganlab.data.stored import Stored, kept_open, values_of
from ganlab.data.values import FULL, Seen, Values

CHUNK = 256  # images in flight while a set is decoded
Result = TypeVar("Result")


class Collection(ABC):
    """Images in their stored form, numbered 0 to len - 1 in an order that never changes."""

    labels: NDArray[np.int64] | None = None  # (N,)
    class_names: Sequence[str] = ()
    origin: str = ""  # where labels come from, in words, where that was found out

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def image(self, index: int) -> Stored:
        """Open one image; whatever goes wrong is raised."""

    @abstractmethod
    def address(self, index: int) -> str:
        """Where one image lies, in words a user can act on."""

    def refused(self, fitting: Fitting) -> Problem | None:
        """What keeps all images alike from being used so; None where nothing is known."""
        return None

    def labelled(self) -> str:
        """What classes there are and where they come from, in words; nothing to say of none."""
        number = len(self.class_names)
        if not number or not self.origin:
            return ""
        used = 0 if self.labels is None else len(np.unique(self.labels[self.labels != UNLABELLED]))
        some = f", of which {used:,} have images" if used < number else ""
        return f"{number:,} class{'es' * (number > 1)} from {self.origin}{some}"

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash that changes when the stored images change, found without decoding them."""


class Source(Protocol):
    """Where images come from. Building one reads nothing; `open` does."""

    shared: bool  # True: decoding is dear, so several processes share one decoded file

    def prepare(self) -> None:
        """Fetch what is missing; runs in one process per machine."""

    def open(self) -> Collection:
        """List the images; raises `BrokenData` or `FileNotFoundError` with a way out."""


class TwoSided(ABC):
    """A source with the sides `train` and `test`, of which one is not trained on."""

    split: str  # train, test, or both under another name

    def held_out(self) -> Source:
        """The side that is not trained on, whole; raises ValueError where both are."""
        if self.split not in ("train", "test"):
            raise ValueError(
                f"data.split={self.split} holds nothing out: data.split=train, or data.held_out=0.1"
            )
        return self.side("test" if self.split == "train" else "train")

    @abstractmethod
    def side(self, split: str) -> Source:
        """One of them, whole."""


class Arrays(Collection):
    """Images that already are one array, in memory or memory-mapped."""

    def __init__(
        self,
        images: NDArray[np.generic],  # (N, H, W) or (N, H, W, C), of any numbers
        labels: NDArray[np.int64] | None,  # (N,)
        class_names: Sequence[str],
        place: str,  # the file, for messages
        fingerprint: str,  # hash of the content or of the file's state
    ) -> None:
        self.images, self.labels, self.class_names = images, labels, class_names
        self.place, self._fingerprint = place, fingerprint

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int) -> NDArray[Any]:  # noqa: D102
        values = np.asarray(self.images[index])
        return values.astype(values.dtype.newbyteorder("="), copy=False)

    def refused(self, fitting: Fitting) -> Problem | None:  # noqa: D102
        planes = self.images.shape[3] if self.images.ndim == 4 else 1
        if not fitting.takes(planes):
            reason = f"has {planes} channels, not data.channels={fitting.channels}"
            return Problem(self.place, reason, f"set data.channels={planes}")
        dtype = self.images.dtype.newbyteorder("=")
        if fitting.scale is None and dtype not in FULL:
            kept = Seen.of(Values.of(self.image(k), len(self)) for k in range(len(self)))
            return Problem(self.place, f"has {kept}", kept.advice() or "say data.range=[low,high]")
        return None

    def address(self, index: int) -> str:  # noqa: D102
        return f"{self.place}[{index}]"

    def fingerprint(self) -> str:  # noqa: D102
        return self._fingerprint


def content_hash(*parts: object) -> str:
    """32 hex digits that stand for the parts' text."""
    return hashlib.blake2b(
        "\n".join(map(str, parts)).encode("utf-8", "surrogateescape"), digest_size=16
    ).hexdigest()


def scan(
    collection: Collection,
    act: Callable[[Stored], Result],  # what to do with each image
    admit: Callable[[Stored], None] = admit,  # looks at each before its pixels are read
) -> Iterator[Result | Problem]:
    """`act` on every image in order, on several threads; a `Problem` in place of a broken one."""
    one = _Reader(collection, act, admit)
    with without_pixel_limit(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        bar = tqdm(total=len(collection), desc="reading images", delay=2, leave=False, disable=None)
        with bar:
            for start in range(0, len(collection), CHUNK):
                chunk = range(start, min(start + CHUNK, len(collection)))
                yield from pool.map(one, chunk)
                bar.update(len(chunk))


def read_first(
    collection: Collection, act: Callable[[Stored], Result], fitting: Fitting
) -> Result | Problem:
    """`act` on the first image; a `Problem` where it is broken."""
    with without_pixel_limit():
        return _Reader(collection, act, fitting.admit)(0)


def survey_values(collection: Collection, fitting: Fitting) -> Seen:
    """The values of all images that can be read, in their order."""

    def look(stored: Stored) -> Values:
        return Values.of(values_of(stored), len(collection))

    found = scan(collection, look, fitting.admit)
    return Seen.of(each for each in found if isinstance(each, Values))


@contextmanager
def without_pixel_limit() -> Iterator[None]:
    """Leave it to `admit` how many pixels are too many, instead of to Pillow, which cannot say."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


class _Reader(Generic[Result]):
    def __init__(
        self,
        collection: Collection,
        act: Callable[[Stored], Result],
        admit: Callable[[Stored], None],
    ) -> None:
        self.collection, self.act, self.admit = collection, act, admit

    def __call__(self, index: int) -> Result | Problem:
        labels, path = self.collection.labels, self.collection.address(index)
        try:
            with kept_open(self.collection.image(index)) as image:
                if labels is not None and labels[index] == UNLABELLED:
                    fix = "move it into a class folder or set data.labels=false"
                    raise UnusableImage("has no class folder although other images have one", fix)
                self.admit(image)
                return self.act(image)
        except UnusableImage as error:
            return Problem(path, str(error), error.fix)
        except Exception as error:  # decoders raise anything at all on damaged bytes
            return Problem(path, _reason(error), "replace or delete it")


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if "cannot identify image file" in text:
        return "is not an image, or not in a format that is read here"
    if isinstance(error, (SyntaxError, struct.error, zlib.error, EOFError)):
        return f"is damaged: {text}"
    return text
