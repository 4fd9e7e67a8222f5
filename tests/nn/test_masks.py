"""Which stages are told, and where: the rule of section 3.2, layer by layer."""

import pytest
import torch

from ganlab.nn.masks import cell_mask, crops, level_masks

# Fine to coarse, as a small classifier of 32 px images declares them.
STAGES = {
    "pool1": (16, 16, 16),
    "pool2": (32, 8, 8),
    "pool3": (64, 4, 4),
    "pool4": (128, 2, 2),
    "fc7": (128,),
    "fc8": (10,),
}
MAPS = ("pool1", "pool2", "pool3", "pool4")


def keep_with_crop(top, left, height, width, size=32, n=2):
    keep = torch.ones(n, 1, size, size)
    keep[:, :, top : top + height, left : left + width] = 0
    return keep


def by_loop(keep, side):
    """A cell is on when all of its pixels are."""
    step = keep.shape[-1] // side
    cells = torch.ones(len(keep), 1, side, side)
    for y in range(side):
        for x in range(side):
            block = keep[:, 0, y * step : (y + 1) * step, x * step : (x + 1) * step]
            cells[:, 0, y, x] = block.flatten(1).amin(1)
    return cells


@pytest.mark.parametrize("level", STAGES)
def test_without_a_crop_one_level_is_on_and_all_others_have_no_mask(level):
    masks = level_masks(STAGES, level, 3)
    assert list(masks) == [level]
    assert masks[level].shape == (3, 1, *STAGES[level][1:])
    assert masks[level].eq(1).all()


@pytest.mark.parametrize("level", STAGES)
def test_with_a_crop_the_level_is_on_finer_ones_outside_the_crop_deeper_ones_off(level):
    keep = keep_with_crop(8, 4, 9, 14)
    masks = level_masks(STAGES, level, 2, keep)
    names = list(STAGES)
    finer = [name for name in names[: names.index(level)] if name in MAPS]
    assert list(masks) == [*finer, level]  # nothing deeper, and no vector that saw the crop
    assert masks[level].eq(1).all()
    for name in finer:
        side = STAGES[name][1]
        assert masks[name].shape == (2, 1, side, side)
        assert torch.equal(masks[name], by_loop(keep, side))
    if "pool1" in finer:
        assert masks["pool1"].mean() < 1


def test_a_vector_is_one_cell_as_large_as_the_image():
    assert cell_mask(torch.ones(2, 1, 8, 8), (10,)).tolist() == [[1.0], [1.0]]
    keep = torch.ones(2, 1, 8, 8)
    keep[1, 0, 3, 3] = 0
    assert cell_mask(keep, (10,)).tolist() == [[1.0], [0.0]]


def test_masks_of_any_size_and_shade_reach_the_cells():
    keep = torch.full((1, 1, 100, 60), 0.6)
    keep[..., :10, :10] = 0.4
    cells = cell_mask(keep, (3, 4, 4))
    assert cells.flatten().tolist() == [0.0] + [1.0] * 15
    coarse = torch.tensor([[[[0.0, 1.0], [1.0, 1.0]]]])  # fewer pixels than cells
    assert torch.equal(cell_mask(coarse, (3, 4, 4)), 1 - torch.kron(1 - coarse, torch.ones(2, 2)))


def test_an_unknown_level_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"no level 'conv5': the levels are pool1, pool2, .*fc8"):
        level_masks(STAGES, "conv5", 1)


def test_crops_are_rectangles_of_the_sides_and_places_that_the_numbers_say():
    numbers = torch.tensor([[0.0, 1.0, 0.0, 0.0], [1.0, 0.5, 1.0, 1.0], [0.5, 0.5, 0.5, 0.5]])
    keep = crops(numbers, 32, 0.25, 0.75)
    expected = torch.cat(
        [
            keep_with_crop(0, 0, 8, 24, n=1),
            keep_with_crop(8, 16, 24, 16, n=1),
            keep_with_crop(8, 8, 16, 16, n=1),
        ]
    )
    assert torch.equal(keep, expected)


def test_random_crops_stay_in_the_image_and_within_their_bounds():
    numbers = torch.rand(200, 4, generator=torch.Generator().manual_seed(0))
    inside = 1 - crops(numbers, 64)
    heights, widths = inside.amax(3).sum((1, 2)), inside.amax(2).sum((1, 2))
    assert torch.equal(inside.sum((1, 2, 3)), heights * widths)  # whole rectangles
    for sides in (heights, widths):
        assert sides.min() >= 15
        assert sides.max() <= 49
        assert len(sides.unique()) > 20
