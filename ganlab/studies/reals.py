"""The real side of every score: the protocol's choice of images, fed once and kept on disk."""

from pathlib import Path
from typing import Any

import torch
from lightning import Trainer

from ganlab.data.batch import Batch
from ganlab.metrics import RealCache, Suite, real_key
from ganlab.metrics.cache import Key


class Reals:
    """Fills a suite's real statistics from disk, or from each rank's share of the data.

    Which images are the reals is the suite's fixed choice among all images of the data, found by
    their index; so they are the same on any number of ranks and in any order.
    """

    def __init__(
        self,
        suite: Suite,
        cache: str | Path | None = None,  # folder; None = `reals` in the user's cache
    ) -> None:
        self.suite, self.cache = suite, RealCache(cache)
        self.complete = False
        self.chosen = torch.empty(0, dtype=torch.bool)  # (images of the data,)

    def check(self, trainer: Trainer) -> None:
        """Fetch the extractor's weights, and refuse data that is too small, before any work.

        Raises:
            ValueError: fewer images than the protocol compares.
        """
        self.suite.extractor.preflight()
        self.suite.extractor.prepare()
        self.suite.check_available(num_images(trainer))
        bound_test_pass(trainer, None)

    def begin(self, trainer: Trainer, device: torch.device) -> None:
        """Move the suite to the device, forget other data, and look on disk."""
        self.suite.to(device)
        self.suite.reset(real=True)
        self.chosen = torch.zeros(num_images(trainer), dtype=torch.bool)
        self.chosen[self.suite.real_indices(len(self.chosen))] = True
        key = self.key(trainer)
        self.complete = key is not None and self.cache.restore(self.suite, key)

    def feed(self, batch: Batch) -> None:
        """Take those images of a batch, float in [-1, 1], that are among the reals."""
        if self.complete:
            return
        index = batch.index.cpu()
        rows = self.chosen[index].nonzero().flatten()
        if len(rows):
            images = batch.image[rows.to(batch.image.device)]
            self.suite.update(images, real=True, index=index[rows])

    def finish(self, trainer: Trainer) -> None:
        """All of this rank's reals are in: keep them on disk."""
        if not self.complete and (key := self.key(trainer)) is not None:
            self.cache.store(self.suite, key)
        self.complete = True

    def fill(self, trainer: Trainer, device: torch.device) -> None:
        """Fill from disk or from the test loader, unless that was done before."""
        if self.complete:
            return
        self.begin(trainer, device)
        if not self.complete:
            data = data_of(trainer)
            for batch in data.test_dataloader():
                self.feed(data.on_after_batch_transfer(batch.to(device), 0))
        self.finish(trainer)

    def key(self, trainer: Trainer) -> Key | None:
        """What the statistics depend on; None where the data does not say what it is."""
        data = data_of(trainer)
        content = getattr(data, "content_key", None)
        if content is None:
            return None
        return real_key(self.suite, content, data.resolution, num_images(trainer))


def data_of(trainer: Trainer) -> Any:
    """The trainer's data module.

    Raises:
        ValueError: it has none.
    """
    data = getattr(trainer, "datamodule", None)
    if data is None:
        raise ValueError("scores need real images: give the trainer a data module (data=...)")
    return data


def bound_test_pass(trainer: Trainer, num: int | None) -> None:
    """Let a test pass end after `num` images (None = all), where the data module can be told."""
    if hasattr(data := data_of(trainer), "eval_images"):
        data.eval_images(num)


def num_images(trainer: Trainer) -> int:
    """How many images the trainer's data has."""
    return len(data_of(trainer).dataset)
