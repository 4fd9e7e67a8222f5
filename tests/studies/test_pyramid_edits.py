"""Levels by name, conditions of one image for many latents, pastes, and what edits changed."""

import math

import pytest
import torch
from pyramid_toys import STAGES, Mirror, Pyramid

from ganlab.metrics.edits import change, chroma, signal_to_noise, spread
from ganlab.nn.randomness import latents_at
from ganlab.sampling import Sampler
from ganlab.studies.classes import class_index
from ganlab.studies.pyramid.edits import (
    box_region,
    composition,
    feature_change,
    find_level,
    find_levels,
    guesses,
    latents_within,
    mark_region,
    paste_object,
    repeat_condition,
    told_alike,
)

VGG = {"pool4": (512, 14, 14), "pool5": (512, 7, 7), "fc7": (4096,), "fc8": (365,)}


def blocky(seed=0, n=1):
    small = torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return small.repeat_interleave(2, 2).repeat_interleave(2, 3)


def square(top, left, bottom, right, side=8):
    region = torch.zeros(1, 1, side, side)
    region[..., top:bottom, left:right] = 1
    return region


def sampler(system, told, **options):
    return Sampler(system.generator_ema, condition_at=told_alike(told), **options)


def test_levels_go_by_their_names_and_by_the_papers():
    assert find_level(None, VGG) == "pool5"
    assert [find_level(name, VGG) for name in ("pool4", "conv5", "CONV4", "FC7")] == [
        *("pool4", "pool5", "pool4", "fc7")
    ]
    assert find_levels(None, VGG) == list(VGG)
    assert find_levels("conv5", VGG) == ["pool5"]
    with pytest.raises(ValueError, match=r"study\.level=fc6 is no level .* pool4, pool5, fc7, fc8"):
        find_level("fc6", VGG)
    with pytest.raises(ValueError, match=r"study\.levels names no level"):
        find_levels([], VGG)


def test_classes_go_by_name_or_number():
    names = ["bag", "boot", "0"]
    assert [class_index(label, names) for label in ("boot", 1, "1", 0, "0")] == [1, 1, 1, 2, 2]
    for label in ("shoe", 3, -1):
        with pytest.raises(ValueError, match=r"study\.labels=.* is no class; there are 3: bag"):
            class_index(label, names)


def test_a_condition_of_one_image_is_told_to_all_latents():
    system, image = Pyramid(), blocky()
    told = system.conditioner.condition(image, "pool1")
    many = repeat_condition(told, 3)
    assert many.label.shape == (3,)
    assert many.features["pool1"].shape == (3, 1, 4, 4)
    assert many.masks["pool1"].shape == (3, 1, 4, 4)
    found = sampler(system, told, batch_size=2).images([7, 2, 5])
    assert torch.equal(found, image.expand(3, -1, -1, -1)), "pool1 says all of the image"


def test_a_region_is_painted_anew_and_the_rest_kept():
    """Cells of pool1 that touch the region show pool2's mean, all others the image itself."""
    system, image = Pyramid(), blocky()
    region = square(0, 0, 3, 4)
    told = system.conditioner.condition(image, "pool2", keep=1 - region)
    (found,) = sampler(system, told).images([0])
    expected = image[0].clone()
    expected[:, :4, :4] = image[0, :, :4, :4].mean()
    assert torch.allclose(found, expected, atol=1e-6)


def test_latents_are_cut_by_address():
    cut = latents_within(Mirror(), [3, 1], 0, 0.4)
    assert (cut.abs() < 0.4).all()
    assert torch.equal(cut[1:], latents_within(Mirror(), [1], 0, 0.4))
    assert torch.equal(latents_within(Mirror(), [3], 0, None), latents_at(Mirror(), [3], 0))


def test_a_paste_without_moving_takes_the_regions_pixels():
    background, source, region = blocky(1), blocky(2), square(2, 1, 5, 7)
    image, where = paste_object(background, source, region)
    assert torch.equal(where, region)
    assert torch.equal(image, torch.where(region.bool(), source, background))


