"""Pictures of one kind, taken again and again as training goes on."""

from pathlib import Path
from typing import Any

from lightning import Trainer

from ganlab.callbacks.observer import Observer, is_finished, log_picture, tolerate
from ganlab.report.images import Pixels, save_png
from ganlab.systems.training import Training


class PictureSeries(Observer):
    """Saves `samples/<name>/<images_seen>.png` every K kimg, the last also as `figures/<name>.png`.

    Starts with the untrained networks. Pictures that lie ahead of the clock when training starts,
    left by the run's earlier life, are removed. A system that has no such picture gets none. Rank 0
    only.

    Raises:
        ValueError: a count or period below one.
    """

    name: str  # of the folder, the figure and the tracker's key

    def __init__(
        self,
        directory: str | Path,  # the run's folder
        every_kimg: float,  # a picture each time training crosses this
        num: int = 8,  # images in a row
    ) -> None:
        super().__init__(every_kimg)
        if num < 1:
            raise ValueError(f"callbacks.{self.name}.num must be at least 1, got {num}")
        self.directory, self.num = Path(directory), num

    def picture(self, trainer: Trainer, system: Training) -> Pixels | None:
        """What the system looks like now, (H, W, 3); None if it has no such picture."""
        raise NotImplementedError

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Show the untrained networks; forget pictures of a future that did not happen."""
        if not trainer.is_global_zero:
            return
        for path in (self.directory / "samples" / self.name).glob("*.png"):
            if path.stem.isdecimal() and int(path.stem) > pl_module.images_seen:
                path.unlink()
        if pl_module.images_seen == 0:
            self.observe(trainer, pl_module)

    def observe(self, trainer: Trainer, system: Training) -> None:
        """Save the picture and show it to the trackers."""
        if not trainer.is_global_zero or (picture := self.picture(trainer, system)) is None:
            return
        seen = system.images_seen
        metadata = {"images_seen": str(seen)}
        place = self.directory / "samples" / self.name / f"{seen:09d}.png"
        with tolerate(place):
            save_png(picture, place, metadata)
            if is_finished(system):
                save_png(picture, self.directory / "figures" / f"{self.name}.png", metadata)
        log_picture(trainer, self.name, picture, seen)
