"""Images of the data by their position, for studies that look at some of them or at all."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from ganlab.data.absent import NoImages
from ganlab.data.batch import Batch
from ganlab.nn.randomness import keyed_generator
from ganlab.studies.reals import data_of


def has_images(trainer: Trainer) -> bool:
    """Whether the trainer's data has images at all."""
    return not isinstance(data_of(trainer), NoImages)


def require_images(trainer: Trainer, study: str, purpose: str) -> None:
    """Raise ValueError where the data has no images; says which study needs them for what."""
    data = data_of(trainer)
    if isinstance(data, NoImages):
        raise ValueError(
            f"study={study} {purpose} and this checkpoint names none: give them, as in "
            f"data=folder data.path=<folder> data.resolution={data.resolution}"
        )


def require_features(extractor: Any, study: str) -> None:
    """Raise ValueError where neither the checkpoint nor the command line names features."""
    if extractor is None:
        raise ValueError(
            f"study={study} needs features and this checkpoint names none: choose some, as in "
            "features=inception or features=classifier"
        )


def stored_images(data: Any, indices: Sequence[int], device: torch.device) -> Batch:
    """Images at these positions of a data module, float in [-1, 1], (N, C, H, W)."""
    batch: Batch = data.batch(torch.tensor(list(indices), dtype=torch.int64)).to(device)
    found: Batch = data.on_after_batch_transfer(batch, 0)
    return found


def mirrored_images(data: Any, positions: Sequence[int], device: torch.device) -> Tensor:
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
