"""The fixed-latent timeline: what the same latents became over training (paper 003, figure 4)."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from ganlab.report.images import PADDING, Pixels, captioned_rows
from ganlab.storage.pictures import open_picture

Item = TypeVar("Item")

BROKEN = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)  # how Pillow says so
_KIMG = re.compile(r"kimg[_-]?(\d+(?:\.\d+)?)|(\d+(?:\.\d+)?)[_-]?kimg")
_COUNT = re.compile(r"(\d+)$")
_SEEN = re.compile(r"\d{1,18}")


def images_seen(
    path: Path,
    named: bool = True,  # whether a name can say it; outside a training numbers count other things
) -> int | None:
    """How many images training had seen when this grid was saved, None where the file is silent.

    Read from the PNG text `images_seen`, else from a name that ends in the count or gives kimg, as
    `000012500.png` or `kimg_12.5.png`. The image of one latent has no moment, see `is_single`.
    Raises OSError for a file that is no picture.
    """
    text = _text(path)
    if _of_one(text):
        return None
    if _SEEN.fullmatch(said := str(text.get("images_seen", ""))):
        return int(said)
    return _named_moment(path) if named else None


def is_single(path: Path) -> bool:
    """Whether a file is the image of one latent, whose `index` or `row` its PNG text gives.

    Raises OSError for a file that is no picture.
    """
    return _of_one(_text(path))


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """A picture on disk.

    Raises:
        OSError: it is none, or damaged; names it.
    """
    try:
        with open_picture(path) as image:
            yield image
    except BROKEN as error:
        raise OSError(f"{path} is no picture that can be read: {error}") from error


def _text(path: Path) -> dict[Any, Any]:
    with opened(path) as image:
        return dict(image.info)


def _of_one(text: dict[Any, Any]) -> bool:
    return "index" in text or "row" in text


def _named_moment(path: Path) -> int | None:
    if found := _KIMG.search(path.stem):
        return round(1000 * float(found[1] or found[2]))
    found = _COUNT.search(path.stem)
    return int(found[1]) if found else None


def kimg_text(seen: float) -> str:
    """Images seen as a reader wants them: `0.512 kimg`, `12.5 kimg`, `25,000 kimg`."""
    kimg = seen / 1000
    return f"{kimg:,.0f} kimg" if kimg >= 100 else f"{kimg:.3g} kimg"


def evenly_spaced(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` of the items: always the first and the last, the others evenly between."""
    if len(items) <= count:
        return list(items)
    places = np.linspace(0, len(items) - 1, max(count, 2)).round().astype(int)
    return [items[i] for i in places]


def strip(
    paths: Sequence[Path],  # saved sample grids of the same latents
    count: int = 8,  # latents shown, the first of each grid
    moments: int = 7,  # rows shown: the first, the last, the others evenly between
    cell: tuple[int, int] | None = None,  # image width and height; None = as `save_grid` noted
    padding: int | None = None,  # pixels between cells; None = as `save_grid` noted
    scale: int | None = None,  # as in `images.labelled_grid`
) -> Pixels:
    """One row a moment, captioned with its kimg, cut from the top row of each grid.

    Raises ValueError where there is no grid, or where a file says neither its moment nor its cells.
    """
    rows = top_rows(paths, count, moments, cell, padding)
    return captioned_rows([(kimg_text(seen), row) for seen, row in rows], scale=scale)


def top_rows(
    paths: Sequence[Path],  # these arguments as in `strip`
    count: int = 8,
    moments: int = 7,
    cell: tuple[int, int] | None = None,
    padding: int | None = None,
) -> list[tuple[int, list[Pixels]]]:
    """Images seen, and the first images of the grid then, for each moment; see `strip`."""
    chosen = evenly_spaced(grids_by_time(paths), moments)
    if not chosen:
        raise ValueError("strip needs at least one sample grid; none was saved yet")
    return [(seen, _top_row(path, count, cell, padding)) for seen, path in chosen]


def grids_by_time(paths: Sequence[Path]) -> list[tuple[int, Path]]:
    """Images seen, and the grid saved then, in order."""
    return sorted((_moment(path), path) for path in paths)


def _moment(path: Path) -> int:
    seen = images_seen(path)
    if seen is None:
        raise ValueError(f"{path} does not say when it was made: save it with images_seen metadata")
    return seen


def _top_row(
    path: Path, count: int, cell: tuple[int, int] | None, padding: int | None
) -> list[Pixels]:
    with opened(path) as image:
        noted = re.fullmatch(r"(\d+)x(\d+)", str(image.info.get("cell", "")))
        gap = int(image.info.get("padding", PADDING)) if padding is None else padding
        picture = np.asarray(image.convert("RGB"))
    if cell is None and noted is not None:
        cell = int(noted[1]), int(noted[2])
    if cell is None:
        raise ValueError(f"{path} does not give its cell size: use save_grid, or pass cell=")
    width, height = cell
    if min(width, height) < 1 or gap < 0 or any(np.subtract(picture.shape[1::-1], gap) < cell):
        raise ValueError(f"{path} has no cell of {width}x{height} pixels, {gap} from its edges")
    lefts = range(gap, picture.shape[1] - width + 1, width + gap)
    return [picture[gap : gap + height, left : left + width] for left in lefts][:count]
