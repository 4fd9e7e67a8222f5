"""Images and masks that a user names: any size and mode in, or one line that says what is wrong.

fitting = fitting_of(datamodule)                                   # as the training images were
image = read_image("hiker.jpg", fitting)                           # (1, C, R, R) in [-1, 1]
region = read_mask("where.png", "hiker.jpg", fitting)              # (1, 1, R, R), 1 = marked
"""

import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from ganlab.checks.places import file_named, place_named
from ganlab.data.collection import without_pixel_limit
from ganlab.data.decode import Fitting, admit, normalise, resolution_text
from ganlab.data.files import SUFFIXES
from ganlab.data.module import ImageData
from ganlab.data.problems import UnusableImage
from ganlab.data.stored import Stored, kept_open, open_stored, values_of

SHAPE_TOLERANCE = 0.01  # by which aspect ratios of an image and its mask may differ
GREY = (32, 223)  # values between these are neither black nor white
DAMAGED = (  # what decoders raise on bytes that are no image
    *(OSError, ValueError, TypeError, IndexError, SyntaxError, EOFError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)


def require_named(place: object, key: str, what: str = "an image file") -> Any:
    """What the user named; ValueError where that is nothing."""
    if place is None:
        raise ValueError(f"{key} is not set; it takes {what}")
    return place


def fitting_of(data: Any) -> Fitting:
    """How images become what a generator of this data module makes; small ones are enlarged."""
    if isinstance(data, ImageData):
        data.scale()  # looked for in the training images where it is to be found there
    own = getattr(data, "fitting", None)  # a user's own data module need not have one
    if own is None:
        own = Fitting(data.resolution, int(data.channels))
    found: Fitting = replace(own, enlarge=True)
    return found


def read_image(place: str | Path, fitting: Fitting, key: str = "study.image") -> Tensor:
    """One image file, upright and fitted as in training: (1, C, H, W) float in [-1, 1].

    Of other channels than grey or RGB all are taken. The range of the training images holds, or
    that of the file's type where this cannot reach it: a photograph of 8 bits for data of 12.

    Raises:
        FileNotFoundError: there is no such file; the message names `key`.
        ValueError: a folder, a file that is no image, one without a fixed range of values, too
            large, or of other channels.
    """
    with _opened(place, key, fitting) as found:
        if fitting.scale is not None:
            found = values_of(found)
            if not fitting.scale.serves(found.dtype, float(found.max())):
                fitting = replace(fitting, scale=None)
        pixels = torch.tensor(fitting.fitted(found))
    return pixels[None].float() / 127.5 - 1


def read_images(
    places: str | Sequence[str], fitting: Fitting, key: str = "study.images"
) -> tuple[list[str], Tensor]:
    """Names and (N, C, H, W) of a file, a list of files, or a folder's files.

    They are called by their names without suffix, or by as much of their paths as tells them apart.

    Raises:
        FileNotFoundError, ValueError: see `read_image`; also an empty list or folder.
    """
    listed = [places] if isinstance(places, str) else list(places)
    paths = [place_named(place, key) for place in listed]
    if len(paths) == 1 and paths[0].is_dir():
        paths = [path for path in sorted(paths[0].iterdir()) if is_image_name(path)]
    if not paths:
        raise ValueError(
            f"{key}={places} names no image; it takes image files, or a folder of them"
        )
    images = torch.cat([read_image(path, fitting, key) for path in paths])
    return distinct(paths), images


def distinct(paths: Sequence[Path]) -> list[str]:
    """The shortest names that are all different."""
    for names in ([path.stem for path in paths], [path.name for path in paths]):
        if len({*names}) == len(names):
            return names
    return [str(path) for path in paths]


def is_image_name(path: Path) -> bool:
    """A known suffix, and not hidden."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def read_mask(
    place: str | Path,
    image: str | Path,  # the image that it marks a region of
    fitting: Fitting,
    key: str = "study.mask",
    image_key: str = "study.image",
) -> Tensor:
    """A mask file fitted exactly as its image is: (1, 1, H, W) float, 1 where it is white.

    White marks, black and transparent do not. It has the size of the upright image, or its shape
    (it is resized by nearest neighbours), or the generator's size. A pixel of the result is marked
    if at least half of what it covers is.

    Raises:
        FileNotFoundError: there is no such file; the message names `key`.
        ValueError: no image, another shape, more greys than whites, or a region that is empty or
            everything.
    """
    grey = binarize(mask_values(place, key), place, key)
    region = _fitted_region(grey, _size(image, image_key), fitting, (place, image), key)
    if not region.any():
        lost = (
            f" once it is fitted to {resolution_text(fitting.resolution)} px"
            if np.any(grey)
            else ""
        )
        raise ValueError(f"{key}={place} marks nothing{lost}: paint the region white on black")
    if region.all() or np.all(grey):  # what an oblong image is padded with is never marked
        raise ValueError(
            f"{key}={place} marks every pixel, so nothing would be kept: white is the region alone"
        )
    return torch.tensor(region).float()[None]


def mask_values(place: str | Path, key: str) -> NDArray[np.uint8]:
    """Grey values (H, W) of a mask file; what is transparent is black. Raises as `read_mask`."""
    with _opened(place, key) as file:
        if not isinstance(file, Image.Image):
            return np.asarray(normalise(file).convert("L"))
        image = ImageOps.exif_transpose(file)
        image.format = file.format  # tells 16-bit greys from wider ones
        if image.has_transparency_data and not image.mode.startswith("I"):
            black = Image.new("RGBA", image.size, "black")
            image = Image.alpha_composite(black, image.convert("RGBA"))
        return np.asarray(normalise(image).convert("L"))


def binarize(
    grey: NDArray[np.uint8], place: str | Path = "", key: str = "study.mask"
) -> NDArray[np.uint8]:
    """The same with 255 from the middle up and 0 below; values 0 and 1 alone are black and white.

    A soft edge is cut in the middle.

    Raises:
        ValueError: more values are grey than white, as in a photograph.
    """
    if grey.max() == 1:
        grey = grey * 255
    greys = ((grey > GREY[0]) & (grey < GREY[1])).mean()
    if greys > (grey >= GREY[1]).mean():
        raise ValueError(
            f"{key}={place} is no mask: {greys:.0%} of its pixels are neither black nor white; "
            "save it in black and white"
        )
    return np.where(grey >= 128, 255, 0).astype(np.uint8)


def _fitted_region(
    grey: NDArray[np.uint8],
    size: tuple[int, int],  # width and height of the image
    fitting: Fitting,
    files: tuple[str | Path, str | Path],  # of the mask and its image, for the message
    key: str,
) -> NDArray[np.bool_]:
    mask, (height, width) = Image.fromarray(grey), fitting.shape[1:]
    if mask.size == (width, height):
        return grey[None] >= 128
    if mask.size != size:
        shapes = math.log(mask.width * size[1] / (mask.height * size[0]))
        if abs(shapes) > SHAPE_TOLERANCE:
            raise ValueError(
                f"{key}={files[0]} is {mask.width}x{mask.height} px and {files[1]} "
                f"{size[0]}x{size[1]}: a mask has its image's size or shape, or {width}x{height} px"
            )
        mask = mask.resize(size, Image.Resampling.NEAREST)
    return replace(fitting, channels=1, filter="box")(mask) >= 128


def open_image(place: str | Path, key: str) -> Image.Image:
    """An image file as a picture, 8 bits of grey or RGB. Raises as `read_image`."""
    with _opened(place, key) as found:
        return normalise(found)


def _size(place: str | Path, key: str) -> tuple[int, int]:
    """Width and height of an image file, upright."""
    with _opened(place, key) as found:
        if isinstance(found, Image.Image):
            return ImageOps.exif_transpose(found).size
        return found.shape[1], found.shape[0]


@contextmanager
def _opened(place: str | Path, key: str, fitting: Fitting | None = None) -> Iterator[Stored]:
    """A file as the images of a data set are opened, whatever its decoder may raise in one line."""
    if place_named(place, key).is_dir():
        raise ValueError(f"{key}={place} is a folder; it takes an image file")
    path = file_named(place, key, "it takes an image file")
    with _readable(place, key), without_pixel_limit(), kept_open(open_stored(path)) as found:
        (admit if fitting is None else fitting.admit)(found)
        yield found


@contextmanager
def _readable(place: str | Path, key: str) -> Iterator[None]:
    """Turns whatever a decoder raises on damaged bytes into one line."""
    try:
        yield
    except UnusableImage as error:
        raise ValueError(f"{key}={place}: {error}; {error.fix}") from error
    except DAMAGED as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{key}={place} is no image that can be read: {reason}") from error
