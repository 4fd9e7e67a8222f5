import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, pdist
from study_toys import Projection

from ganlab.metrics.repair import (
    features_of,
    recognition_rate,
    repair,
    spread,
    tap_features,
)
from ganlab.studies.ranks import in_order


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_spread_is_half_of_all_squared_distances():
    """The mean square distance to the mean is that of all ordered pairs, themselves too, halved."""
    features = random(30, 5)
    pairs = 2 * (pdist(features.double().numpy()) ** 2).sum() / 30**2
    assert spread(features) == pytest.approx(math.sqrt(pairs / 2))
    assert spread(features[:1].expand(9, -1)) == 0


def test_distance_and_recognition_are_those_of_a_loop():
    before, after = random(1100, 4), random(1100, 4) + 0.7 * random(1100, 4, seed=1)
    found = repair(before, after)
    table = cdist(after.double().numpy(), before.double().numpy())
    assert found.distance == pytest.approx(np.diag(table).mean())
    assert found.recognized == np.mean(table.argmin(1) == np.arange(1100))
    assert 0.05 < found.recognized < 0.95
    assert found.spread_before == spread(before)
    assert found.apart == pytest.approx(math.sqrt(2) * spread(before))


def test_no_change_and_one_image_for_all_are_told_apart():
    before = random(40, 6)
    same, one = repair(before, before), repair(before, before.mean(0).expand(40, -1))
    assert (same.distance, same.spread_kept, same.recognized) == (0, 1, 1)
    assert one.spread_kept == pytest.approx(0, abs=1e-6)
    assert one.distance > 0
    assert one.recognized == 1 / 40


def test_a_shift_keeps_the_spread_and_moves_every_image():
    before = random(40, 6)
    found = repair(before, before + 3)
    assert found.spread_kept == pytest.approx(1)
    assert found.distance == pytest.approx(3 * math.sqrt(6))


def test_twins_count_as_recognized():
    before = random(5, 3)
    before[1] = before[0]
    assert recognition_rate(before, before) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [(random(3, 2), random(4, 2)), (random(0, 2), random(0, 2)), (random(3, 2), random(3, 2) / 0)],
)
def test_what_cannot_be_compared_is_refused(before, after):
    with pytest.raises(ValueError, match="features of the"):
        repair(before, after)


def test_tapping_takes_every_pass_and_stops_with_the_block():
    extractor, images = Projection(), random(5, 1, 8, 8)
    with tap_features(extractor) as taken:
        for batch in images.split(2):
            extractor(batch)
    extractor(images)
    assert torch.equal(torch.cat(taken), features_of(images.split(2), extractor))
    assert len(taken) == 3


def test_one_process_has_all_rows_already():
    rows = random(3, 2)
    assert in_order(rows) is rows
