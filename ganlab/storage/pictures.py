"""Pictures of strangers, opened in formats that are pixels and nothing else."""

from functools import cache
from pathlib import Path
from typing import BinaryIO

from PIL import Image

# Pillow goes by a file's content, whatever its name, and lets Ghostscript run what is PostScript.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF")


@cache
def formats() -> tuple[str, ...]:
    """Those that this Pillow knows."""
    Image.init()
    return tuple(each for each in FORMATS if each in Image.OPEN)


def open_picture(source: Path | BinaryIO) -> Image.Image:
    """`Image.open` of these formats alone; raises what it raises."""
    return Image.open(source, formats=formats())
