"""What an autoencoder makes of real images."""

from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from ganlab.callbacks.series import PictureSeries
from ganlab.report.images import Pixels, labelled_grid


class Reconstructions(PictureSeries):
    """The first `num` images of the data above what the system's `reconstruct` gives back.

    Of a system without `reconstruct`, no autoencoder, or without a data module none is taken.
    """

    name = "reconstructions"

    def picture(self, trainer: Trainer, system: Any) -> Pixels | None:
        """Two captioned rows: images and reconstructions."""
        data = getattr(trainer, "datamodule", None)
        if data is None or not hasattr(system, "reconstruct"):
            return None
        images = self.reals(data).to(system.device)
        rows = [("image", images), ("reconstruction", system.reconstruct(images))]
        return labelled_grid(rows)

    def reals(self, data: Any) -> Tensor:
        """Images 0 .. num-1 of a data module, (num, C, H, W), float in [-1, 1]."""
        indices = torch.arange(min(self.num, len(data.dataset)))
        return data.on_after_batch_transfer(data.batch(indices), 0).image
