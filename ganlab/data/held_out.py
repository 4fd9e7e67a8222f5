"""A share of any images that is held out of training, chosen by their names."""

from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from ganlab.data.collection import Collection, Source, TwoSided, content_hash
from ganlab.data.decode import Fitting
from ganlab.data.problems import Problem
from ganlab.data.stored import Stored

SIDES = ("train", "test")


class Chosen(Collection):
    """Some images of a collection, in its order, with all of its classes."""

    def __init__(
        self,
        whole: Collection,
        kept: NDArray[np.int64],  # (N,), positions
        fingerprint: str,  # of the choice
    ) -> None:
        self.whole, self.kept, self._choice = whole, kept, fingerprint
        self.labels = None if whole.labels is None else whole.labels[kept]
        self.class_names, self.origin = whole.class_names, whole.origin

    def __len__(self) -> int:
        return len(self.kept)

    def image(self, index: int) -> Stored:  # noqa: D102
        return self.whole.image(int(self.kept[index]))

    def address(self, index: int) -> str:  # noqa: D102
        return self.whole.address(int(self.kept[index]))

    def refused(self, fitting: Fitting) -> Problem | None:  # noqa: D102
        return self.whole.refused(fitting)

    def fingerprint(self) -> str:  # noqa: D102
        return content_hash(self.whole.fingerprint(), self._choice)


class Shares(TwoSided):
    """Two sides of a source: the images of training, and a share that is held out of it.

    On which side an image lies is a function of its file's name, or of file and row, so
    that none changes sides where folders move or others join it.

    Raises:
        ValueError: a share that is not between 0 and 1, or a side that there is not, by its `data.`
            name; in `open`, a side without images.
    """

    def __init__(self, source: Source, share: float, split: str = "train") -> None:
        if split not in SIDES:
            raise ValueError(f"data.side={split} must be one of {', '.join(SIDES)}")
        if not 0 < share < 1:
            raise ValueError(
                f"data.held_out={share} must be from 0 to below 1, a share of the images"
            )
        self.source, self.share, self.split, self.shared = source, share, split, source.shared

    def prepare(self) -> None:
        """Fetch what is missing."""
        self.source.prepare()

    def open(self) -> Collection:
        """List the images of the side."""
        whole, tested = self.source.open(), self.split == "test"
        sides = [self.holds_out(whole.address(k)) for k in range(len(whole))]
        kept = np.flatnonzero(np.array(sides, bool) == tested)
        if not len(kept):
            raise ValueError(
                f"data.held_out={self.share} leaves none of {len(whole):,} images for "
                f"data.side={self.split}: choose another share"
            )
        return Chosen(whole, kept, f"{self.share} {self.split}")

    def side(self, split: str) -> "Shares":
        """One of the two."""
        return Shares(self.source, self.share, split)

    def holds_out(self, address: str) -> bool:
        """Whether the image of this address is not trained on."""
        drawn = int(content_hash("held out", PurePath(address).name), 16) / 2.0**128
        return drawn < self.share


def side_of(source: Source, share: float, split: str) -> Source:
    """The source itself where nothing is held out, else that side of it.

    Raises:
        ValueError: as `Shares`; a side of training that has no other.
    """
    if share or split not in SIDES:
        return Shares(source, share, split)
    if split == "test":
        raise ValueError("data.side=test needs a share that is held out, as in data.held_out=0.1")
    return source
