"""The unit that travels from data to system."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Images with their labels and addresses."""

    image: Tensor  # (N, C, H, W): uint8 from the loader, float in [-1, 1] once on the device
    label: Tensor | None  # (N,) int64, None for unlabelled data
    index: Tensor  # (N,) int64, position of each image in its data set

    def __len__(self) -> int:
        return len(self.image)

    def to(self, *args: Any, **kwargs: Any) -> "Batch":
        """Move every tensor, with the arguments of `Tensor.to`."""
        label = None if self.label is None else self.label.to(*args, **kwargs)
        return Batch(self.image.to(*args, **kwargs), label, self.index.to(*args, **kwargs))
