"""`data=rings`: one to three bright rings about the centre, drawn by formula."""

from typing import Any

import numpy as np
import torch
from PIL import Image

from ganlab.data import ImageData
from ganlab.data.collection import Collection, content_hash
from ganlab.nn.randomness import keyed_generator
from ganlab_rings.radial import distances

WIDTH = 0.08  # of a ring, in half sides


def rings(num: int = 1000, resolution: int = 32, **options: Any) -> ImageData:
    """`num` images; the options of `ImageData` besides."""
    return ImageData(Rings(num, resolution), resolution=resolution, **options)


class Rings(Collection):
    """Image i is a function of i and the resolution; its label says how many rings it has."""

    shared = False
    class_names = ("one ring", "two rings", "three rings")

    def __init__(
        self,
        num: int,  # images
        resolution: int,  # side in pixels
    ) -> None:
        if num < 1:
            raise ValueError(f"data.num={num} must be at least 1")
        self.num, self.resolution = num, resolution
        self.labels = np.arange(num, dtype=np.int64) % 3

    def prepare(self) -> None:
        """Nothing to fetch."""

    def open(self) -> "Rings":
        """The collection is its own source."""
        return self

    def __len__(self) -> int:
        return self.num

    def image(self, index: int) -> Image.Image:
        """Rings at random distances, each a Gaussian bump of the distance."""
        radii = 0.9 * torch.rand(1 + index % 3, generator=keyed_generator("rings", index))
        bumps = torch.exp(-(((distances(self.resolution) - radii[:, None, None]) / WIDTH) ** 2))
        return Image.fromarray((255 * bumps.amax(dim=0)).round().numpy().astype(np.uint8))

    def address(self, index: int) -> str:
        """By number."""
        return f"rings[{index}]"

    def fingerprint(self) -> str:
        """The images are these two numbers'."""
        return content_hash("rings", self.num, self.resolution)
