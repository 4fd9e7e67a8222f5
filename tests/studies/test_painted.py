import numpy as np
import pytest
import torch
from study_toys import ConvGenerator

from ganlab.metrics.units import activity_within
from ganlab.nn.tracing import recorded
from ganlab.sampling import Sampler
from ganlab.studies.neurons.painted import (
    Dab,
    Strokes,
    checked_marks,
    painted_region,
    painted_units,
)


def test_a_region_is_what_dabs_cover():
    region = painted_region([Dab(0.25, 0.75, 0.3)], (8, 16))
    y, x = np.mgrid[:8, :16]
    inside = ((y + 0.5) / 8 - 0.25) ** 2 + ((x + 0.5) / 8 - 1.5) ** 2 <= 0.09
    assert np.array_equal(region.numpy() > 0, inside)
    assert painted_region([Dab(1.0, 1.0, 1e-6)], (8, 8)).nonzero().tolist() == [[7, 7]]
    for dabs in ([], [Dab(1.2, 0.5, 0.1)]):
        with pytest.raises(ValueError, match=r"nothing is painted|outside of the image"):
            checked_marks(dabs)


def test_strokes_cover_what_they_half_cover_and_one_pixel_at_least():
    mask = torch.zeros(16, 32, dtype=torch.bool)
    mask[2:6, 8:23] = True  # of 2 x 4 px, cells of 8 x 8: half of one, and 7/16 of the next
    assert painted_region([Strokes(mask)], (2, 4)).nonzero().tolist() == [[0, 1]]
    assert (Strokes(mask).y, Strokes(mask).x) == (4 / 16, 15.5 / 32)
    dot = torch.zeros(16, 32, dtype=torch.bool)
    dot[15, 31] = True
    both = painted_region([Strokes(dot), Dab(0.25, 0.1, 0.01), Strokes(mask)], (2, 4))
    assert both.nonzero().tolist() == [[0, 0], [0, 1], [1, 3]]
    assert checked_marks([Strokes(dot)])


def test_activity_within_a_region_by_hand():
    activations = torch.tensor([[[1.0, -3.0], [0.0, 0.0]], [[0.0, 0.0], [2.0, 2.0]]])
    activations = torch.cat([activations, torch.zeros(1, 2, 2)])
    region = torch.zeros(4, 4)
    region[:2, 2:] = 1  # the upper right cell
    region[2, :2] = 1  # and half of the lower left one
    share, magnitude = activity_within(activations, region)
    torch.testing.assert_close(share, torch.tensor([0.75, 0.25, 0.0]).double())
    torch.testing.assert_close(magnitude, torch.tensor([3 / 1.5, 1 / 1.5, 0.0]).double())


def test_units_come_by_share_times_magnitude_with_their_rates():
    sampler, dab = Sampler(ConvGenerator()), Dab(0.2, 0.7, 0.3)
    rates = torch.rand(4, 4, 4)
    found = painted_units(sampler, 5, "4x4/1", [dab], rates)
    with recorded(sampler.generator.layers, ["4x4/1"]) as outputs:
        sampler.batch([5])
    share, magnitude = activity_within(outputs["4x4/1"][0], painted_region([dab], (8, 8)))
    weight = share * magnitude
    assert [unit.number for unit in found] == weight.argsort(descending=True).tolist()
    for unit in found:
        assert unit.share == pytest.approx(float(share[unit.number]))
        assert unit.rate == pytest.approx(float(rates[unit.number].mean()))
        assert unit.label == f"{unit.number}: {unit.share:.0%} there, rate {unit.rate:.2f}"
