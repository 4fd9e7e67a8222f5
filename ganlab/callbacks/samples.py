"""What the same latents look like as training goes on."""

from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from ganlab.callbacks.observer import (
    Observer,
    class_fakes,
    fixed_fakes,
    is_finished,
    log_picture,
    tolerate,
)
from ganlab.report.images import Pixels, grid, save_grid, save_png
from ganlab.report.timeline import strip
from ganlab.systems.training import Training


class SampleGrid(Observer):
    """Saves grids of fixed latents: at the start, every K kimg and at the end, then a timeline.

    `<images_seen>.png` in nine digits holds latents 0 .. num-1 of `seed`, row by row. When the run
    reaches its length, `timeline.png` shows how the first latents changed (paper 003, figure 4). It
    is cut from the saved grids, so it is whole in a resumed run too. Grids that lie ahead of the
    clock when training starts, left by the run's earlier life, are removed. Rank 0 only.

    Where networks are told classes a column is a class and a row a latent: as many of the first
    classes as fit into `num` images and twice `columns`, and as many latents, at most `columns`.

    Raises:
        ValueError: a count or period below one.
    """

    def __init__(
        self,
        directory: str | Path,  # where the pictures go
        every_kimg: float,  # a grid each time training crosses this
        num: int = 64,  # latents in a grid
        seed: int = 0,  # of the latents
        columns: int = 8,  # images in a row of a grid
        batch_size: int = 64,  # images generated at a time
        timeline_columns: int = 8,  # latents in the timeline, at most a grid's row
        timeline_rows: int = 12,  # moments in the timeline: first, last and evenly between
    ) -> None:
        super().__init__(every_kimg)
        self.directory, self.seed = Path(directory), seed
        self.num, self.columns, self.batch_size = num, columns, batch_size
        self.timeline_columns, self.timeline_rows = timeline_columns, timeline_rows
        counts = {"num": num, "columns": columns, "batch_size": batch_size}
        counts |= {"timeline_columns": timeline_columns, "timeline_rows": timeline_rows}
        for name, count in counts.items():
            if count < 1:
                raise ValueError(f"callbacks.sample_grid.{name} must be at least 1")

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Show the untrained generator; forget pictures of a future that did not happen."""
        if not trainer.is_global_zero:
            return
        for path in self.saved():
            if int(path.stem) > pl_module.images_seen:
                path.unlink()
        if pl_module.images_seen == 0:
            self.observe(trainer, pl_module)

    def saved(self) -> list[Path]:
        """The grids on disk, oldest first."""
        return sorted(path for path in self.directory.glob("*.png") if path.stem.isdecimal())

    def observe(self, trainer: Trainer, system: Training) -> None:
        """Save the grid, at the end the timeline too, and show both to the trackers."""
        if not trainer.is_global_zero:
            return
        seen, columns = system.images_seen, self.width(system)
        images = self.images(system)
        metadata = {"images_seen": str(seen), "seed": str(self.seed)}
        place = self.directory / f"{seen:09d}.png"
        with tolerate(place):
            save_grid(images, place, columns, metadata=metadata)
        log_picture(trainer, "samples", grid(images, columns), seen)
        if is_finished(system) and self.saved():
            with tolerate(self.directory / "timeline.png", reads=True):
                log_picture(trainer, "timeline", self.save_timeline(columns), seen)

    def width(self, system: Training) -> int:
        """Images in a row: classes, where there are any."""
        classes = system.conditioner.num_labels
        return min(classes, 2 * self.columns, self.num) or self.columns

    def images(self, system: Training) -> Tensor:
        """(N, C, H, W) on the CPU, row by row."""
        if system.conditioner.num_labels:
            columns = self.width(system)
            rows = min(self.columns, self.num // columns)
            return class_fakes(system, rows, columns, self.seed, self.batch_size)
        chunks = fixed_fakes(system, self.num, self.seed, self.batch_size)
        return torch.cat([chunk.cpu() for chunk in chunks])

    def save_timeline(self, width: int) -> Pixels:
        """Write `timeline.png` from the grids on disk, `width` images in a row; return it.

        One row a moment, cut from each grid's first row.
        """
        columns = min(self.timeline_columns, width, self.num)
        picture = strip(self.saved(), count=columns, moments=self.timeline_rows)
        save_png(picture, self.directory / "timeline.png")
        return picture
