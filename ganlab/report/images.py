"""Pictures of images: grids, captions, and PNG files that are whole, reproducible and described.

save_grid(images, path, metadata={"images_seen": "12000"})       # fixed latents, one moment
save_png(labelled_grid([("before", images), ("after", edited)]), path)
save_png(strip(sorted(directory.glob("*.png"))), path)           # one row a moment
"""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin
from torch import Tensor

from ganlab.report.markup import encodable
from ganlab.storage.atomic import replace_file

Pixels = NDArray[np.uint8]  # (H, W, 3)

PADDING = 2  # pixels between and around the cells of a grid
PAPER = 255  # white: what lies between the cells
LEGIBLE = 64  # labelled cells are enlarged by whole factors until they are this high
FONT = 11  # pixels
_SHOWN: ContextVar[tuple[int, ...] | None] = ContextVar("shown", default=None)
STRIP = 15  # height of the line for a name


def to_uint8(images: Tensor) -> Tensor:
    """Map [-1, 1] to {0, ..., 255} by rounding, as an image file stores it; shape is kept.

    Values outside are clamped and NaN becomes black. A uint8 tensor passes through; another integer
    type raises ValueError, since its range cannot be known.
    """
    if images.dtype == torch.uint8:
        return images
    if not images.is_floating_point():
        raise ValueError(f"images are {images.dtype}; give uint8, or floats in [-1, 1]")
    images = images.detach().float().nan_to_num(nan=-1.0).clamp(-1, 1)
    return ((images + 1) * 127.5).round().to(torch.uint8)


@contextmanager
def showing(channels: Sequence[int] | None) -> Iterator[None]:
    """Pictures inside the block show these channels of images that have them: one, or three."""
    token = _SHOWN.set(None if channels is None else tuple(channels))
    try:
        yield
    finally:
        _SHOWN.reset(token)


def visible(images: Tensor) -> Tensor:
    """The channels of (..., C, H, W) that a picture shows, 1 or 3: the chosen ones of `showing`.

    Without a choice the first of two channels, and the first three of more.
    """
    count, chosen = images.shape[-3], _SHOWN.get()
    if chosen is not None and max(chosen) < count:
        return images[..., list(chosen), :, :]
    return images if count in (1, 3) else images[..., : 1 if count == 2 else 3, :, :]


def cells(images: Tensor) -> list[Pixels]:
    """Each image of an (N, C, H, W) batch as an (H, W, 3) array; grey becomes R = G = B.

    Of other numbers of channels than 1 and 3 it has those that are `visible`.
    """
    if images.ndim != 4 or not len(images):
        shape = tuple(images.shape)
        raise ValueError(f"images have shape {shape}; expected (N, C, H, W) with N at least 1")
    stored = to_uint8(visible(images)).cpu().expand(-1, 3, -1, -1)
    return list(stored.permute(0, 2, 3, 1).numpy())


def grid(
    images: Tensor,  # (N, C, H, W), float in [-1, 1] or uint8
    columns: int | None = None,  # images in a row; None = the nearest to a square
    padding: int = PADDING,  # pixels between the cells and around them
) -> Pixels:
    """Lay images out row by row on white, as (rows * (H + padding) + padding, ..., 3).

    Image i stands at row i // columns, column i % columns. Raises ValueError for an empty batch
    or fewer than one column.
    """
    columns = math.ceil(math.sqrt(len(images))) if columns is None else columns
    if columns < 1:
        raise ValueError(f"columns is {columns}; a grid needs at least 1")
    return _placed(_in_rows(cells(images), columns), padding)


def labelled_grid(
    rows: Sequence[tuple[str, Tensor]],  # caption and (N, C, H, W) images, top to bottom
    padding: int = PADDING,  # pixels between the cells and around them
    scale: int | None = None,  # whole enlargement; None = until a cell is 64 pixels high
) -> Pixels:
    """One captioned row per entry, for before / after comparisons: column j is one latent.

    Rows may differ in length and mix grey with colour; all images have one size, else ValueError.
    """
    if not rows:
        raise ValueError("labelled_grid needs at least one row")
    return captioned_rows([(caption, cells(images)) for caption, images in rows], padding, scale)


