"""TensorBoard, in the run's folder, on the axis of images seen."""

from pathlib import Path

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ganlab.loggers.guarded import Guarded
from ganlab.loggers.pictures import Picture, as_pixels
from ganlab.loggers.tracker import Tracker, require_package


class TensorBoardTracker(TensorBoardLogger, Tracker):
    """Event files in `<run folder>/tensorboard`.

    Raises:
        ModuleNotFoundError: the package is missing; the message names the extra that brings it.
    """

    def __init__(
        self,
        directory: str | Path,  # the run's folder
    ) -> None:
        require_package("tensorboard", "'ganlab[tensorboard]'")
        self.continues = any(Path(directory, "tensorboard").glob("events.*"))  # an earlier life
        super().__init__(str(directory), name="tensorboard", version="", default_hp_metric=False)

    @rank_zero_only
    def log_images(self, key: str, images: Picture, step: int) -> None:
        """Show one picture at `step` images seen."""
        self.experiment.add_image(key, as_pixels(images), step, dataformats="HWC")

    @rank_zero_only
    def truncate(self, images_seen: int) -> None:
        """Hide points of an earlier life of this run that lie ahead of the clock."""
        if self.continues:
            self.experiment.close()
            self._experiment = None
            self._kwargs["purge_step"] = images_seen + 1  # the next writer says so in its file


def tensorboard_tracker(
    directory: str | Path,  # the run's folder
) -> Guarded:
    """The tracker behind `logger=tensorboard`; it cannot fail the run once it is built."""
    return Guarded(TensorBoardTracker(directory))
