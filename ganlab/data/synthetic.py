"""Images drawn by formula: discs, rectangles and gradients, for tests and dry runs."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ganlab.data.collection import Collection, content_hash
from ganlab.nn.randomness import keyed_generator

SHAPES = ("disc", "rectangle", "gradient")


class Synthetic(Collection):
    """Coloured shapes on coloured grounds; image i is a function of i and the resolution alone.

    Its label is i mod 3: disc, rectangle, gradient. The scene of an image is the same at every
    resolution.
    """

    shared = False
    class_names = SHAPES

    def __init__(
        self,
        num: int = 1000,  # images
        resolution: int = 32,  # side in pixels
    ) -> None:
        if num < 1:
            raise ValueError(f"data.num={num} must be at least 1")
        self.num, self.resolution = num, resolution
        self.labels = np.arange(num, dtype=np.int64) % len(SHAPES)

    def prepare(self) -> None:
        """Nothing to fetch."""

    def open(self) -> "Synthetic":
        """The collection is its own source."""
        return self

    def __len__(self) -> int:
        return self.num

    def image(self, index: int) -> Image.Image:  # noqa: D102
        draw = torch.rand(10, generator=keyed_generator("synthetic", index)).numpy()
        share = self._share(SHAPES[index % len(SHAPES)], draw[6:])[..., None]  # (H, W, 1)
        pixels = share * draw[0:3] + (1 - share) * draw[3:6]  # (H, W, 3)
        return Image.fromarray(np.rint(255 * pixels).astype(np.uint8))

    def address(self, index: int) -> str:  # noqa: D102
        return f"synthetic[{index}]"

    def fingerprint(self) -> str:  # noqa: D102
        return content_hash("synthetic", self.num, self.resolution)

    def _share(self, shape: str, draw: NDArray[np.float32]) -> NDArray[np.float32]:
        """How much of each pixel the shape covers, (H, W) in [0, 1]; edges one pixel soft."""
        axis = (np.arange(self.resolution, dtype=np.float32) + 0.5) / self.resolution
        x, y = axis[None, :] - 0.3 - 0.4 * draw[0], axis[:, None] - 0.3 - 0.4 * draw[1]
        if shape == "gradient":
            angle = 2 * np.pi * draw[2]
            share: NDArray[np.float32] = 0.5 + np.cos(angle) * x + np.sin(angle) * y
            return share.clip(0, 1)
        half = 0.1 + 0.2 * draw[2:4]  # half width and half height
        if shape == "disc":
            distance = np.hypot(x, y) - half[0]
        else:
            distance = np.maximum(abs(x) - half[0], abs(y) - half[1])
        share = 0.5 - distance * self.resolution
        return share.clip(0, 1)
