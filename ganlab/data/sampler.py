"""The endless stream of training images: a pure function of seed and position."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ganlab.nn.randomness import keyed_generator


class ImageStream:
    """Endless (indices, flips) of this rank's share of each global batch, resumable anywhere.

    Stream position p is item p mod n of epoch p div n, an epoch being a permutation of all n
    images; whether position p is flipped is a function of (seed, p) as well. A global batch at
    position p covers p to p + B - 1, and rank r of w takes p + r, p + r + w, ...: ranks are
    disjoint, and interleaving them gives the batch of a single process.

    With `labels` an epoch is about as long, but of equally many images of each class
    (`balanced_order`).
    """

    def __init__(
        self,
        num_images: int,  # n
        batch_size: int | Callable[[int], int],  # global batch B, or position -> B
        seed: int,
        flip: bool = False,  # flip half of the images, chosen at random
        rank: int = 0,
        world_size: int = 1,
        position: int = 0,  # images the whole world has taken from the stream so far
        labels: Tensor | None = None,  # (n,) int64: classes to be balanced
    ) -> None:
        if num_images < 1:
            raise ValueError("a stream needs at least one image")
        self.num_images, self.batch_size, self.seed, self.flip = num_images, batch_size, seed, flip
        self.rank, self.world_size, self.position = rank, world_size, position
        self.labels = labels
        self.epoch_length = num_images if labels is None else len(balanced_order(labels, seed, 0))
        self._epochs: dict[int, tuple[Tensor, Tensor]] = {}

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (indices int64, flips bool), advancing `position` by the global batch."""
        while True:
            size = local_batch(self.batch_size_now(), self.world_size) * self.world_size
            positions = torch.arange(self.position + self.rank, self.position + size)
            self.position += size
            yield self.at(positions[:: self.world_size])

    def batch_size_now(self) -> int:
        """The global batch that starts at the present position."""
        return self.batch_size(self.position) if callable(self.batch_size) else self.batch_size

    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Image index and flip of ascending stream positions, (n,) int64 and (n,) bool."""
        indices = torch.empty_like(positions)
        flips = torch.empty_like(positions, dtype=torch.bool)
        epochs = positions // self.epoch_length
        for epoch in epochs.unique().tolist():
            here = epochs == epoch
            order, flipped = self._epoch(epoch)
            items = positions[here] % self.epoch_length
            indices[here], flips[here] = order[items], flipped[items]
        return indices, flips

    def state_dict(self) -> dict[str, Any]:
        """Position, and what the meaning of a position rests on."""
        told = {"position": self.position, "seed": self.seed, "num_images": self.num_images}
        return told if self.labels is None else told | {"balanced": True}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue at a stored position; raises ValueError if it belongs to another stream."""
        own = {"balanced": False} | self.state_dict()
        stored = {"balanced": False} | state
        for name in ("seed", "num_images", "balanced"):
            if stored[name] != own[name]:
                raise ValueError(
                    f"the stored position belongs to a stream with {name}={stored[name]}, "
                    f"not {own[name]}: the same images cannot follow"
                )
        self.position = state["position"]

    def _epoch(self, epoch: int) -> tuple[Tensor, Tensor]:
        """Order and flips of one epoch, each (epoch_length,); the two latest are kept."""
        if epoch not in self._epochs:
            n = self.epoch_length
            if self.labels is None:
                order = torch.randperm(n, generator=keyed_generator("epoch", self.seed, epoch))
            else:
                order = balanced_order(self.labels, self.seed, epoch)
            draw = torch.rand(n, generator=keyed_generator("flip", self.seed, epoch))
            self._epochs[epoch] = order, (draw < 0.5) & self.flip
            for old in sorted(self._epochs)[:-2]:
                del self._epochs[old]
        return self._epochs[epoch]


def balanced_order(labels: Tensor, seed: int, epoch: int) -> Tensor:
    """Indices of one epoch, in rounds that hold one image of each class, (rounds * classes,).

    There are as many rounds as give about n images. A class brings its images in passes that run
    on over epochs, each a permutation of all of them: none comes again before all have come.
    """
    classes = labels.unique().tolist()
    rounds = -(-len(labels) // len(classes))
    columns = []
    for label in classes:
        members = (labels == label).nonzero().flatten()
        turns = torch.arange(epoch * rounds, (epoch + 1) * rounds)
        passes = (turns // len(members)).unique().tolist()
        orders = [
            torch.randperm(len(members), generator=keyed_generator("class", seed, label, each))
            for each in passes
        ]
        columns.append(members[torch.cat(orders)[turns - passes[0] * len(members)]])
    drawn = torch.rand(
        rounds, len(classes), generator=keyed_generator("classes", seed, epoch)
    )  # which class comes when in a round
    return torch.stack(columns, 1).gather(1, drawn.argsort(1)).flatten()


def local_batch(batch_size: int, world_size: int) -> int:
    """One rank's share of a global batch; raises ValueError unless the shares are equal."""
    if batch_size < 1 or batch_size % world_size:
        raise ValueError(
            f"data.batch_size={batch_size} is the global batch: it must be a positive multiple of "
            f"the number of processes, {world_size} (trainer.devices x trainer.num_nodes)"
        )
    return batch_size // world_size
