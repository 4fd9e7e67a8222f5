"""Images of any data module by position; a user's own need not say what those of a run do.

From the data's length on, positions are those of mirror images, where it is trained with them.
"""

from collections.abc import Iterable, Sequence, Sized
from typing import Protocol

import torch
from torch import Tensor

from ganlab.data.batch import Batch
from ganlab.nn.frames import Resolution
from ganlab.nn.randomness import keyed_generator


class Images(Protocol):
    """What is asked of every data module, a user's own too."""

    def prepare_data(self) -> None:
        """Fetch what is missing."""

    def setup(self, stage: str) -> None:
        """Load the images."""

    @property
    def resolution(self) -> Resolution:
        """Of every image, in pixels."""

    @property
    def dataset(self) -> Sized:
        """All stored images."""

    def batch(self, indices: Tensor) -> Batch:
        """Images as they are kept, mostly uint8: indices (N,) int64 -> image (N, C, H, W)."""

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """The same on their device, float in [-1, 1]."""

    def test_dataloader(self) -> Iterable[Batch]:
        """This rank's share of all images, as they are kept."""


def content_key(data: object) -> str | None:
    """A hash of what the images are: data of a run has one, a user's own need not."""
    key: str | None = getattr(data, "content_key", None)
    return key


def names_of_classes(data: Images) -> Sequence[str]:
    """What the classes of the images are called; nothing where the data does not say."""
    return tuple(getattr(data.dataset, "class_names", ())) if content_key(data) else ()


def has_mirrors(data: object) -> bool:
    """Whether the data is trained with mirror images."""
    return bool(getattr(data, "flip", False))


def num_channels(data: object) -> int:
    """How many channels the images have; a user's own data need not say, and is of colours."""
    return int(getattr(data, "channels", 3))


def num_images(data: Images) -> int:
    """How many images the data has; a mirror image that it is trained with counts too."""
    return len(data.dataset) * (2 if has_mirrors(data) else 1)


def stored_images(data: Images, indices: Sequence[int], device: torch.device) -> Batch:
    """Images at these positions of a data module, float in [-1, 1], (N, C, H, W)."""
    batch: Batch = data.batch(torch.tensor(list(indices), dtype=torch.int64)).to(device)
    return data.on_after_batch_transfer(batch, 0)


def mirrored_images(data: Images, positions: Sequence[int], device: torch.device) -> Tensor:
    """Stored images in this order, (N, C, H, W); from the data's length on, mirror images."""
    num = len(data.dataset)
    batch = stored_images(data, [position % num for position in positions], device)
    flips = torch.tensor([position >= num for position in positions], device=batch.image.device)
    return torch.where(flips[:, None, None, None], batch.image.flip(-1), batch.image)


def random_positions(num_images: int, num: int, *key: str | int) -> list[int]:
    """`num` different positions among the images, addressed by key, in random order.

    Raises:
        ValueError: more than there are.
    """
    if num > num_images:
        raise ValueError(f"{num} real images asked for, and the data has {num_images}")
    order = torch.randperm(num_images, generator=keyed_generator(*key))
    positions: list[int] = order[:num].tolist()
    return positions
