"""The size of an image as doublings of a small first map: of squares, and of other rectangles."""

from collections.abc import Sequence
from dataclasses import dataclass

SMALLEST = 4  # px of a first map's shorter side, which has fewer than twice as many
Resolution = int | Sequence[int]  # side of a square, or height and width; px


@dataclass(frozen=True)
class Frame:
    """A table of maps for a square, stretched to another shape: [64, 128] px begin with 4x8 maps.

    `size` and those of the table are what they are for a square, so the map of size s has
    (h s / 4, w s / 4) px for a first map of (h, w).
    """

    size: int  # of the image, px of a square
    first: tuple[int, int] = (SMALLEST, SMALLEST)  # h, w

    @classmethod
    def of(cls, part: str, resolution: Resolution) -> "Frame":
        """The frame of an image; a square's side is not looked at here.

        Raises:
            ValueError: two sides that cannot be halved as often as the shorter one; names the key
                of `model.<part>` and sides that can.
        """
        if isinstance(resolution, int):
            return cls(resolution)
        height, width = resolution
        doublings = max(0, (min(height, width) // SMALLEST).bit_length() - 1)
        step = 2**doublings
        if min(height, width) < SMALLEST or height % step or width % step:
            near = [max(SMALLEST, step * round(side / step)) for side in (height, width)]
            raise ValueError(
                f"model.{part}.resolution (data.resolution) must be sides from {SMALLEST} that can "
                f"be halved {doublings} times, as {near}, got {[height, width]}"
            )
        return cls(SMALLEST * step, (height // step, width // step))

    def at(self, size: int) -> tuple[int, int]:
        """Height and width of the map of this size.

        Raises:
            ValueError: it has no whole number of pixels.
        """
        if any(side * size % SMALLEST for side in self.first):
            raise ValueError(
                f"data.resolution={[*self.at(self.size)]} halves to no whole number of pixels: its "
                f"sides must be multiples of {2 * self.size // SMALLEST} here"
            )
        return self.first[0] * size // SMALLEST, self.first[1] * size // SMALLEST

    def pixels(self, size: int) -> str:
        """`8`, or `8x16` of a rectangle: the map of this size in words."""
        height, width = self.at(size)
        return str(height) if height == width else f"{height}x{width}"

    def name(self, size: int) -> str:
        """`4x8`: how the map of this size is called."""
        height, width = self.at(size)
        return f"{height}x{width}"
