"""Noto Emoji (Google, Apache-2.0): colour pictures of 64x64 px that come with the package.

A lossless sheet and a table of it, made by `scripts/pack_emoji.py`.
"""

import csv
import hashlib
import importlib.resources
import io
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganlab.data.collection import Arrays, TwoSided, content_hash

SIDE, COLUMNS = 64, 62  # px of a picture, pictures in a row of the sheet
# of all pixels, (3786, 64, 64, 3), and all rows
SHA256 = "b8898482b5feb6baf59764161bcb50274a11f4cd5ada98d9837efacde4584b4b"
CATEGORIES = (
    "Activities",
    "Animals & Nature",
    "Component",
    "Flags",
    "Food & Drink",
    "Objects",
    "People & Body",
    "Smileys & Emotion",
    "Symbols",
    "Travel & Places",
)
SPLITS = ("all", "train", "test")
TEST_SHARE = 0.4  # of the names


@dataclass(frozen=True)
class Emoji:
    """A row of the table."""

    file: str  # in the published package
    name: str  # the same for all skin tones
    category: str
    variant: str  # skin tones as code points, 1F3FB or 1F3FB-1F3FF; empty = the neutral one

    @property
    def held_out(self) -> bool:
        """On which side of the split it lies: a function of its name, so of all skin tones."""
        return _draw("held out", self.name) < TEST_SHARE


class EmojiSheet(TwoSided):
    """The embedded pictures, each once, in the order of their files.

    Of pictures that are equal in every pixel one stays: a neutral one before a skin tone, then the
    first. `num` keeps those of a fixed random choice, the same ones and more for a larger `num`.

    Raises:
        ValueError: on construction, an option that cannot be, by its `data.` name.
    """

    shared = False

    def __init__(
        self,
        variants: bool = True,  # with skin tones; False = the neutral one of each name
        split: str = "all",  # all, train or test; names lie on one side, whatever the other options
        num: int | None = None,  # pictures; None = all there are
        categories: Sequence[str] | None = None,  # these alone, as the classes; None = all ten
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"data.split={split} must be one of {', '.join(SPLITS)}")
        if num is not None and num < 1:
            raise ValueError(f"data.num={num} must be at least 1, or null")
        if unknown := set(categories or ()) - set(CATEGORIES):
            raise ValueError(
                f"data.categories={min(unknown)}: there are {', '.join(CATEGORIES)}; one with a "
                "comma or & needs quotes"
            )
        self.variants, self.split, self.num = variants, split, num
        self.categories = [each for each in CATEGORIES if categories is None or each in categories]

    def prepare(self) -> None:
        """Nothing to fetch."""

    def open(self) -> Arrays:
        """Read the sheet; raises ValueError where it is damaged, or has no `num` such pictures."""
        images, table = read_embedded()
        kept = [k for k in distinct(images, table) if self._takes(table[k])]
        if self.num is not None and self.num > len(kept):
            raise ValueError(
                f"data.num={self.num:,}, but data.split={self.split} with data.variants="
                f"{str(self.variants).lower()} has {len(kept):,} pictures"
            )
        kept.sort(key=lambda k: _draw("choice", table[k].file))
        kept = sorted(kept[: self.num])
        labels = np.array([self.categories.index(table[k].category) for k in kept], np.int64)
        some = [] if len(self.categories) == len(CATEGORIES) else self.categories
        key = content_hash(SHA256, self.variants, self.split, self.num, *some)
        return Arrays(images[kept], labels, self.categories, "emoji", key)

    def side(self, split: str) -> "EmojiSheet":
        """All names of a side, with skin tones and categories as they are here."""
        return EmojiSheet(self.variants, split, categories=self.categories)

    def _takes(self, emoji: Emoji) -> bool:
        right_side = self.split == "all" or emoji.held_out == (self.split == "test")
        right_kind = emoji.category in self.categories and (self.variants or not emoji.variant)
        return right_side and right_kind


def read_embedded() -> tuple[NDArray[np.uint8], list[Emoji]]:
    """What comes with the package: pixels (3786, 64, 64, 3), and the row of each.

    Raises:
        ValueError: the files are damaged, or Pillow here reads no WebP.
    """
    home = importlib.resources.files("ganlab.data")
    table = read_table(home.joinpath("emoji.csv").read_text())
    try:
        with home.joinpath("emoji.webp").open("rb") as file, Image.open(file) as picture:
            images = tiles(np.asarray(picture.convert("RGB")), len(table))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"emoji.webp in the package cannot be read ({error}): install ganlab again, "
            "and a Pillow that reads WebP"
        ) from error
    if digest(images, table) != SHA256:
        raise ValueError("emoji.webp or emoji.csv in the package is damaged: install ganlab again")
    return images, table


def distinct(images: NDArray[np.uint8], table: Sequence[Emoji]) -> list[int]:
    """Positions of pictures without their exact copies; which of equal ones stays: see above."""
    first: dict[bytes, int] = {}
    for position in sorted(range(len(table)), key=lambda k: (bool(table[k].variant), k)):
        first.setdefault(images[position].tobytes(), position)
    return sorted(first.values())


def tiles(sheet: NDArray[np.uint8], num: int) -> NDArray[np.uint8]:
    """The first `num` pictures, (num, 64, 64, 3), of a sheet with 62 a row."""
    rows = sheet.reshape(-1, SIDE, COLUMNS, SIDE, 3).swapaxes(1, 2)
    pictures: NDArray[np.uint8] = rows.reshape(-1, SIDE, SIDE, 3)
    return pictures[:num]


def sheet_of(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The sheet of pictures (N, 64, 64, 3), its last row filled with white."""
    blank = np.full((-len(images) % COLUMNS, SIDE, SIDE, 3), 255, np.uint8)
    rows = np.concatenate([images, blank]).reshape(-1, COLUMNS, SIDE, SIDE, 3)
    sheet: NDArray[np.uint8] = rows.swapaxes(1, 2).reshape(-1, COLUMNS * SIDE, 3)
    return sheet


def read_table(text: str) -> list[Emoji]:
    """The rows of the csv; raises ValueError where it has other columns."""
    try:
        rows = csv.DictReader(io.StringIO(text))
        return [Emoji(r["file"], r["name"], r["category"], r["variant"]) for r in rows]
    except KeyError as error:
        raise ValueError(f"emoji.csv in the package lacks its column {error}") from error


def digest(images: NDArray[np.uint8], table: Sequence[Emoji]) -> str:
    """SHA-256 of all pixels and all rows."""
    found = hashlib.sha256(images.tobytes())
    found.update("\n".join(",".join(astuple(row)) for row in table).encode())
    return found.hexdigest()


def _draw(purpose: str, text: str) -> float:
    """A number in [0, 1) that the text decides, another one for another purpose."""
    return int(content_hash("emoji", purpose, text), 16) / 2.0**128