def captioned_rows(
    rows: Sequence[tuple[str, list[Pixels]]],  # caption and the row's pictures, top to bottom
    padding: int = PADDING,  # as in `labelled_grid`
    scale: int | None = None,  # as in `labelled_grid`
) -> Pixels:
    """`labelled_grid` of pictures that are arrays already."""
    scale = _legible(rows[0][1][0]) if scale is None else scale
    enlarged = [_enlarged(row, scale) for _, row in rows]
    body, height = _placed(enlarged, padding), enlarged[0][0].shape[0]
    middles = [padding + i * (height + padding) + height / 2 for i in range(len(rows))]
    margin = _caption_column([caption for caption, _ in rows], middles, len(body))
    return np.concatenate([margin, body], axis=1)


def _legible(picture: Pixels) -> int:
    return max(1, math.ceil(LEGIBLE / len(picture)))


def _enlarged(pictures: Sequence[Pixels], scale: int | None = None) -> list[Pixels]:
    scale = _legible(pictures[0]) if scale is None else scale
    return [picture.repeat(scale, 0).repeat(scale, 1) for picture in pictures]


def _in_rows(pictures: Sequence[Pixels], columns: int) -> list[Sequence[Pixels]]:
    return [pictures[i : i + columns] for i in range(0, len(pictures), columns)]


def _placed(rows: Sequence[Sequence[Pixels]], padding: int) -> Pixels:
    sizes = {picture.shape[:2] for row in rows for picture in row}
    if len(sizes) != 1:
        raise ValueError(f"a grid needs images of one size, these are {sorted(sizes)}")
    height, width = sizes.pop()
    columns = max(len(row) for row in rows)
    shape = (len(rows) * (height + padding) + padding, columns * (width + padding) + padding, 3)
    canvas = np.full(shape, PAPER, dtype=np.uint8)
    for i, row in enumerate(rows):
        top = padding + i * (height + padding)
        for j, picture in enumerate(row):
            left = padding + j * (width + padding)
            canvas[top : top + height, left : left + width] = picture
    return canvas


