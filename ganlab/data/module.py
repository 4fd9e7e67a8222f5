"""The one LightningDataModule: any source, decoded once, streamed to every rank."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from ganlab.cli import visible
from ganlab.data.batch import Batch
from ganlab.data.collection import Collection, Source, TwoSided, content_hash, survey_values
from ganlab.data.dataset import DecodedFile, ImageDataset, decode, nbytes
from ganlab.data.decode import MAX_PIXELS, Fitting, checked_show
from ganlab.data.generated import Generated
from ganlab.data.held_out import Shares, side_of
from ganlab.data.no_images import blank_pass
from ganlab.data.sampler import ImageStream, local_batch
from ganlab.data.values import Given, Scale, find_scale, stated_scale, to_find
from ganlab.downloads import cache_dir as user_cache
from ganlab.nn.frames import Resolution
from ganlab.nn.randomness import keyed_generator
from ganlab.nn.transfer import to_device


class ImageData(lightning.LightningDataModule):
    """Images of one size for training and scoring, uint8 until they are on the device.

    `position` is where the next training iteration starts in the endless stream (in images over
    all ranks); iterating leaves it alone. `num_eval` bounds the test pass. `batch_size_at`, when
    set, gives the global batch as a function of the position (growing networks).

    Raises:
        ValueError: on construction, naming the `data.` option; in `prepare_data` and `setup`,
            `BrokenData` with every unusable image.
    """

    def __init__(
        self,
        source: Source,  # where the images come from
        resolution: Resolution = 32,  # side in pixels, a power of two from 4; or height and width
        channels: int = 3,  # 1 grey, 3 RGB; another number takes all channels as they are
        batch_size: int = 64,  # images per step over all processes together
        fit: str = "crop",  # crop | pad | stretch: how an oblong image becomes a square
        filter: str = "lanczos",  # box | bilinear | hamming | bicubic | lanczos
        flip: bool = False,  # flip half of the training images left to right
        seed: int = 0,  # of the order of images and of the flips
        skip_broken: bool = False,  # leave unusable images out instead of refusing the set
        enlarge: bool = False,  # accept images smaller than the resolution
        max_pixels: int = MAX_PIXELS,  # a larger image file is refused before it is read
        memory_budget_mb: float = 2048,  # a decoded set above this is memory-mapped
        cache_dir: str | None = None,  # of mapped files; default <user cache>/ganlab/images
        name: str = "images",  # the data set's name in results
        range: Given = None,  # values that are black and white: two, two percentiles, or auto
        show: Sequence[int] | None = None,  # channels of pictures, one or three; None = the first
        held_out: float = 0.0,  # share of the images that is not trained on, chosen by their names
        side: str = "train",  # train | test: which of the two these images are
        balanced: bool = False,  # train on every class equally often, repeating rare ones
    ) -> None:
        super().__init__()
        scale = stated_scale(range)
        self.fitting = Fitting(resolution, channels, fit, filter, enlarge, max_pixels, scale)
        self.range = range if range is None or isinstance(range, str) else [*range]
        self.show = checked_show(show, channels)
        local_batch(batch_size, 1)
        self.source, self.name = side_of(source, held_out, side), name
        self.resolution = resolution if isinstance(resolution, int) else [*resolution]
        self.channels, self.batch_size = channels, batch_size
        self.flip, self.seed, self.skip_broken = flip, seed, skip_broken
        self.balanced = balanced
        self.memory_budget_mb = memory_budget_mb
        self.cache_dir = Path(cache_dir).expanduser() if cache_dir else user_cache() / "images"
        self.position = 0
        self.num_eval: int | None = None
        self.batch_size_at: Callable[[int], int] | None = None
        self._dataset: ImageDataset | None = None
        self._deferred = False
        self._resident: Tensor | None = None  # all images, on a device
        self._checked: Path | None = None  # the mapped file that was found whole, or written

    def defer(self) -> None:
        """Open the images only when they are first asked for: the test pass has one black image."""
        self._deferred = True

    @property
    def dataset(self) -> ImageDataset:
        """The decoded images; raises RuntimeError before `setup`."""
        if self._dataset is None and self._deferred:
            self._deferred = False
            self.prepare_data()
            self.setup()
        if self._dataset is None:
            raise RuntimeError("images are there after prepare_data() and setup()")
        return self._dataset

    @property
    def num_classes(self) -> int:
        """Number of labels, 0 for unlabelled data."""
        return len(self.dataset.class_names)

    @property
    def content_key(self) -> str:
        """Hash of every decoded pixel and label, and of mirroring."""
        return content_hash(self.dataset.digest, self.dataset.pixels.shape, self.flip)

    @property
    def world(self) -> tuple[int, int]:
        """(rank, number of processes)."""
        trainer = self.trainer
        return (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)

    def prepare_data(self) -> None:
        """Fetch what is missing and decode what is shared; Lightning runs it once per machine."""
        if self._deferred:
            return
        self.source.prepare()
        collection = self.source.open()
        if self._mapped(collection):
            self._sound_file(collection)

    def setup(self, stage: str | None = None) -> None:
        """Load the images, from the mapped file where there is one; every rank runs it."""
        local_batch(self.batch_size, self.world[1])
        if self._dataset is not None or self._deferred:
            return
        collection = self.source.open()
        if self.world[0] == 0 and (told := collection.labelled()):
            print(visible(f"{self.name}: {told}"), file=sys.stderr)
        if self._mapped(collection):
            file = self._file(collection)
            if self.world[0] == 0 or not file.exists():  # the others' first has looked for them
                self._sound_file(collection)
            self._dataset = file.load()
        else:
            self._dataset = decode(collection, self._ranged(collection), self.skip_broken)
        if self._dataset.scale is not None:
            self.fitting = replace(self.fitting, scale=self._dataset.scale)

    def scale(self) -> Scale | None:
        """What is black and white, looked for in the stored values where it is to be found there.

        None where the type of the images says it.
        """
        if self.fitting.scale is None and to_find(self.range):
            self.source.prepare()
            self.fitting = self._ranged(self.source.open())
        return self.fitting.scale

    def stream(self) -> ImageStream:
        """A fresh stream of this rank's batches from `position` on.

        Raises:
            ValueError: classes are to be balanced, and there are none.
        """
        rank, world_size = self.world
        size = self.batch_size_at or self.batch_size
        n, labels = len(self.dataset), self.dataset.labels if self.balanced else None
        if self.balanced and labels is None:
            raise ValueError(f"data.balanced=true needs labels, and data={self.name} has none")
        return ImageStream(n, size, self.seed, self.flip, rank, world_size, self.position, labels)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Endless batches of uint8 images, starting at `position` whenever iteration starts."""
        # a loader without a generator of its own would draw from the global one at each start
        generator = keyed_generator("loader", self.seed)
        return DataLoader(_TrainBatches(self), batch_size=None, num_workers=0, generator=generator)

    def test_dataloader(self) -> Iterable[Batch]:
        """One pass over the first `num_eval` images (all by default) in order, unflipped.

        Rank r of w gets images r, r + w, ...; nothing is padded or repeated.
        """
        if self._deferred:
            return blank_pass(self.resolution, self.channels)
        return _TestBatches(self, self.eval_images(self.num_eval))

    def held_out(self) -> "ImageData":
        """The side of the images that is not trained on, opened when it is first asked for.

        Raises:
            ValueError: there is none.
        """
        if not isinstance(self.source, TwoSided):
            raise ValueError(
                f"data={self.name} has no side that is held out of training: data.held_out=0.1"
            )
        other = copy(self)
        other.source, other._dataset, other._checked = self.source.held_out(), None, None
        other._resident = None
        other.defer()
        return other

    def eval_images(self, num: int | None) -> int:
        """Bound the test pass to `num` images (None: all) and return how many that is.

        Raises:
            ValueError: more images are asked for than exist.
        """
        if self._deferred:
            self.num_eval = num
            return 1
        existing = len(self.dataset)
        if num is not None and not 0 < num <= existing:
            raise ValueError(
                f"{num:,} real images asked for, but {self.name} has {existing:,}: choose a "
                "metric protocol with no more than that, or more data"
            )
        self.num_eval = num
        return existing if num is None else num

    @property
    def origin(self) -> dict[str, object] | None:
        """What the images are, for results, where a generator made them."""
        source = self.source.source if isinstance(self.source, Shares) else self.source
        return source.record if isinstance(source, Generated) else None

    def batch(self, indices: Tensor, flips: Tensor | None = None) -> Batch:
        """The images at these positions as uint8, mirrored where `flips` says so."""
        images, labels = self.dataset.images(indices), self.dataset.labels
        if flips is not None and bool(flips.any()):
            images[flips] = images[flips].flip(-1)
        return Batch(images, None if labels is None else labels[indices], indices)

    def reside(self, device: torch.device, most_mb: float) -> None:
        """Keep all images on a device for training, if they take at most so many MB there."""
        pixels = self.dataset.pixels
        fits = pixels.nbytes <= most_mb * 2**20
        self._resident = torch.from_numpy(np.ascontiguousarray(pixels)).to(device) if fits else None

    def train_batch(self, indices: Tensor, flips: Tensor) -> Batch:
        """`batch`, its images taken where they lie."""
        resident, labels = self._resident, self.dataset.labels
        if resident is None:
            return self.batch(indices, flips)
        images = resident[to_device(indices, resident.device)]
        mirrored = to_device(flips, resident.device)[:, None, None, None]
        images = torch.where(mirrored, images.flip(-1), images) if self.flip else images
        return Batch(images, None if labels is None else labels[indices], indices)

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Move the batch as uint8, a quarter of the bytes of float."""
        label = None if batch.label is None else to_device(batch.label, device)
        return Batch(to_device(batch.image, device), label, to_device(batch.index, device))

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Turn uint8 into float in [-1, 1], on the device."""
        if batch.image.dtype != torch.uint8:
            return batch
        return Batch(batch.image.float().div_(127.5).sub_(1), batch.label, batch.index)

    def _mapped(self, collection: Collection) -> bool:
        """Large sets always; small ones when several processes would each decode files."""
        large = nbytes(collection, self.fitting) > self.memory_budget_mb * 2**20
        return large or (self.source.shared and self.world[1] > 1)

    def _sound_file(self, collection: Collection) -> None:
        """Make the mapped file unless it is there and whole; looks at it once."""
        file = self._file(collection)
        if self._checked != file.pixels and not file.sound(collection, self.fitting):
            file.write(collection, self._ranged(collection), self.skip_broken)
        self._checked = file.pixels

    def _ranged(self, collection: Collection) -> Fitting:
        """The fitting with what is black and white, found in the values where it is asked for."""
        if self.fitting.scale is not None or not to_find(self.range):
            return self.fitting
        scale, why = find_scale(self.range, survey_values(collection, self.fitting))
        if self.world[0] == 0:
            print(visible(f"{self.name}: data.range={scale}: {why}"), file=sys.stderr)
        return replace(self.fitting, scale=scale)

    def _file(self, collection: Collection) -> DecodedFile:
        said = [] if self.range is None else [self.range]
        key = content_hash("v1", collection.fingerprint(), self.fitting, self.skip_broken, *said)
        return DecodedFile(self.cache_dir, key)


class _TrainBatches(IterableDataset[Batch]):
    def __init__(self, data: ImageData) -> None:
        self.data = data

    def __iter__(self) -> Iterator[Batch]:
        for indices, flips in self.data.stream():
            yield self.data.train_batch(indices, flips)


class _TestBatches:
    """A finite pass. No DataLoader: Lightning warns of any whose stream has a length."""

    def __init__(self, data: ImageData, num: int) -> None:
        rank, world_size = data.world
        size = max(1, data.batch_size // world_size)
        shares = torch.arange(rank, max(rank, num), world_size).split(size)
        self.data, self.shares = data, [share for share in shares if len(share)]

    def __len__(self) -> int:
        return len(self.shares)

    def __iter__(self) -> Iterator[Batch]:
        return map(self.data.batch, self.shares)
