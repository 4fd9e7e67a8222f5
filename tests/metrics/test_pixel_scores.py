"""Scores of the images themselves, in a suite beside those of features."""

import json

import pytest
import torch
from worlds import Projection

from ganlab.metrics import (
    FrechetDistance,
    MultiScaleSimilarity,
    NearestReals,
    ParzenWindow,
    RealCache,
    Score,
    SlicedWasserstein,
    Suite,
    real_key,
)

NUM = 20


def images(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(NUM, 3, 16, 16, generator=generator) * 2.4 - 1.2  # some beyond the range


class Thumbnails(Projection):
    """Features of images of any size."""

    def forward(self, images):
        return super().forward(torch.nn.functional.adaptive_avg_pool2d(images, 2))


def suite(name="inception"):
    scores = {
        "fid": FrechetDistance(),
        "swd": SlicedWasserstein(patches_per_image=4, num_projections=8),
        "ms_ssim": MultiScaleSimilarity(num_pairs=10, num_scales=1),
        "parzen": ParzenWindow(num_sigmas=10),
        "nearest": NearestReals(space="pixels", side=8),
    }
    return Suite(Thumbnails(name), scores, NUM, NUM, batch_size=7)


def filled(scored):
    scored.update(images(1), real=True)
    scored.update(images(2), real=False)
    return scored


NAMES = {
    "fid20",
    *("swd_16px20_p4x8_pixels", "swd20_p4x8_pixels"),
    "ms_ssim20_pairs10_s1_pixels",
    *("parzen20_g10_pixels", "parzen_se20_g10_pixels", "parzen_sigma20_g10_pixels"),
    *("nearest_ratio20_8px_pixels", "nearest_copies20_8px_pixels"),
}


@pytest.mark.parametrize(("extractor", "fid"), [("inception", "fid20"), ("vgg16", "fid20_vgg16")])
def test_names_say_pixels_whatever_the_extractor(extractor, fid):
    assert set(filled(suite(extractor)).compute()) == {*NAMES, fid} - {"fid20"} | {fid}


def test_records_name_no_extractor():
    scored = filled(suite())
    records = scored.records(scored.compute(), seed=0, images_seen=0)
    assert json.loads(json.dumps(records)) == records
    for record in records:
        pixels = record["metric"].endswith("_pixels")
        assert record["extractor"] == ("pixels" if pixels else "inception")
        assert record["extractor_sha256"] == ("" if pixels else "ab" * 32)
        assert record["resize"] == "none"


def test_values_are_those_of_the_scores_alone():
    found = filled(suite()).compute()
    alone = ParzenWindow(num_sigmas=10)
    alone.update(images(1), real=True)
    alone.update(images(2), real=False)
    assert found["parzen20_g10_pixels"] == alone.compute()["parzen"].item()


class Brightest(Score):
    """A score of images, written as a newcomer would."""

    source = "images"

    def __init__(self):
        super().__init__()
        self.add_state("fake_value", torch.zeros(()), "max")

    def update(self, features, real, index=None):
        assert features.shape[1:] == (3, 16, 16)
        steps = (features + 1) * 127.5
        assert (steps - steps.round()).abs().max() < 1e-4  # on the 8-bit grid
        self.fake_value = torch.maximum(self.fake_value, features.max())

    def compute(self):
        return self.fake_value


def test_a_score_may_take_the_images():
    scored = filled(Suite(Thumbnails(), {"brightest": Brightest()}, NUM, NUM))
    assert scored.compute() == {"brightest20_pixels": 1.0}  # clamped


def test_reals_are_kept_in_a_file_with_their_size(tmp_path):
    first, cache = suite(), RealCache(tmp_path)
    first.update(images(1), real=True)
    key = real_key(first, "data", 16, NUM)
    cache.store(first, key)
    second = suite()
    assert cache.restore(second, key)
    second.update(images(2), real=False)
    assert second.compute() == filled(suite()).compute()


def test_unlike_options_do_not_share_a_file():
    one, other = suite(), suite()
    other.metrics["nearest"] = NearestReals(space="pixels", side=4)
    assert real_key(one, "data", 16, NUM) != real_key(other, "data", 16, NUM)


def test_images_too_small_are_refused_before_any_is_fed():
    scored = suite()
    scored.check_resolution(16)
    with pytest.raises(ValueError, match="num_scales=1 needs larger images than 8 px"):
        scored.check_resolution(8)
    with pytest.raises(ValueError, match="SWD needs images of at least 7 px, not 4"):
        Suite(Thumbnails(), {"swd": SlicedWasserstein()}, NUM, NUM).check_resolution(4)
