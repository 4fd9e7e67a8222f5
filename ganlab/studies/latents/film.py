"""What studies share that leave films: an animation, and a video (`ganlab[video]`)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from ganlab.report.image_files import checked_format, save_animation
from ganlab.report.images import Pixels
from ganlab.report.video import enlargement, require_video, save_video
from ganlab.studies.findings import File
from ganlab.studies.latents.pictures import LatentQuestion
from ganlab.studies.question import at_least


@dataclass(frozen=True, kw_only=True)
class FilmedQuestion(LatentQuestion):
    """A question answered by pictures that move.

    Raises:
        ValueError: another format than there is, or a video of no size, speed or length.
        ModuleNotFoundError: a video, without PyAV; names the extra that brings it.
    """

    animation: str | None = "webp"  # or gif; None = without
    video: bool = False  # an mp4 too (`ganlab[video]`)
    size: int = 256  # least height of an image in the video; pixels are repeated, never blurred
    fps: int = 30  # frames of the video a second
    seconds: float = 8.0  # the video's length

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.animation is not None:
            checked_format(self.animation)
        at_least(1, size=self.size, fps=self.fps)
        if not 0 < self.seconds <= 3600:
            raise ValueError(f"study.seconds={self.seconds} must be above 0 and at most 3600")
        if self.video:
            require_video()

    @property
    def num_frames(self) -> int:
        """Of the video."""
        return max(1, round(self.seconds * self.fps))

    def enough_frames(self, needed: int, of: str) -> None:
        """Raise ValueError, naming the options, where the video is too short for all of these."""
        if self.video and self.num_frames < needed:
            raise ValueError(
                f"study.seconds={self.seconds:g} at study.fps={self.fps} are {self.num_frames} "
                f"frames for {needed} {of}: make it longer or faster"
            )

    def pixel_factor(self, height: int, width: int, image: int | None = None) -> int:
        """How often the video repeats each pixel of a frame with images of this height."""
        return enlargement(height, width, self.size, image) if self.video else 1

    def animation_file(self, name: str, frames: Sequence[Pixels], fps: float) -> dict[str, File]:
        """The animation, if one is asked for."""
        if self.animation is None:
            return {}
        return {f"figures/{name}.{self.animation}": partial(save_animation, frames, fps=fps)}

    def video_file(self, name: str, frames: Iterator[Pixels], factor: int) -> dict[str, File]:
        """The video of frames that are painted while it is written, if one is asked for."""
        if not self.video:
            return {}
        writer = partial(save_video, frames, fps=self.fps, factor=factor)
        return {f"figures/{name}.mp4": writer}
