"""`metrics=rings`: how far generated images are from being round."""

import torch
from torch import Tensor

from ganlab.metrics import Score


class Asymmetry(Score):
    """Share of generated images' variance that turning and mirroring them averages away, 0 to 1.

    0 is of images that quarter turns and mirroring leave alone, as they leave rings. Only generated
    images count; compare with the same score of reals.
    """

    higher_is_better = False
    source = "images"
    parts = ("asymmetry",)
    fake_lost: Tensor
    fake_total: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("fake_lost", "fake_total"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), "sum")

    def update(self, features: Tensor, real: bool, index: Tensor | None = None) -> None:
        """Add up squares of images in [-1, 1], (N, C, H, W)."""
        if real:
            return
        images = features.double()
        self.fake_lost += (images - symmetric(images)).square().sum()
        self.fake_total += (images - images.mean(dim=(2, 3), keepdim=True)).square().sum()

    def compute(self) -> dict[str, Tensor]:
        """`asymmetry`, float64; NaN where no image has any variance."""
        return {"asymmetry": self.fake_lost / self.fake_total}


def symmetric(images: Tensor) -> Tensor:
    """The mean over the eight symmetries of the square: (N, C, H, W) -> same."""
    turned = sum(images.rot90(k, (2, 3)) for k in range(4)) / 4
    return (turned + turned.flip(3)) / 2
