"""Figures and pictures as values: drawn where their numbers are, written where files belong."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from ganlab.report import figures, images
from ganlab.storage.atomic import replace_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Drawing:
    """A drawn figure with every number that it shows."""

    figure: "Figure"
    numbers: Mapping[str, ArrayLike]
    caption: str = ""  # what the report shows under it

    def save(self, path: Path) -> Path:
        """The picture as `path`, .png, and the numbers beside it as .npz."""
        return figures.save(self.figure, path, self.numbers, self.caption)

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return figures.png(self.figure, self.caption)


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels, such as a grid of images, with the numbers that belong to them."""

    pixels: images.Pixels  # (H, W, 3) uint8
    numbers: Mapping[str, ArrayLike] = field(default_factory=dict)
    caption: str = ""  # what the report shows under it
    text: Mapping[str, str] = field(default_factory=dict)  # other PNG texts, such as a grid's cells

    def save(self, path: Path) -> Path:
        """The picture as `path`, .png, and the numbers beside it as .npz."""
        replace_file(path.with_suffix(".npz"), figures.npz(self.numbers))
        return replace_file(path, self._repr_png_())

    def _repr_png_(self) -> bytes:
        """The file itself, which is what a notebook shows."""
        return images.png(self.pixels, {**self.text, "Description": self.caption})