def _caption_column(captions: Sequence[str], middles: Sequence[float], height: int) -> Pixels:
    """Captions, right-aligned and centred on their rows, as wide as the widest needs."""
    font = lettering(size=max(11, min(16, height // (4 * len(captions)))))
    measure = ImageDraw.Draw(Image.new("L", (1, 1)))
    widest = max(measure.multiline_textbbox((0, 0), text, font=font)[2] for text in captions)
    image = Image.new("L", (math.ceil(widest) + 16, height), PAPER)
    draw = ImageDraw.Draw(image)
    for text, middle in zip(captions, middles, strict=True):
        place = (image.width - 8, middle)
        draw.multiline_text(place, text, fill=20, font=font, anchor="rm", align="right")
    return np.repeat(np.asarray(image)[:, :, None], 3, axis=2)


def lettering(size: int) -> Any:
    """The font of the figures (shipped with matplotlib) at this size in pixels."""
    from matplotlib import get_data_path

    return ImageFont.truetype(str(Path(get_data_path(), "fonts/ttf/DejaVuSans.ttf")), size)


def save_png(
    picture: Tensor | NDArray[np.uint8],  # (H, W[, 1 or 3]) uint8 array, or (1 or 3, H, W) tensor
    path: Path,
    metadata: Mapping[str, str] | None = None,  # as in `png`
) -> Path:
    """Write one picture atomically. Raises ValueError as `png`, naming the file."""
    try:
        data = png(picture, metadata)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return replace_file(Path(path), data)


def png(
    picture: Tensor | NDArray[np.uint8],  # (H, W[, C]) uint8 array, or (C, H, W) tensor
    metadata: Mapping[str, str] | None = None,  # PNG text; "Description" is the report's caption
) -> bytes:
    """A PNG file of 1 to 4 channels, the second of two and the fourth as its opacity.

    The same picture and metadata give the same bytes. Raises ValueError for another shape or type.
    """
    if isinstance(picture, Tensor) and picture.ndim == 3:
        picture = to_uint8(picture).cpu().permute(1, 2, 0).numpy()
    array = np.squeeze(picture, 2) if picture.ndim == 3 and picture.shape[2] == 1 else picture
    if not _is_picture(array):
        raise ValueError(f"cannot write a picture of {picture.dtype} {picture.shape}")
    text = PngImagePlugin.PngInfo()
    for key, value in sorted((metadata or {}).items()):
        text.add_text(key, encodable(str(value)))
    data = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(
        data, format="PNG", pnginfo=text, compress_level=6
    )
    return data.getvalue()


def _is_picture(array: Any) -> bool:
    shape_fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (2, 3, 4))
    return bool(array.dtype == np.uint8 and shape_fits and array.size > 0)


def save_grid(
    images: Tensor,  # (N, C, H, W), float in [-1, 1] or uint8
    path: Path,
    columns: int | None = None,  # as in `grid`
    padding: int = PADDING,  # as in `grid`
    metadata: dict[str, str] | None = None,  # as in `save_png`, e.g. {"images_seen": "12000"}
) -> Path:
    """`save_png(grid(...))` with the cell size in the file, so that `strip` can cut it up again."""
    text = {**cells_text(images, padding), **(metadata or {})}
    return save_png(grid(images, columns, padding), path, text)


def cells_text(images: Tensor, padding: int = PADDING) -> dict[str, str]:
    """PNG texts that say how a grid of (N, C, H, W) images can be cut up again."""
    return {"cell": f"{images.shape[-1]}x{images.shape[-2]}", "padding": str(padding)}


def contact_sheet(
    images: Tensor,  # (N, C, H, W), float in [-1, 1] or uint8
    names: Sequence[str],  # one an image
    columns: int | None = None,  # images in a row; None = the nearest to a square
) -> Pixels:
    """Small images row by row, each with its name under it, to choose from by eye.

    They are enlarged by whole factors as in `labelled_grid`.

    Raises:
        ValueError: not one name an image, fewer than one column, or no image.
    """
    pictures = _enlarged(cells(images))
    columns = math.ceil(math.sqrt(len(pictures))) if columns is None else columns
    if len(names) != len(pictures) or columns < 1:
        raise ValueError(
            f"a contact sheet of {len(pictures)} images has as many names, not {len(names)}, and "
            f"at least 1 column, not {columns}"
        )
    height, width = pictures[0].shape[:2]
    white = ((0, STRIP), (0, 0), (0, 0))
    named = [np.pad(picture, white, constant_values=PAPER) for picture in pictures]
    sheet = Image.fromarray(_placed(_in_rows(named, columns), PADDING))
    draw, font = ImageDraw.Draw(sheet), lettering(FONT)
    for i, name in enumerate(names):
        row, column = divmod(i, columns)
        left = PADDING + column * (width + PADDING) + width / 2
        top = PADDING + row * (height + STRIP + PADDING) + height
        draw.text((left, top), name, fill=(20, 20, 20), font=font, anchor="ma")
    return np.asarray(sheet)


def sheet_cell(
    x: int,  # column of a pixel of a contact sheet
    y: int,  # its row
    size: tuple[int, int],  # height and width of the images on it
    columns: int,
) -> int | None:
    """Which image of a contact sheet, its name included, has this pixel; None = what is between."""
    scale = max(1, math.ceil(LEGIBLE / size[0]))
    height, width = size[0] * scale + STRIP + PADDING, size[1] * scale + PADDING
    row, column = y // height, x // width
    between = y % height < PADDING or x % width < PADDING
    return None if between or not 0 <= column < columns or y < 0 else row * columns + column
