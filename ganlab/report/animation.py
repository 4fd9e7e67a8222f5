"""Animations of images, as GIF or WebP."""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, features

from ganlab.report.atomic import replace_file
from ganlab.report.images import Pixels

FORMATS = ("gif", "webp")
QUALITY = 80  # of WebP, of 100


def checked_format(name: str, key: str = "study.animation") -> str:
    """The format itself, if this Pillow can write it.

    Raises:
        ValueError: another format, or a Pillow built without WebP.
    """
    if name not in FORMATS:
        raise ValueError(f"{key} must be {' or '.join(FORMATS)}, or null for none, got {name!r}")
    if name == "webp" and not features.check("webp"):
        raise ValueError(f"{key}=webp: this Pillow was built without WebP; use gif")
    return name


def there_and_back(frames: Sequence[Pixels]) -> list[Pixels]:
    """The frames, then those between the ends backwards: a loop without a jump."""
    return [*frames, *reversed(frames[1:-1])]


def save_animation(
    frames: Sequence[Pixels],  # (H, W, 3) uint8, all of one size
    path: Path,  # ending in .gif or .webp
    fps: float = 16.0,  # frames a second; GIF keeps time in hundredths
) -> Path:
    """Write an endless loop, atomically; GIF with 256 colours a frame.

    Raises:
        ValueError: no frame, frames of several sizes, another ending, or no speed.
    """
    path = Path(path)
    kind = checked_format(path.suffix.removeprefix("."), str(path))
    if not frames or len({frame.shape for frame in frames}) != 1 or fps <= 0:
        raise ValueError(f"{path}: an animation needs frames of one size and a speed above 0")
    first, *others = [Image.fromarray(frame) for frame in frames]
    how = {"quality": QUALITY} if kind == "webp" else {"optimize": False}
    data = io.BytesIO()
    milliseconds = max(1, round(1000 / fps))
    timing = {"save_all": True, "append_images": others, "duration": milliseconds, "loop": 0}
    first.save(data, format=kind.upper(), **timing, **how)
    return replace_file(path, data.getvalue())
