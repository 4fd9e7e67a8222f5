"""From an image's many stored forms to one: uint8, (C, H, W), at the resolution asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ganlab.data.problems import UnusableImage
from ganlab.data.stored import Stored, is_sixteen, values_of
from ganlab.data.values import FULL, Scale
from ganlab.nn.frames import Resolution

FITS = ("crop", "pad", "stretch")
FILTERS = ("box", "bilinear", "hamming", "bicubic", "lanczos")  # Pillow's, all anti-aliased
MODES = {1: "L", 3: "RGB"}  # of pictures; images of other numbers of channels are planes
MAX_PIXELS = 178_956_970  # of an image file; Pillow's own limit too
LARGE = 2**26  # pixels from which a JPEG is decoded no finer than what it becomes takes
FINER = 4  # times the resolution, which leaves the filter to decide


def normalise(image: Stored, scale: Scale | None = None) -> Image.Image:
    """8-bit greyscale or RGB, upright, opaque: the one form every picture is brought to.

    EXIF rotation is applied; transparency (RGBA, LA, a palette entry, a tRNS chunk) is composited
    on white; 16-bit greys map 65535 to 255; CMYK, YCbCr, Lab and HSV become RGB; of an animation
    the first frame is taken. With a `scale` that says what is black and white instead.

    Raises:
        UnusableImage: floating-point, signed or 32-bit pixels without a scale, which have no agreed
            white, or another number of channels; what else is wrong is raised as Pillow does.
    """
    if scale is not None or not isinstance(image, Image.Image):
        return _picture(values_of(image), scale)
    sixteen = is_sixteen(image)
    image.load()
    image = ImageOps.exif_transpose(image)
    if sixteen or image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        return Image.fromarray(eight_bits(values.astype(np.uint16) if sixteen else values))
    if image.has_transparency_data:
        return _on_white(image)
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def eight_bits(values: NDArray[np.generic], scale: Scale | None = None) -> NDArray[np.uint8]:
    """Stored numbers in 8 bits: by the scale, or else by their type; raises `UnusableImage`."""
    scale = FULL.get(values.dtype) if scale is None else scale
    if scale is None:
        kind = "floating-point" if values.dtype.kind == "f" else "32-bit or signed"
        fix = "say which is black and which is white, as data.range=[0,1], or data.range=auto"
        raise UnusableImage(f"{kind} pixels have no fixed range", fix)
    if values.dtype == np.uint8 and scale == FULL[values.dtype]:
        return values.astype(np.uint8, copy=False)
    return scale(values)


def _picture(values: NDArray[np.generic], scale: Scale | None) -> Image.Image:
    """Grey or RGB of (H, W) or (H, W, C); a second or fourth channel is opacity."""
    values = values[..., None] if values.ndim == 2 else values
    planes = values.shape[-1]
    if planes not in (1, 2, 3, 4):
        raise UnusableImage(f"has {planes} channels", f"set data.channels={planes}")
    if planes in (1, 3):
        return Image.fromarray(eight_bits(values, scale).squeeze(-1 if planes == 1 else ()))
    opacity = eight_bits(values[..., -1:], FULL.get(values.dtype, scale))
    colours = eight_bits(values[..., :-1], scale)
    return _on_white(Image.fromarray(np.concatenate([colours, opacity], -1)))


def _on_white(image: Image.Image) -> Image.Image:
    grey = image.mode in ("1", "L", "LA", "La")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("L" if grey else "RGB")


def admit(image: Stored, max_pixels: int = MAX_PIXELS, side: int | None = None) -> None:
    """Prepare an opened file to be read: a large JPEG no finer than 4 times `side`, if given.

    Raises:
        UnusableImage: it has more pixels than are read.
    """
    if not isinstance(image, Image.Image):  # an array is there already
        return
    width, height = image.size
    if width * height > max_pixels:
        raise UnusableImage(
            f"{width}x{height} px are more than data.max_pixels={max_pixels}",
            f"set data.max_pixels={width * height}, or save it smaller",
        )
    if side is not None and width * height > LARGE and image.format == "JPEG":
        image.draft(None, (FINER * side, FINER * side))


def sides(resolution: Resolution) -> tuple[int, int]:
    """Height and width in pixels: of a square where one number is given.

    Raises:
        ValueError: a square's side that is no power of two from 4, or no two sides from 4.
    """
    if isinstance(resolution, int):
        if resolution < 4 or resolution & (resolution - 1):
            raise ValueError(f"data.resolution={resolution} must be a power of two, 4 or larger")
        return resolution, resolution
    given = resolution if isinstance(resolution, Sequence) else ()
    if len(given) != 2 or not all(isinstance(side, int) and side >= 4 for side in given):
        raise ValueError(
            f"data.resolution={resolution} must be a power of two, 4 or larger, or a height and a "
            "width, as [64,128]"
        )
    return given[0], given[1]


@dataclass(frozen=True)
class Fitting:
    """A stored image -> (C, height, width) uint8 array.

    `crop` takes the centred part of the right shape, `pad` adds black to make that shape, `stretch`
    ignores the aspect ratio. Padding is all that happens when it suffices: a side s is padded
    straight to a resolution r when s <= r < 2 s, so that 28 px become 32 without resampling.

    Raises:
        ValueError: on construction, naming the `data.` option that is wrong.
    """

    resolution: Resolution  # side of the square, a power of two from 4, or (height, width); px
    channels: int = 3  # 1 converts colour to luma (ITU-R 601), 3 repeats grey; others are planes
    fit: str = "crop"  # crop | pad | stretch
    filter: str = "lanczos"  # box | bilinear | hamming | bicubic | lanczos
    enlarge: bool = False  # accept images smaller than the resolution
    max_pixels: int = field(default=MAX_PIXELS, repr=False)  # of a file; says nothing of the result
    scale: Scale | None = field(default=None, repr=False)  # what is black and white; None = by type

    def __post_init__(self) -> None:
        sides(self.resolution)
        if not isinstance(self.channels, int) or self.channels < 1:
            raise ValueError(
                f"data.channels={self.channels} must be 1 (grey), 3 (RGB) or how many there are"
            )
        if self.fit not in FITS:
            raise ValueError(f"data.fit={self.fit} must be one of {', '.join(FITS)}")
        if self.filter not in FILTERS:
            names = ", ".join(FILTERS)
            raise ValueError(f"data.filter={self.filter} must be one of {names} (anti-aliased)")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        return self.channels, *sides(self.resolution)

    def admit(self, image: Stored) -> None:
        """Look at an opened file before its pixels are read; raises `UnusableImage`."""
        admit(image, self.max_pixels, max(self.shape[1:]))

    def takes(self, planes: int) -> bool:
        """Whether images of this many channels become what is asked for."""
        return planes == self.channels or (self.channels in MODES and planes in (1, 3, 4))

    def fitted(self, stored: Stored) -> NDArray[np.uint8]:
        """Fit an image in its stored form: a picture, or else each of its planes alike.

        Raises:
            UnusableImage: it is too small, has another number of planes, or no range.
        """
        if self.channels in MODES:
            return self(normalise(stored, self.scale))
        values = eight_bits(values_of(stored), self.scale)
        planes = values[..., None] if values.ndim == 2 else values
        if planes.shape[-1] != self.channels:
            fix = f"save it with all of them, or set data.channels={planes.shape[-1]}"
            raise UnusableImage(f"has {planes.shape[-1]} channels, not {self.channels}", fix)
        sized = [self._sized(Image.fromarray(plane)) for plane in np.moveaxis(planes, -1, 0)]
        return np.stack([np.asarray(plane) for plane in sized])

    def __call__(self, image: Image.Image) -> NDArray[np.uint8]:
        """Fit a normalised picture; raises `UnusableImage` if it is too small, `enlarge` off."""
        sized = self._sized(image.convert(MODES[self.channels]))
        pixels = np.asarray(sized).reshape(*self.shape[1:], self.channels)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))  # (C, H, W)

    def _sized(self, image: Image.Image) -> Image.Image:
        size = self.shape[:0:-1]  # (W, H), as Pillow has it
        image = self._shaped(image, size)
        if image.size == size:
            return image
        return image.resize(size, Image.Resampling[self.filter.upper()])

    def _shaped(self, image: Image.Image, size: tuple[int, ...]) -> Image.Image:
        """The part of an image, or the image with what is added, that has the shape of `size`."""
        shares = image.width / size[0], image.height / size[1]
        if self.fit == "pad":
            share = max(shares)
            if 0.5 < share <= 1:
                return _padded(image, size)
            self._check(share, image)
            width, height = (round(share * side) for side in size)
            if width * height > self.max_pixels:
                raise UnusableImage(
                    f"{image.width}x{image.height} px would be padded to {width}x{height}, more "
                    f"than data.max_pixels={self.max_pixels}",
                    "cut it, or set data.fit=crop",
                )
            return _padded(image, (width, height))
        share = min(shares)
        self._check(share, image)
        if self.fit == "stretch":
            return image
        width, height = (max(1, round(share * side)) for side in size)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))

    def _check(self, share: float, image: Image.Image) -> None:
        if share < 1 and not self.enlarge:
            raise UnusableImage(
                f"{image.width}x{image.height} px is too small for data.resolution="
                f"{resolution_text(self.resolution)}",
                "lower data.resolution or set data.enlarge=true",
            )


def checked_show(show: Sequence[int] | None, channels: int) -> list[int] | None:
    """The channels that pictures show; raises ValueError unless they are one or three of them."""
    if show is None:
        return None
    if len(show) not in (1, 3) or not all(k in range(channels) for k in show):
        raise ValueError(
            f"data.show={[*show]} must be one or three of the channels 0 to {channels - 1}"
        )
    return [*show]


def resolution_text(resolution: Resolution) -> str:
    """A resolution as it is written on a command line."""
    return str(resolution if isinstance(resolution, int) else [*resolution]).replace(" ", "")


def _padded(image: Image.Image, size: Sequence[int]) -> Image.Image:
    width, height = size
    padded = Image.new(image.mode, (width, height))
    padded.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    return padded
