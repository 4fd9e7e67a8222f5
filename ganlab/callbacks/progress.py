"""How far the run is: a bar on a terminal, lines in a file."""

import math
import sys
import time
from typing import Any

from lightning import Trainer
from tqdm import tqdm

from ganlab.callbacks.observer import Observer, is_finished
from ganlab.callbacks.throughput import Pace
from ganlab.cli import tell
from ganlab.systems.training import Training

BAR = "{l_bar}{bar}| {n:.1f}/{total:.1f} kimg{postfix}"


def duration(seconds: float) -> str:
    """`1:02:03`, `2:03`, or `?` for what is not known."""
    return tqdm.format_interval(seconds) if math.isfinite(seconds) else "?"


def losses(means: dict[str, float]) -> str:
    """Both losses, each penalty named after the loss it is part of; empty before the first step.

    Losses of a system that has no discriminator stand under their own names.
    """
    penalties = [
        f"{name.removeprefix('penalty/')} {value:.3g}"
        for name, value in means.items()
        if name.startswith("penalty/")
    ]
    part = f" ({', '.join(penalties)})" if penalties else ""
    shown = {"loss/discriminator": ("D", part), "loss/generator": ("G", "")}
    shown |= {
        name: (name.removeprefix("loss/"), "")
        for name in means
        if name.startswith("loss/") and name not in shown
    }
    return " ".join(
        f"{label} {means[name]:.3f}{tail}" for name, (label, tail) in shown.items() if name in means
    )


class Progress(Observer):
    """Shows kimg, images a second, time left and both losses on standard error.

    On a terminal: a bar, redrawn at most every `seconds`; elsewhere: a line every `every_kimg`. The
    losses are means since the last row of the log and leave the device only when they are shown.
    Rank 0 only.
    """

    def __init__(
        self,
        every_kimg: float,  # a line each time training crosses this, where there is no terminal
        seconds: float = 0.5,  # least time between two states of the bar
    ) -> None:
        super().__init__(every_kimg)
        self.seconds = seconds
        self.bar: tqdm | None = None
        self.pace: Pace | None = None
        self.drawn_at = -math.inf
        self.losses = ""

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Open the bar where the run starts or was resumed."""
        if not trainer.is_global_zero:
            return
        self.pace, self.drawn_at = Pace(pl_module.images_seen, window=20), -math.inf
        if sys.stderr.isatty():
            done = pl_module.images_seen / 1000
            self.bar = tqdm(
                total=float(pl_module.kimg), initial=done, bar_format=BAR, dynamic_ncols=True
            )

    def due(self, system: Training) -> bool:
        """On a terminal often enough for the eye; elsewhere at ticks."""
        if self.pace is None:
            return False
        if self.bar is None:
            return super().due(system)
        return is_finished(system) or time.monotonic() - self.drawn_at >= self.seconds

    def observe(self, trainer: Trainer, system: Training) -> None:
        """Redraw the bar, or print the line."""
        assert self.pace is not None
        self.pace.mark(system.images_seen)
        self.drawn_at = time.monotonic()
        text = self.text(system)
        done = min(system.images_seen / 1000, system.kimg)  # a last batch may overshoot
        if self.bar is None:
            tell(f"{done:.1f}/{system.kimg:.1f} kimg, {text}")
        else:
            self.bar.n = done
            self.bar.set_postfix_str(text)

    def text(self, system: Training) -> str:
        """`531 images/s, 2:03 left, D 1.234 (r1 0.05) G 0.987`."""
        assert self.pace is not None
        self.losses = losses(system.running_means.read()) or self.losses
        rate = self.pace.recent()
        speed = f"{rate:,.0f} images/s" if math.isfinite(rate) else "? images/s"
        left = duration(self.pace.seconds_left(system.kimg * 1000))
        return ", ".join(filter(None, (speed, f"{left} left", self.losses)))

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Leave the bar as it stands."""
        self.close()

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Leave the terminal clean for the message."""
        self.close()

    def close(self) -> None:
        """End the bar's line, if there is a bar."""
        if self.bar is not None:
            self.bar.close()
        self.bar = self.pace = None
