"""The real side of every score: fed once, up to the protocol's number, and kept on disk."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from ganlab.features.weights import cache_dir
from ganlab.metrics import Suite
from ganlab.report.atomic import replace_file
from ganlab.studies.sampling import rank_indices


def too_few(found: int, needed: int) -> str:
    """What to say where the data is smaller than the protocol."""
    return (
        f"data has {found} images, metrics.num_real asks for {needed}; "
        "choose a smaller protocol (metrics=smoke) or more data"
    )


class Reals:
    """Fills a suite's real statistics from this rank's share of the data, or from disk.

    The file is keyed by the data's content, extractor, resize, protocol and rank.
    """

    def __init__(
        self,
        suite: Suite,
        folder: str | Path | None = None,  # of the cache; None = `reals` in the user's cache
    ) -> None:
        self.suite = suite
        self.folder = cache_dir() / "reals" if folder is None else Path(folder)
        self.fed = 0  # images of this rank so far
        self.complete = False

    def begin(self, trainer: Trainer, device: torch.device) -> None:
        """Move the suite to the device, forget other data, and look on disk."""
        self.suite.to(device)
        self.suite.reset(real=True)
        self.fed, self.complete = 0, False
        path = self.path(trainer)
        if path is not None and (state := stored(path)) is not None:
            self.suite.load_real_state(state)
            self.suite.to(device)
            self.complete = True

    def feed(self, trainer: Trainer, images: Tensor) -> bool:
        """Take this rank's next images, up to its share of `num_real`; whether it wants more."""
        wanted = self.share(trainer) - self.fed
        if self.complete or wanted <= 0:
            return False
        self.suite.update(images[:wanted], real=True)
        self.fed += min(wanted, len(images))
        return self.fed < self.share(trainer)

    def share(self, trainer: Trainer) -> int:
        """How many of the protocol's real images this rank feeds."""
        return len(rank_indices(self.suite.num_real, trainer.global_rank, trainer.world_size))

    def finish(self, trainer: Trainer) -> None:
        """Check that all came, and keep them.

        Raises:
            ValueError: the data ran out before the protocol was filled.
        """
        if self.complete:
            return
        if self.fed < self.share(trainer):
            raise ValueError(too_few(self.fed * trainer.world_size, self.suite.num_real))
        self.complete = True
        if (path := self.path(trainer)) is not None:
            store(self.suite.real_state(), path)

    def fill(self, trainer: Trainer, device: torch.device) -> None:
        """Fill from disk or from the test loader, unless that was done before."""
        if self.complete:
            return
        self.begin(trainer, device)
        if not self.complete:
            data: Any = trainer.datamodule  # type: ignore[attr-defined]
            for batch in data.test_dataloader():
                batch = data.on_after_batch_transfer(batch.to(device), 0)
                if not self.feed(trainer, batch.image):
                    break
        self.finish(trainer)

    def path(self, trainer: Trainer) -> Path | None:
        """The file of these statistics; None where the data does not say what it is."""
        content = getattr(getattr(trainer, "datamodule", None), "content_key", None)
        if content is None:
            return None
        extractor = self.suite.extractor
        key = (
            str(content),
            extractor.name,
            extractor.sha256,
            extractor.resize,
            sorted(self.suite.metrics),
            self.suite.num_real,
            trainer.global_rank,
            trainer.world_size,
        )
        return self.folder / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}.pt"


def stored(path: Path) -> Mapping[str, Any] | None:
    """What `store` wrote, or None; a damaged file is as good as none."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        return None


def store(state: Mapping[str, Any], path: Path) -> None:
    """Write it atomically; a full or read-only disk costs only the time to compute it again."""
    file = io.BytesIO()
    torch.save(dict(state), file)
    try:
        replace_file(path, file.getvalue())
    except OSError:
        return
