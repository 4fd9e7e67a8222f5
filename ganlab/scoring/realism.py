"""Realism of each of many images against the reals of the data; `metrics` has their mean.

realism = ImageRealism(suite, data)                   # extractor and counts are those of the suite
scores = realism.of(sampler.batches(range(1000)), device)          # (1000,)
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ganlab.data.positions import num_channels, num_images
from ganlab.metrics import Realism, Suite
from ganlab.metrics.realism import realism_scores
from ganlab.scoring.reals import Reals


class ImageRealism:
    """Realism of single images (Kynkäänniemi et al. 2019, arXiv 1904.06991, eq. 4).

    The reals are those that the suite's scores are of, as many as there are where it asks for more.
    Their features are looked for in the user's cache, and kept there.

    Raises:
        ValueError: features of images of other channels, or too few reals.
    """

    def __init__(self, suite: Suite, data: Any) -> None:
        data.prepare_data()
        data.setup("test")
        said = [each for each in suite.metrics.values() if isinstance(each, Realism)]
        first = said[0] if said else Realism()
        count = min(suite.num_real or num_images(data), num_images(data))
        self.metric = Realism(first.k, first.memory_mb)
        self.suite = Suite(
            suite.extractor, {"realism": self.metric}, count, count, suite.batch_size
        )
        self.suite.check_channels(num_channels(data))
        self.reals, self.data, self.filled = Reals(self.suite), data, False

    @property
    def made_of(self) -> str:
        """What the scores depend on besides the images; equal for equal reals and features."""
        return str(self.reals.key(self.data))

    def of(self, batches: Iterable[Tensor], device: torch.device) -> Tensor:
        """Of images (N, C, H, W) in [-1, 1], batch by batch: (N,) float64 on the CPU.

        Raises:
            ValueError, OSError: the extractor's weights are not to be had.
        """
        if not self.filled:
            self.suite.extractor.preflight()
            self.suite.extractor.prepare()
            self.reals.fill_from(self.data, device, hidden=True)
            self.filled = True
        self.suite.reset()
        for images in batches:
            self.suite.update(images, real=False)
        sides = self.metric.rows("real"), self.metric.rows("fake")
        return realism_scores(*sides, self.metric.k, self.metric.memory_mb).cpu()