def test_a_paste_is_moved_scaled_and_cut_off():
    background, source = torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    image, where = paste_object(background, source, square(0, 0, 2, 4), at=[0.75, 0.5])
    assert torch.equal(where, square(5, 2, 7, 6))
    assert torch.equal(image, where)
    _, where = paste_object(background, source, square(2, 2, 4, 4), at=[0.5, 0.5], scale=2.0)
    assert torch.equal(where, square(2, 2, 6, 6))
    _, where = paste_object(background, source, square(2, 2, 6, 6), scale=0.5)
    assert torch.equal(where, square(3, 3, 5, 5))
    _, where = paste_object(background, source, square(0, 0, 4, 4), at=[0.0, 1.0])
    assert torch.equal(where, square(0, 6, 2, 8))
    with pytest.raises(ValueError, match=r"study\.at=\[3\.0, 3\.0\] leaves nothing"):
        paste_object(background, source, square(0, 0, 2, 2), at=[3.0, 3.0])
    with pytest.raises(ValueError, match=r"study\.scale=0\.01 leaves nothing"):
        paste_object(background, source, square(0, 0, 2, 2), scale=0.01)


def test_a_composition_mixes_the_pastes_level_with_the_backgrounds_finer_ones():
    system, background, source = Pyramid(), blocky(1), blocky(2)
    region = square(0, 0, 4, 4)
    paste, where = paste_object(background, source, region)
    told = composition(system.conditioner, background, paste, where, "pool2")
    assert list(told.masks) == ["pool1", "pool2"]
    assert torch.equal(told.label, system.conditioner.label(system.conditioner.features(paste)))
    (found,) = sampler(system, told).images([0])
    expected = background[0].clone()
    expected[:, :4, :4] = source[0, :, :4, :4].mean()
    assert torch.allclose(found, expected, atol=1e-6)


def test_a_box_is_a_region():
    assert torch.equal(box_region([0.25, 0, 0.5, 1], 8), square(2, 0, 4, 8))
    for box in ([0.5, 0, 0.5, 1], [0, 0, 1, 2], [0, 0, 1], [0.6, 0, 0.4, 1]):
        with pytest.raises(ValueError, match=r"study\.box=.* holds no pixel"):
            box_region(box, 8)


def test_a_region_is_marked_in_red():
    found = mark_region(torch.zeros(1, 1, 8, 8), square(0, 0, 4, 8))
    assert found[0, :, 0, 0].tolist() == [0.5, -0.5, -0.5]
    assert found[0, :, 7, 0].tolist() == [0, 0, 0]


def test_changes_are_root_mean_squares_as_shares_of_the_range():
    black, white = -torch.ones(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    half = torch.where(square(0, 0, 4, 8).bool(), white, black)
    images = torch.cat([black, white, half])
    assert change(images, black).tolist() == pytest.approx([0, 1, math.sqrt(0.5)])
    assert change(images, black, square(0, 0, 4, 8)).tolist() == [0, 1, 1]
    assert change(images, black, square(4, 0, 8, 8)).tolist() == [0, 1, 0]
    assert signal_to_noise(change(half, black)).item() == pytest.approx(10 * math.log10(2))
    assert spread(images) == pytest.approx((1 + 2 * math.sqrt(0.5)) / 3)
    assert spread(images, square(4, 0, 8, 8)) == pytest.approx(2 / 3)
    assert math.isnan(spread(black))


def test_chroma_is_zero_for_greys_and_one_for_pure_colours():
    red = torch.tensor([1.0, -1, -1]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    assert chroma(torch.cat([red, torch.rand(1, 1, 8, 8).expand(1, 3, 8, 8)])).tolist() == [1, 0]


def test_kept_features_and_guesses_of_the_classifier():
    teller, image = Pyramid().conditioner, blocky()
    features = teller.features(image)
    found = feature_change(teller, torch.cat([image, 2 * image]), features, "pool2")
    assert found.tolist() == pytest.approx([0, 1])
    chances = guesses(teller, torch.cat([0 * image - 1, 0 * image + 1]))
    assert chances.argmax(1).tolist() == [0, 2]
    assert chances.sum(1).tolist() == pytest.approx([1, 1])
    assert list(STAGES)[-1] == list(features)[-1]
