"""Realism of single images is that of the metric, image by image."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "studies"))
from study_toys import ConvGenerator, Data, suite

from ganlab.metrics import Realism
from ganlab.metrics.realism import realism_scores
from ganlab.sampling import Sampler
from ganlab.scoring.realism import ImageRealism


class Alone(Data):
    """Toy reals outside of a trainer."""

    def __init__(self):
        super().__init__()
        self.trainer = SimpleNamespace(global_rank=0, world_size=1)


def test_every_image_has_its_own_realism_in_any_batches():
    given, data, sampler = suite(), Alone(), Sampler(ConvGenerator(), batch_size=7)
    realism = ImageRealism(given, data)
    found = realism.of(sampler.batches(range(20)), torch.device("cpu"))
    pixels = data.on_after_batch_transfer(next(iter(data.loader())), 0).image
    reals = torch.cat([pixels, data.dataset[7:].float() / 127.5 - 1])
    features = [given.extractor(each)["features"] for each in (reals, sampler.images(range(20)))]
    assert torch.allclose(found, realism_scores(*features), rtol=1e-5)
    again = realism.of(iter([sampler.batch([3, 4])]), torch.device("cpu"))
    assert torch.allclose(again, found[3:5], rtol=1e-5)
    assert (data.served, given.extractor.prepared) == (2, 1)  # the reals went through once
    metric = Realism()
    metric.allocate(4)
    metric.update(features[0], True)
    metric.update(features[1], False)
    assert float(found.mean()) == pytest.approx(float(metric.compute()["realism"]), rel=1e-5)


def test_the_number_of_neighbours_is_that_of_the_suite():
    given = suite()
    given.metrics["realism"] = Realism(k=5)
    assert ImageRealism(given, Alone()).metric.k == 5
    with pytest.raises(ValueError, match="takes more than"):
        ImageRealism(suite(num_real=3), Alone()).of(iter([]), torch.device("cpu"))
