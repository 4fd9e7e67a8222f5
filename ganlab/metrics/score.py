"""What every score is: a torchmetrics Metric that compares generated images with reals."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

State = dict[str, Tensor | list[Tensor]]


class Score(Metric):
    """Base of the scores: statistics of reals outlive those of fakes and can be saved.

    A subclass names every state `real_*` or `fake_*`, implements `update(features, real, index)`
    and `compute()`. `compute` returns one scalar, named after the suite's key, or a dict of them.
    """

    source: str = "features"  # which output of the extractor `update` receives, or "images"
    full_state_update = False
    parts: ClassVar[tuple[str, ...] | None] = ()  # scores in `compute`'s dict; None = not known yet
    undirected: ClassVar[tuple[str, ...]] = ()  # of these: neither less nor more is better
    protocol: str = ""  # what a reader must know beyond the counts, as "k3"; part of the name
    num_stored: int | None = None  # real n + i is the mirror image of real i, n = this; None = none

    def __init__(self, **options: object) -> None:
        super().__init__(compute_with_cache=False, **options)

    @classmethod
    def way_of(cls, part: str) -> str:
        """Which way this part improves, `min`, `max` or `neither`; empty where it is not said.

        By `higher_is_better`, the declaration of every torchmetrics Metric.
        """
        if part in cls.undirected:
            return "neither"
        return {None: "", True: "max", False: "min"}[cls.higher_is_better]

    def source_of(self, outputs: Mapping[str, Tensor]) -> Tensor | None:
        """What `update` receives of an extractor's outputs; None = it is not there."""
        return outputs.get(self.source)

    def allocate(self, width: int) -> None:
        """Learn the feature width, so that a rank without images still has states of that width."""

    def check_sizes(self, num_real: int | None, num_fake: int) -> None:
        """Raise ValueError where so few images leave the score undefined; None = not known yet."""

    def check_resolution(self, resolution: int) -> None:
        """Raise ValueError where images of this side, in pixels, are too small for the score."""

    def reset_fakes(self) -> None:
        """Forget the fakes and keep the reals."""
        real = self._local_real()
        self.reset()
        self._put(real)

    def real_state(self) -> State:
        """The statistics of all reals, summed or gathered over ranks (a collective call)."""
        with self.sync_context():
            return self._local_real()

    def load_real_state(self, state: State) -> None:
        """Replace the statistics of the reals.

        Raises:
            ValueError: names or shapes that are not this score's.
        """
        expected = self._local_real()
        if set(state) != set(expected):
            raise ValueError(f"{type(self).__name__} keeps {sorted(expected)}, not {sorted(state)}")
        for name, value in state.items():
            if isinstance(expected[name], Tensor) and not _alike(value, expected[name]):
                raise ValueError(f"{type(self).__name__}.{name} has another shape or type")
        self._put(state)

    def _local_real(self) -> State:
        states = {n: each for n, each in self.metric_state.items() if n.startswith("real_")}
        return {n: list(v) if isinstance(v, list) else v.clone() for n, v in states.items()}

    def _put(self, state: State) -> None:
        for name, value in state.items():
            setattr(self, name, self._placed(value, isinstance(self._defaults[name], list)))

    def _placed(self, value: Tensor | list[Tensor], listed: bool) -> Tensor | list[Tensor]:
        if isinstance(value, Tensor):
            return [value.to(self.device)] if listed else value.to(self.device)
        return [chunk.to(self.device) for chunk in value]


class ImageCount(Score):
    """How many images of each side were seen: the check that no rank lost or repeated one."""

    source = "images"
    real_images: Tensor
    fake_images: Tensor

    def __init__(self) -> None:
        super().__init__()
        for side in ("real", "fake"):
            self.add_state(f"{side}_images", torch.zeros((), dtype=torch.int64), "sum")

    def update(self, features: Tensor, real: bool, index: Tensor | None = None) -> None:
        """Count the rows of (N, ...)."""
        if real:
            self.real_images += len(features)
        else:
            self.fake_images += len(features)

    def compute(self) -> dict[str, Tensor]:
        """The counts under `real` and `fake`."""
        return {"real": self.real_images, "fake": self.fake_images}


