"""Which normalization each channel of a generator chose, where it may choose."""

from pathlib import Path

from lightning import Trainer

from ganlab.callbacks.observer import Observer, is_finished, log_row, tolerate
from ganlab.report.rho import rho_by_resolution, rho_drawing
from ganlab.systems.training import Training


class RhoHistogram(Observer):
    """Logs the mean rho of each resolution; at the end draws the histograms of rho.

    Tan, Wen, Yang: "Systematic Analysis and Removal of Circular Artifacts for StyleGAN", figure 15:
    0 is instance normalization alone, 1 pixel normalization alone. `figures/rho.png` has one panel
    a resolution, `rho.npz` every channel's rho. Of the averaged generator; nothing is logged or
    drawn of one whose norms have no rho. Rank 0 only.
    """

    def __init__(
        self,
        directory: str | Path,  # the run's folder
        every_kimg: float,  # a row each time training crosses this
        bins: int = 20,  # of a histogram, from 0 to 1
    ) -> None:
        super().__init__(every_kimg)
        if bins < 1:
            raise ValueError(f"callbacks.rho.bins must be at least 1, got {bins}")
        self.directory, self.bins = Path(directory), bins

    def observe(self, trainer: Trainer, system: Training) -> None:
        """Log the means; draw, if this is the end."""
        rho = rho_by_resolution(system.generator_ema)
        if not rho or not trainer.is_global_zero:
            return
        means = {f"rho/{size}": values.mean().item() for size, values in rho.items()}
        log_row(trainer, means, system.images_seen)
        if is_finished(system):
            place = self.directory / "figures" / "rho.png"
            with tolerate(place):
                rho_drawing(rho, self.bins).save(place)
