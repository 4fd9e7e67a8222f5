"""Images in their stored form, a file that Pillow opened or an array, and the numbers in them."""

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin, UnidentifiedImageError

from ganlab.data.problems import UnusableImage
from ganlab.storage.pictures import open_picture

Stored = Image.Image | NDArray[Any]  # an array is (H, W) or (H, W, C)
WIDENED = ("PNG", "PPM")  # formats whose 16-bit greys Pillow may open as 32-bit ones, mode I
LARGEST = 2**28  # bytes of an unpacked file: Pillow's largest image, 89 million pixels of RGB
TIFFS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # how they begin, the large ones too
BITS, COMPRESSION, DESCRIPTION, SAMPLES, PLANES = 258, 259, 270, 277, 284  # tags of a TIFF
# How 16-bit colours lie in a file -> how Pillow would read the other byte of each value.
_PAIRS = [(f"{mode};16B", f"{mode};16L") for mode in ("RGB", "RGBA", "RGBX")]
_NATIVE = 1 if sys.byteorder == "little" else 0
OTHER_BYTE = dict(_PAIRS) | {little: big for big, little in _PAIRS}
OTHER_BYTE |= {f"{pair[0][:-1]}N": pair[1 - _NATIVE] for pair in _PAIRS}


def open_stored(source: Path | BinaryIO) -> Stored:
    """An image file, as `open_picture` has it, or the array of a TIFF that Pillow does not read."""
    try:
        return open_picture(source)
    except UnidentifiedImageError:
        file = source.open("rb") if isinstance(source, Path) else source
        with file:
            file.seek(0)
            if file.read(4) not in TIFFS:
                raise
            file.seek(0)
            return read_tiff(file.read())


@contextmanager
def kept_open(stored: Stored) -> Iterator[Stored]:
    """The file of an image is open inside the block."""
    if isinstance(stored, Image.Image):
        with stored:
            yield stored
    else:
        yield stored


def is_sixteen(image: Image.Image) -> bool:
    """Whether a grey image that was just opened has 16 bits without a sign."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in WIDENED)


def values_of(stored: Stored) -> NDArray[Any]:
    """The numbers of an image as they are stored, upright: (H, W) or (H, W, C).

    Palettes are looked up, CMYK, YCbCr, Lab and HSV become RGB; transparency is the last channel.

    Raises:
        UnusableImage: there are none, or some are no numbers; what else is wrong is raised as
            Pillow does.
    """
    values = _numbers(stored) if isinstance(stored, Image.Image) else stored
    if not values.size:
        raise UnusableImage("has no pixels", "replace or delete it")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise UnusableImage("has values that are no finite numbers", "mend it or leave it out")
    return values


def _numbers(image: Image.Image) -> NDArray[Any]:
    for read in (_beyond_pillow, _sixteen_bit_colours):
        if (values := read(image)) is not None:
            return values
    sixteen = is_sixteen(image)
    image.load()
    image = ImageOps.exif_transpose(image)
    if sixteen:
        return np.asarray(image).astype(np.uint16)
    if image.mode.startswith("I") or image.mode == "F":
        return np.asarray(image)
    grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        return np.asarray(image.convert("RGBA").convert("LA") if grey else image.convert("RGBA"))
    return np.asarray(image.convert("L" if grey else "RGB"))


def _sixteen_bit_colours(image: Image.Image) -> NDArray[np.uint16] | None:
    """Both bytes of each value of a file of 16-bit colours, of which Pillow keeps the upper one.

    None where it is none. The lower ones are what its decoder takes for the upper ones of values
    that are stored the other way round.
    """
    if not isinstance(image, ImageFile.ImageFile) or image.fp is None:
        return None
    if not image.tile or not all(_raw(tile) in OTHER_BYTE for tile in image.tile):
        return None
    content = _content(image)
    upper, lower = (open_picture(io.BytesIO(content)) for _ in range(2))
    assert isinstance(lower, ImageFile.ImageFile)
    lower.tile = [_of_other_byte(tile) for tile in lower.tile]
    high, low = (np.asarray(ImageOps.exif_transpose(half)) for half in (upper, lower))
    values: NDArray[np.uint16] = high.astype(np.uint16) * np.uint16(256) + low
    return values


def _content(image: ImageFile.ImageFile) -> bytes:
    assert image.fp is not None
    image.fp.seek(0)
    content: bytes = image.fp.read()
    return content


def _raw(tile: Sequence[Any]) -> str:
    """How the bytes of a part of an image lie, as Pillow names it."""
    return str(tile[3] if isinstance(tile[3], str) else tile[3][0])


def _of_other_byte(tile: Any) -> Any:
    other = OTHER_BYTE[_raw(tile)]
    return tile._replace(args=other if isinstance(tile[3], str) else (other, *tile[3][1:]))


def _beyond_pillow(image: Image.Image) -> NDArray[Any] | None:
    """All there is in a TIFF of which Pillow reads some channels or bits; None where it is all."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or image.fp is None:
        return None
    tags, bands = image.tag_v2, len(image.getbands())
    deep = max(tags.get(BITS, (1,))) > 8
    pages = image.n_frames > 1 and str(tags.get(DESCRIPTION, "")).startswith(("ImageJ=", "<?xml"))
    apart = deep and bands > 1 and tags.get(PLANES) == 2
    swapped = deep and tags.prefix == b"MM" and tags.get(COMPRESSION, 1) != 1  # misread
    if tags.get(SAMPLES, 1) > bands or pages or apart or swapped:
        return read_tiff(_content(image))
    return None


def read_tiff(content: bytes) -> NDArray[Any]:
    """The first image of a TIFF of any type and number of channels, (H, W) or (H, W, C).

    Of what one says of other files, as OME's may of parts of it, nothing is opened.

    Raises:
        UnusableImage: tifffile is not installed, or it is too large.
    """
    try:
        import tifffile
    except ImportError as error:
        reason = "is a TIFF that Pillow reads in part or not at all"
        raise UnusableImage(reason, "pip install 'ganlab[tiff]'") from error
    with tifffile.TiffFile(io.BytesIO(content), _multifile=False) as tiff:
        series = tiff.series[0]
        planes = [axis for axis in series.axes if axis not in "YX"]
        whole = series if planes in ([], ["S"], ["C"]) else tiff.pages[0]
        if whole.nbytes > LARGEST:
            reason = f"unpacks to {whole.nbytes / 2**20:,.0f} MB, more than any image read here"
            raise UnusableImage(reason, "save it smaller")
        values: NDArray[Any] = whole.asarray(maxworkers=1)
        where = [whole.axes.index(axis) for axis in whole.axes if axis in "SC"]
    return np.moveaxis(values, where[0], -1) if where else values
