"""The real side of every score: the protocol's choice of images, fed once and kept on disk."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor
from tqdm import tqdm

from ganlab.data import ImageData
from ganlab.data.batch import Batch
from ganlab.data.decode import sides
from ganlab.data.positions import Images, content_key, has_mirrors, num_channels, num_images
from ganlab.metrics import RealCache, Suite, real_key
from ganlab.metrics.cache import Key
from ganlab.nn.digest import is_digest_of
from ganlab.sampling import Sampler


class Reals:
    """Fills a suite's real statistics from disk, or from each rank's share of the data.

    Which images are the reals is the suite's fixed choice among all images of the data, found by
    their index; so they are the same on any number of ranks and in any order. Data that is trained
    with mirroring (`data.flip`) counts double, each image and its mirror image, which is the
    protocol of StyleGAN2-ADA: image i of n has the mirror image n + i.
    """

    def __init__(
        self,
        suite: Suite,
        cache: str | Path | None = None,  # folder; None = `reals` in the user's cache
        unseen: bool = False,  # take the side of the data that is not trained on
    ) -> None:
        self.suite, self.cache, self.unseen = suite, RealCache(cache), unseen
        self._other: ImageData | None = None  # that side
        self.complete = False
        self.chosen = torch.empty(0, dtype=torch.bool)  # (images of the data and their mirrors,)
        self.num_stored = 0  # images of the data without their mirrors
        self.own = ""  # where they are samples of the scored generator itself: of which latents

    def recognize(self, trainer: Trainer, sampler: Sampler) -> None:
        """Note whether the reals are samples of the scored generator itself: names then say `own`.

        Raises:
            ValueError: they are of the seed that is scored, so the same images.
        """
        data = self.side(trainer)
        origin = data.origin if isinstance(data, ImageData) else None
        if origin is None or not is_digest_of(str(origin["generator"]), sampler.generator):
            return
        seed, num = origin["latent_seed"], origin["num"]
        if seed == sampler.seed:
            raise ValueError(
                f"data.latent_seed={seed}: the reals would be the very images that are scored; "
                f"data.latent_seed={sampler.seed + 1} gives other samples of this generator"
            )
        self.own, self.suite.own = f"latents 0-{int(str(num)) - 1} of seed {seed}", True

    def check(self, trainer: Trainer) -> None:
        """Fetch the extractor's weights, and refuse data that is too small, before any work.

        Raises:
            ValueError: fewer images than the protocol compares, or too small for a score.
        """
        self.suite.extractor.preflight()
        self.suite.extractor.prepare()
        data = self.side(trainer)
        self.fit(data, told=trainer.is_global_zero)
        self.suite.check_available(num_images(data))
        self.suite.check_resolution(min(sides(data.resolution)))
        self.suite.check_channels(num_channels(data))

    def side(self, trainer: Trainer) -> Images:
        """The trainer's images, or those of the side that is not trained on.

        Raises:
            ValueError: there is no such side.
        """
        if not self.unseen:
            return data_of(trainer)
        if self._other is None:
            self._other = other_side(data_of(trainer))
        return self._other

    def fit(self, data: Images, told: bool = True) -> None:
        """Let a protocol that may shrink to the data do so, and say it."""
        if (said := self.suite.fit(num_images(data))) and told:
            print(said, file=sys.stderr)

    def _begin(self, data: Images, device: torch.device) -> None:
        """Move the suite to the device, and forget other data."""
        self.suite.to(device)
        self.suite.reset(real=True)
        self.num_stored = len(data.dataset)
        self.chosen = torch.zeros(num_images(data), dtype=torch.bool)
        self.chosen[self.suite.real_indices(len(self.chosen))] = True
        self.suite.tell_mirrors(self.num_stored if self.mirror else None)

    @property
    def mirror(self) -> bool:
        """Whether the mirror image of each image counts as a real too; known once begun."""
        return len(self.chosen) > self.num_stored

    def feed(self, batch: Batch) -> None:
        """Take those images of a batch, float in [-1, 1], that are among the reals, or mirrored."""
        index = batch.index.cpu()
        self._take(batch.image, index)
        if self.mirror:
            self._take(batch.image.flip(-1), index + self.num_stored)

    def _take(self, images: Tensor, index: Tensor) -> None:
        rows = self.chosen[index].nonzero().flatten()
        if len(rows):
            self.suite.update(images[rows.to(images.device)], real=True, index=index[rows])

    def fill(self, trainer: Trainer, device: torch.device) -> None:
        """Fill from disk or from the test loader, unless that was done before."""
        if not self.complete:
            self.fill_from(self.side(trainer), device, hidden=not trainer.is_global_zero)

    def fill_from(self, data: Images, device: torch.device, hidden: bool = False) -> bool:
        """Fill from disk or from the data's test loader; whether they were on disk.

        Of a grid's cells one goes through the images, and the others wait for its file. A progress
        bar shows on a terminal unless `hidden`.
        """
        self._begin(data, device)
        key = self.key(data)
        with nullcontext() if key is None else self.cache.turn(key):
            found = key is not None and self.cache.restore(self.suite, key)
            if not found:
                self._go_through(data, device, hidden)
                if key is not None:
                    self.cache.store(self.suite, key)
        self.complete = True
        return found

    def _go_through(self, data: Images, device: torch.device, hidden: bool) -> None:
        bound(data, None)
        shown = {"leave": False, "disable": True if hidden else None}  # None = on a terminal alone
        for batch in tqdm(data.test_dataloader(), "reals", unit="batch", **shown):
            self.feed(data.on_after_batch_transfer(batch.to(device), 0))

    def key(self, data: Images) -> Key | None:
        """What the statistics depend on; None where the data does not say what it is."""
        if (content := content_key(data)) is None:
            return None
        return real_key(self.suite, content, data.resolution, num_images(data), has_mirrors(data))


def precompute(
    reals: Reals,
    data: Any,  # `Images` of Lightning's class
    device: torch.device,  # where the extractor works
) -> tuple[Path, bool]:
    """The file of these reals, and whether it was there already; without training anything.

    Raises:
        ValueError: fewer images than the protocol compares, or data that does not say what it is.
        OSError: the file could not be written.
    """
    reals.suite.extractor.preflight()
    data.prepare_data()
    data.setup("test")
    reals.fit(data)
    key = reals.key(data)
    if key is None:
        raise ValueError(f"{type(data).__name__} has no content_key, so nothing can be kept")
    reals.suite.extractor.prepare()
    found, path = reals.fill_from(data, device), reals.cache.path(key)
    if not path.is_file():
        raise OSError(f"{path} was not written: point GANLAB_CACHE to a folder that can be")
    return path, found


def data_of(trainer: Trainer) -> Images:
    """The trainer's data module.

    Raises:
        ValueError: it has none.
    """
    data: Images | None = getattr(trainer, "datamodule", None)
    if data is None:
        raise ValueError("scores need real images: give the trainer a data module (data=...)")
    return data


def other_side(data: Images) -> ImageData:
    """Images that are not trained on.

    Raises:
        ValueError: there are none.
    """
    try:
        if isinstance(data, ImageData):
            return data.held_out()
        reason = f"{type(data).__name__} does not say which those are"
    except ValueError as error:
        reason = str(error)
    raise ValueError(f"unseen=true needs images that are held out: {reason}")


def bound(data: Images, num: int | None) -> None:
    """Let a test pass end after `num` images (None = all), where the data module can be told."""
    if hasattr(data, "eval_images"):
        data.eval_images(num)
