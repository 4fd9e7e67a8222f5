"""Films as H.264 in an mp4, which browsers and slides play; needs PyAV (`ganlab[video]`).

save_video(frames, path, fps=30, factor=enlargement(64, 64, 256))   # 64 px images, shown at 256
"""

import io
import math
from collections.abc import Iterable
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

from ganlab.report.images import Pixels
from ganlab.storage.atomic import replace_file

LARGEST = 8192  # pixels of a side: of H.264's highest level
X264 = {"crf": "16", "threads": "1"}  # no loss is seen; threads would change what is written
BT709 = 1  # its number in ITU-T H.273; players take large frames for it, small ones for BT.601


def require_video(key: str = "study.video") -> None:
    """Raise ModuleNotFoundError, naming the extra, where PyAV is not installed."""
    if find_spec("av") is None:
        raise ModuleNotFoundError(
            f"{key}=true needs PyAV, which is not installed: pip install 'ganlab[video]'"
        )


def enlargement(
    height: int,  # of a frame
    width: int,
    size: int,  # least height of an image in it
    image: int | None = None,  # height of an image in it; None = of the frame
    key: str = "study.size",
) -> int:
    """The least whole factor that makes images as high as asked, and a frame's sides even.

    1, or an even number: colours are stored once for 2x2 pixels, which then are pixels of one
    image pixel, so that nothing is blurred.

    Raises:
        ValueError: the frame would be larger than players take.
    """
    image = height if image is None else image
    plain = image >= size and height % 2 == width % 2 == 0
    factor = 1 if plain else 2 * math.ceil(size / (2 * image))
    if factor * max(height, width) > LARGEST:
        raise ValueError(
            f"{key}={size}: frames of {factor * width}x{factor * height} pixels, and a video has "
            f"at most {LARGEST} a side; make it smaller or choose fewer latents"
        )
    return factor


def save_video(
    frames: Iterable[Pixels],  # (H, W, 3) uint8, all of one size; taken as they come
    path: Path,
    fps: int,  # frames a second
    factor: int = 1,  # whole enlargement by repeating pixels, after which sides are even
) -> Path:
    """Write an mp4, atomically; the same frames give the same bytes. Colours are BT.709's.

    Raises:
        ValueError: no frame, frames of several sizes, or odd sides.
    """
    import av

    enlarged = (frame.repeat(factor, 0).repeat(factor, 1) for frame in frames)
    first = next(enlarged, None)
    if first is None or first.shape[0] % 2 or first.shape[1] % 2:
        raise ValueError(f"{path}: a video needs a frame, and even sides")
    data = io.BytesIO()
    with av.open(data, "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=fps, options=X264)
        stream.height, stream.width, stream.pix_fmt = *first.shape[:2], "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        for pixels in chain([first], enlarged):
            if pixels.shape != first.shape:
                raise ValueError(f"{path}: a video needs frames of one size")
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            # AREA: of 2x2 pixels the mean is stored; another filter takes in their neighbours.
            stored = picture.reformat(
                format="yuv420p", dst_colorspace="ITU709", interpolation="AREA"
            )
            file.mux(stream.encode(stored))
        file.mux(stream.encode(None))
    return replace_file(Path(path), data.getvalue())
