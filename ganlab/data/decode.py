"""From an image file's many forms to one: uint8, (C, H, W), square, at the resolution asked for."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

FITS = ("crop", "pad", "stretch")
FILTERS = ("box", "bilinear", "hamming", "bicubic", "lanczos")  # Pillow's, all anti-aliased
MODES = {1: "L", 3: "RGB"}
MAX_PIXELS = 178_956_970  # of an image file; Pillow's own limit too
LARGE = 2**26  # pixels from which a JPEG is decoded no finer than what it becomes takes
FINER = 4  # times the resolution, which leaves the filter to decide
WIDENED = ("PNG", "PPM")  # formats whose 16-bit greys Pillow may open as 32-bit ones, mode I


class UnusableImage(ValueError):  # noqa: N818
    """An image that opens but cannot be used; `fix` says what would help."""

    def __init__(self, reason: str, fix: str) -> None:
        self.fix = fix
        super().__init__(reason)


def normalised(image: Image.Image) -> Image.Image:
    """8-bit greyscale or RGB, upright, opaque: the one form every stored image is brought to.

    EXIF rotation is applied; transparency (RGBA, LA, a palette entry, a tRNS chunk) is composited
    on white; 16-bit greys map 65535 to 255; CMYK, YCbCr, Lab and HSV become RGB; of an animation
    the first frame is taken. Floating-point and 32-bit pixels have no agreed white and are refused.

    Raises:
        UnusableImage: such pixels; what else is wrong with a file is raised as Pillow does.
    """
    sixteen = image.mode.startswith("I;16") or (image.mode == "I" and image.format in WIDENED)
    image.load()
    image = ImageOps.exif_transpose(image)
    if sixteen:
        return _eight_bits(image)
    if image.mode.startswith("I") or image.mode == "F":
        kind = "floating-point" if image.mode == "F" else "32-bit or signed"
        raise UnusableImage(f"{kind} pixels have no fixed range", "save it as 8 or 16 bit")
    if image.has_transparency_data:
        return _on_white(image)
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))  # 65535 = 257 * 255


def _on_white(image: Image.Image) -> Image.Image:
    grey = image.mode in ("1", "L", "LA", "La")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("L" if grey else "RGB")


def admit(image: Image.Image, max_pixels: int = MAX_PIXELS, side: int | None = None) -> None:
    """Prepare an opened file to be read: a large JPEG no finer than 4 times `side`, if given.

    Raises:
        UnusableImage: it has more pixels than are read.
    """
    width, height = image.size
    if width * height > max_pixels:
        raise UnusableImage(
            f"{width}x{height} px are more than data.max_pixels={max_pixels}",
            f"set data.max_pixels={width * height}, or save it smaller",
        )
    if side is not None and width * height > LARGE and image.format == "JPEG":
        image.draft(None, (FINER * side, FINER * side))


@dataclass(frozen=True)
class Fitting:
    """Normalised image -> (C, resolution, resolution) uint8 array.

    `crop` takes the centred square, `pad` adds black to make a square, `stretch` ignores the aspect
    ratio. Padding is all that happens when it suffices: a side s is padded straight to a
    resolution r when s <= r < 2 s, so that 28 px become 32 without resampling.

    Raises:
        ValueError: on construction, naming the `data.` option that is wrong.
    """

    resolution: int  # side of the square in pixels, a power of two from 4
    channels: int = 3  # 1 converts colour to luma (ITU-R 601), 3 repeats grey
    fit: str = "crop"  # crop | pad | stretch
    filter: str = "lanczos"  # box | bilinear | hamming | bicubic | lanczos
    enlarge: bool = False  # accept images smaller than the resolution
    max_pixels: int = field(default=MAX_PIXELS, repr=False)  # of a file; says nothing of the result

    def __post_init__(self) -> None:
        r = self.resolution
        if not isinstance(r, int) or r < 4 or r & (r - 1):
            raise ValueError(f"data.resolution={r} must be a power of two, 4 or larger")
        if self.channels not in MODES:
            raise ValueError(f"data.channels={self.channels} must be 1 (grey) or 3 (RGB)")
        if self.fit not in FITS:
            raise ValueError(f"data.fit={self.fit} must be one of {', '.join(FITS)}")
        if self.filter not in FILTERS:
            names = ", ".join(FILTERS)
            raise ValueError(f"data.filter={self.filter} must be one of {names} (anti-aliased)")

    def admit(self, image: Image.Image) -> None:
        """Look at an opened file before its pixels are read; raises `UnusableImage`."""
        admit(image, self.max_pixels, self.resolution)

    def __call__(self, image: Image.Image) -> NDArray[np.uint8]:
        """Fit one image; raises `UnusableImage` when it is too small and `enlarge` is off."""
        side = self.resolution
        image = self._square(image.convert(MODES[self.channels]))
        if image.size != (side, side):
            image = image.resize((side, side), Image.Resampling[self.filter.upper()])
        pixels = np.asarray(image).reshape(side, side, self.channels)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))  # (C, H, W)

    def _square(self, image: Image.Image) -> Image.Image:
        width, height = image.size
        short, long = sorted(image.size)
        if self.fit == "pad":
            padded = self.resolution if long <= self.resolution < 2 * long else long
            self._check(long if padded == long else self.resolution, image)
            return _padded(image, padded)
        self._check(short, image)
        if self.fit == "stretch":
            return image
        left, top = (width - short) // 2, (height - short) // 2
        return image.crop((left, top, left + short, top + short))

    def _check(self, side: int, image: Image.Image) -> None:
        if side < self.resolution and not self.enlarge:
            raise UnusableImage(
                f"{image.width}x{image.height} px is too small for data.resolution="
                f"{self.resolution}",
                "lower data.resolution or set data.enlarge=true",
            )


def _padded(image: Image.Image, side: int) -> Image.Image:
    square = Image.new(image.mode, (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square
