"""No images: the data of a generator whose training set is unknown."""

from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import lightning
import torch

from ganlab.data.batch import Batch
from ganlab.data.decode import sides
from ganlab.nn.frames import Resolution


class NoImages(lightning.LightningDataModule):
    """Lets studies run that need no reals: a test pass of one black image on every rank.

    Raises:
        ValueError: on use of its images; says how to name some.
    """

    content_key = None  # nothing about it is worth keeping on disk

    def __init__(
        self,
        resolution: Resolution,  # of the generator's images
        channels: int,  # of the generator's images
        name: str = "none",  # in results
    ) -> None:
        super().__init__()
        self.resolution, self.channels, self.name = resolution, channels, name

    @property
    def dataset(self) -> NoReturn:
        """There is none."""
        raise ValueError(self._advice())

    def eval_images(self, num: int | None) -> int:
        """The pass has one image a rank, whatever is asked for."""
        return 1

    def test_dataloader(self) -> Iterable[Batch]:
        """One black image."""
        return blank_pass(self.resolution, self.channels)

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Move the batch."""
        return batch.to(device)

    def train_dataloader(self) -> NoReturn:
        """Nothing to train on."""
        raise ValueError(self._advice())

    def _advice(self) -> str:
        return (
            "real images are needed and this checkpoint names none: give some, as in "
            f"data=folder data.path=<folder> data.resolution={self.resolution}, or study.suite=null"
        )


def blank_pass(resolution: Resolution, channels: int) -> Iterable[Batch]:
    """One black image, float in [-1, 1], (1, C, H, W): a test pass has to have something."""
    image = torch.full((1, channels, *sides(resolution)), -1.0)
    return _Once(Batch(image, None, torch.zeros(1, dtype=torch.int64)))


class _Once:
    """A loader of one batch. No list: Lightning would take its items for loaders."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Batch]:
        yield self.batch