class StoredFeatures(Score):
    """Base of scores that need each image's features: keeps them all, with their index.

    The index puts features into one order whatever the batches and ranks. Where the caller gives
    none, the j-th image that rank r of w sees is image `r + w * j`, the house's split of a set.
    Memory is 4 * d bytes an image and rank, and of all images in `compute`.
    """

    real_features: list[Tensor]
    fake_features: list[Tensor]
    stored: torch.dtype = torch.float32  # type of a row's numbers

    def __init__(self) -> None:
        super().__init__()
        for side in ("real", "fake"):
            self.add_state(f"{side}_features", [], "cat")
            self.add_state(f"{side}_index", [], "cat")

    def update(self, features: Tensor, real: bool, index: Tensor | None = None) -> None:
        """Keep (N, d) features with their (N,) int64 index."""
        side = "real" if real else "fake"
        index = self.index_of(features, side, index)
        self.chunks(side, "features").append(features.detach())
        self.chunks(side, "index").append(index.to(features.device, torch.int64))

    def chunks(self, side: str, state: str) -> list[Tensor]:
        """What is kept of `real` or `fake`, batch by batch; one tensor once ranks are gathered."""
        return cast(list[Tensor], self.metric_state[f"{side}_{state}"])

    def index_of(self, batch: Tensor, side: str, index: Tensor | None) -> Tensor:
        """Each image's position in its set, (N,): as given, or as this rank counts its images.

        Raises:
            ValueError: not one index an image.
        """
        seen = sum(len(chunk) for chunk in self.chunks(side, "index"))
        index = _strided(seen, len(batch)) if index is None else index
        if index.shape != batch.shape[:1]:
            raise ValueError(f"{len(batch)} images came with {len(index)} indices")
        return index

    def ordered(self, side: str) -> Tensor:
        """Every feature of `real` or `fake` by ascending index, (N, d) float64; see `rows`."""
        return self.rows(side).double()

    def indices(self, side: str) -> Tensor:
        """The index of each of `rows`, ascending, (N,) int64."""
        return _concatenated(self.chunks(side, "index")).sort().values

    def rows(self, side: str) -> Tensor:
        """What is kept of `real` or `fake` by ascending index, (N, d) of the type it came in.

        Raises:
            ValueError: an image that was counted twice, or none at all.
        """
        index = _concatenated(self.chunks(side, "index"))
        if not len(index):
            raise ValueError(f"{type(self).__name__} has seen no {side} images")
        index, order = index.sort()
        if (index[1:] == index[:-1]).any():
            raise ValueError(f"a {side} image was counted twice: split images over ranks unpadded")
        return _in_order(self.chunks(side, "features"), order)

    def sync(self, *args: Any, **options: Any) -> None:
        """Gather from all ranks; one that has no images takes part with no rows."""
        empty = torch.empty(0, self._agreed_width(), dtype=self.stored, device=self.device)
        no_index = torch.empty(0, dtype=torch.int64, device=self.device)
        for side in ("real", "fake"):
            for state, none in (("features", empty), ("index", no_index)):
                # an earlier, empty gathering may have left chunks of another width
                filled = [chunk for chunk in self.chunks(side, state) if len(chunk)]
                setattr(self, f"{side}_{state}", filled or [none])
        super().sync(*args, **options)

    def _agreed_width(self) -> int:
        """The width of a row on the ranks that have one, on every rank; 0 if none has."""
        chunks = [*self.real_features, *self.fake_features]
        width = torch.tensor(max((c.shape[1] for c in chunks), default=0), device=self.device)
        if rank_and_world()[1] > 1:
            torch.distributed.all_reduce(width, torch.distributed.ReduceOp.MAX)
        return int(width)


def _concatenated(chunks: Tensor | list[Tensor]) -> Tensor:
    """All rows; chunks without any, whose width says nothing, are left out."""
    if isinstance(chunks, Tensor):
        return chunks
    return dim_zero_cat([chunk for chunk in chunks if len(chunk)] or [torch.empty(0)])


def _in_order(chunks: Tensor | list[Tensor], order: Tensor) -> Tensor:
    """`torch.cat(chunks)[order]` without a second copy of them all."""
    if isinstance(chunks, Tensor):
        return chunks[order]
    chunks = [chunk for chunk in chunks if len(chunk)]
    found = chunks[0].new_empty(len(order), *chunks[0].shape[1:])
    places = torch.empty_like(order)
    places[order] = torch.arange(len(order), device=order.device)
    for chunk, place in zip(chunks, places.split([len(c) for c in chunks]), strict=True):
        found[place] = chunk
    return found


def _strided(start: int, count: int) -> Tensor:
    """Index of the images `start` .. `start + count` of this rank when rank r of w takes r::w."""
    rank, world = rank_and_world()
    return rank + world * torch.arange(start, start + count)


def rank_and_world() -> tuple[int, int]:
    """This process's rank and how many there are; (0, 1) without torch.distributed."""
    ranks = torch.distributed
    if not (ranks.is_available() and ranks.is_initialized()):
        return 0, 1
    return ranks.get_rank(), ranks.get_world_size()


def _alike(value: Tensor | list[Tensor], other: Tensor | list[Tensor]) -> bool:
    same = isinstance(value, Tensor) and isinstance(other, Tensor)
    return same and value.shape == other.shape and value.dtype == other.dtype  # type: ignore[union-attr]
