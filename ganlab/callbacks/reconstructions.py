"""What an autoencoder makes of real images."""

import torch
from lightning import Trainer
from torch import Tensor

from ganlab.callbacks.series import PictureSeries
from ganlab.data import ImageData
from ganlab.report.images import Pixels, labelled_grid
from ganlab.systems.training import Training


class Reconstructions(PictureSeries):
    """The first `num` images of the data above what the system's `reconstruct` gives back.

    Of a system that reconstructs nothing, or without images of ours, none is taken.
    """

    name = "reconstructions"

    def picture(self, trainer: Trainer, system: Training) -> Pixels | None:
        """Two captioned rows: images and reconstructions."""
        data = system.data
        if data is None or not system.reconstructs:
            return None
        images = self.reals(data).to(system.device)
        rows = [("image", images), ("reconstruction", system.reconstruct(images))]
        return labelled_grid(rows)

    def reals(self, data: ImageData) -> Tensor:
        """Images 0 .. num-1 of a data module, (num, C, H, W), float in [-1, 1]."""
        indices = torch.arange(min(self.num, len(data.dataset)))
        return data.on_after_batch_transfer(data.batch(indices), 0).image
