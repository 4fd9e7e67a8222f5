"""Contact sheets: many small images, each with its name under it, to choose from by eye."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from ganlab.report import images as pictures
from ganlab.report.images import LEGIBLE, PADDING, PAPER, Pixels

FONT = 11  # pixels
STRIP = 15  # height of the line for a name


def contact_sheet(
    images: Tensor,  # (N, 1 or 3, H, W), float in [-1, 1] or uint8
    names: Sequence[str],  # one an image
    columns: int | None = None,  # images in a row; None = the nearest to a square
) -> Pixels:
    """Images row by row, small ones enlarged by whole factors, names centred under them.

    Raises:
        ValueError: not one name an image, fewer than one column, or no image.
    """
    cells = pictures.cells(images)
    columns = math.ceil(math.sqrt(len(cells))) if columns is None else columns
    if len(names) != len(cells) or columns < 1:
        raise ValueError(
            f"a contact sheet of {len(cells)} images has as many names, not {len(names)}, and at "
            f"least 1 column, not {columns}"
        )
    scale = max(1, math.ceil(LEGIBLE / cells[0].shape[0]))
    large = [cell.repeat(scale, 0).repeat(scale, 1) for cell in cells]
    height, width = large[0].shape[:2]
    shape = (
        math.ceil(len(large) / columns) * (height + STRIP + PADDING) + PADDING,
        min(columns, len(large)) * (width + PADDING) + PADDING,
        3,
    )
    sheet = np.full(shape, PAPER, dtype=np.uint8)
    for i, cell in enumerate(large):
        top, left = _corner(i, columns, height, width)
        sheet[top : top + height, left : left + width] = cell
    places = [_corner(i, columns, height, width) for i in range(len(large))]
    return _named(sheet, [(left + width / 2, top + height) for top, left in places], names)


def _corner(i: int, columns: int, height: int, width: int) -> tuple[int, int]:
    row, column = divmod(i, columns)
    return PADDING + row * (height + STRIP + PADDING), PADDING + column * (width + PADDING)


def _named(sheet: Pixels, places: Sequence[tuple[float, int]], names: Sequence[str]) -> Pixels:
    image = Image.fromarray(sheet)
    draw, font = ImageDraw.Draw(image), pictures.lettering(FONT)
    for place, name in zip(places, names, strict=True):
        draw.text(place, name, fill=(20, 20, 20), font=font, anchor="ma")
    return np.asarray(image)
