"""scripts/degradations.py: each degradation is what its name says, the distances FID and KID."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from ganlab.metrics.frechet import frechet_distance

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("degradations", ROOT / "scripts/degradations.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_blur_spreads_a_point_over_its_deviation_and_keeps_a_flat_picture(script):
    point = np.zeros((1, 65, 65, 3), np.uint8)
    point[0, 32, 32] = 255
    spread = script.blurred(point, 1)[0, :, :, 0].astype(float)
    offsets = np.arange(65) - 32
    variance = (spread * offsets[:, None] ** 2).sum() / spread.sum()
    assert variance == pytest.approx(1, rel=0.15)  # of values rounded to whole numbers
    flat = np.full((2, 16, 16, 3), 77, np.uint8)
    assert np.array_equal(script.blurred(flat, 4), flat)


def test_noise_has_its_deviation(script):
    grey = np.full((4, 64, 64, 3), 128, np.uint8)
    found = script.noisy(grey, 8).astype(float) - 128
    assert found.std() == pytest.approx(8, rel=0.02)
    assert abs(found.mean()) < 0.1


def test_a_mixture_has_its_share_of_the_other_set(script):
    white = np.full((40, 64, 64, 3), 255, np.uint8)
    found = script.mixed(white, 0.25)
    assert len(found) == 40
    assert (found == 255).all((1, 2, 3)).sum() == 30


def test_every_set_has_as_many_pictures_and_no_real_among_them(script):
    named = dict(script.sets(100))
    assert {len(pictures) for pictures in named.values()} == {100}
    reals = {each.tobytes() for each in named["reals"]}
    assert not reals & {each.tobytes() for each in named["none"]}
    assert len({each.tobytes() for each in named["repeated"]}) == 10
    assert np.array_equal(named["mirrored"][:, :, ::-1], named["none"])


def test_distances_are_frechets_and_none_of_a_set_from_itself(script):
    rng = torch.Generator().manual_seed(0)
    a, b = (torch.randn(200, 3, generator=rng, dtype=torch.float64) + shift for shift in (0, 2))
    found = script.distances(a, b)
    expected = frechet_distance(a.mean(0), a.T.cov(), b.mean(0), b.T.cov())
    assert found["fid"] == pytest.approx(expected.item(), rel=1e-9)
    assert found["kid"] > 100
    assert script.distances(a, a)["fid"] == pytest.approx(0, abs=1e-6)


def test_a_picture_is_looked_at_once_and_keeps_its_place(script):
    looked = []

    def extractor(images):
        looked.append(len(images))
        return {"features": images.mean((2, 3))}

    pictures = np.arange(5, dtype=np.uint8)[[3, 1, 3, 0], None, None, None].repeat(64, 1)
    pictures = pictures.repeat(64, 2).repeat(3, 3)
    known = {}
    for _ in range(2):
        found = script.features(extractor, pictures, known)
        assert torch.allclose((found + 1) * 127.5, torch.tensor([[3.0], [1], [3], [0]]), atol=1e-4)
    assert looked == [3]
