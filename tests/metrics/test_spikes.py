"""Statistics of spikes against closed forms, scipy and explicit loops."""

import math

import pytest
import scipy.ndimage
import torch

from ganlab.metrics.spikes import (
    RADIUS,
    label_regions,
    local_peaks,
    peaking_share,
    pixels,
    places,
    pool_channels,
    quantile,
    same_place,
    spikes_of,
    spots,
    strongest_units,
    values_at,
)

EIGHT = [[1, 1, 1]] * 3


@pytest.mark.parametrize("side", [4, 8])
def test_one_spot_is_a_pixel_and_a_half_of_a_small_coarser_map(side):
    """There 1.5 pixels are more than the radius: diagonal neighbours are one spot, no farther."""
    at = places(torch.tensor([1, 1]), (side, side))
    for step, one in (((0, 1), True), ((1, 1), True), ((0, 2), False), ((1, 2), False)):
        other = places(torch.tensor([1 + step[0], 1 + step[1]]), (side, side))
        assert bool(same_place(at, other, (side, side))) is one, step
    beside = torch.tensor([0.0, 1.0]) / side
    assert bool(same_place(at, at + 1.49 * beside, (side, side)))
    assert not bool(same_place(at, at + 1.51 * beside, (side, side)))
    assert not bool(same_place(at, at + 1.51 * beside, (4 * side, side)))  # the shorter side's


def test_on_large_maps_the_radius_is_what_counts():
    at, beside = torch.tensor([0.5, 0.5]), torch.tensor([0.0, RADIUS])
    assert bool(same_place(at, at + 0.99 * beside, (64, 64)))
    assert not bool(same_place(at, at + 1.01 * beside, (64, 64)))


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def spiked(height=40.0, unit=2, y=5, x=11, shape=(3, 8, 16, 12)):
    maps = noise(*shape)
    maps[:, unit, y, x] = height
    return maps


def test_a_planted_peak_is_found_with_its_unit():
    found = spikes_of(spiked())
    assert found.position.tolist() == [[5, 11]] * 3
    assert found.unit.tolist() == [2] * 3
    torch.testing.assert_close(found.place, torch.tensor([[5.5 / 16, 11.5 / 12]] * 3))


def test_magnitudes_are_those_of_a_loop():
    maps = spiked()
    found, flat = spikes_of(maps), maps.double().square().mean(1).sqrt().flatten(1)
    torch.testing.assert_close(pool_channels(maps).double().flatten(1), flat)
    torch.testing.assert_close(found.peak.double(), flat.max(1).values)
    ordered = flat.sort(1).values
    torch.testing.assert_close(found.median.double(), ordered[:, 16 * 12 // 2 - 1])
    torch.testing.assert_close(found.high.double(), ordered[:, math.ceil(0.9 * 16 * 12) - 1])
    torch.testing.assert_close(found.prominence, found.peak / found.median)
    torch.testing.assert_close(found.contrast, found.peak / found.high)


def test_a_quantile_is_not_exceeded_by_its_share_of_pixels():
    values = torch.arange(1.0, 65.0).view(1, 8, 8)
    assert [float(quantile(values, share)) for share in (0.5, 0.9, 1.0)] == [32, 58, 64]


def test_a_spot_is_one_across_resolutions():
    place = places(torch.tensor([3, 5]), (8, 8))
    assert pixels(place, (8, 8)).tolist() == [3, 5]
    assert pixels(place, (64, 64)).tolist() == [28, 44]
    assert pixels(torch.tensor([1.0, 0.0]), (8, 8)).tolist() == [7, 0]
    up = places(torch.tensor([7, 11]), (16, 16))  # within the pixel's own 2x2 block
    assert same_place(up, place, (8, 8))
    assert not same_place(places(torch.tensor([3, 11]), (16, 16)), place, (8, 8))


def test_local_peaks_look_only_around_the_place():
    magnitude = noise(2, 32, 32).abs()
    magnitude[:, 2, 2] = 50.0
    magnitude[0, 20, 21] = 40.0
    magnitude[1, 17, 18] = 40.0
    place = places(torch.tensor([[19, 19], [19, 19]]), (32, 32))
    assert local_peaks(magnitude, place).tolist() == [[20, 21], [17, 18]]


def test_units_at_a_position_come_by_magnitude():
    maps = torch.zeros(1, 4, 3, 3)
    maps[0, :, 1, 2] = torch.tensor([0.5, -3.0, 2.0, 0.0])
    position = torch.tensor([[1, 2]])
    assert values_at(maps, position).tolist() == [[0.5, -3.0, 2.0, 0.0]]
    assert strongest_units(maps, position, 3).tolist() == [[1, 2, 0]]


def test_the_peaking_share_is_that_of_a_loop():
    maps = noise(2, 6, 9, 9)
    maps[:, :4, 4, 4] = torch.tensor([3.0, 30.0, -30.0, 300.0])
    position = torch.tensor([[4, 4], [4, 4]])
    for row, share in enumerate(peaking_share(maps, position, 10.0)):
        over = [
            abs(float(maps[row, c, 4, 4])) > 10 * maps[row, c].abs().flatten().sort().values[40]
            for c in range(6)
        ]
        assert float(share) == pytest.approx(sum(over) / 6)


def test_regions_are_scipys():
    masks = noise(4, 13, 17) > 0.6
    masks[3] = False
    for mask, labels in zip(masks, label_regions(masks), strict=True):
        expected, count = scipy.ndimage.label(mask.numpy(), EIGHT)
        assert len(labels.unique()) - 1 == count or not count
        for number in range(1, count + 1):
            inside = labels[torch.from_numpy(expected == number)]
            assert inside.unique().numel() == 1
            assert int((labels == inside[0]).sum()) == len(inside)
        assert not labels[~mask].any()


def test_spots_have_sizes_and_roundness():
    y, x = torch.meshgrid(torch.arange(40), torch.arange(40), indexing="ij")
    disc = ((y - 12) ** 2 + (x - 12) ** 2 <= 36).float()
    bar = ((y >= 30) & (y < 32) & (x >= 10) & (x < 26)).float()
    (found,) = spots((1 + 9 * torch.maximum(disc, bar))[None])
    assert [spot.size for spot in found] == [int(disc.sum()), 32]
    assert found[0].share == pytest.approx(float(disc.sum()) / 1600)
    assert found[0].roundness == pytest.approx(1.0, abs=1e-6)
    assert found[1].roundness == pytest.approx(2 / 16)  # sides of a rectangle


def test_a_layer_without_space_is_refused():
    with pytest.raises(ValueError, match=r"maps \(N, C, H, W\)"):
        spikes_of(torch.zeros(2, 5))
