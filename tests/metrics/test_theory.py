"""Generators whose scores are known: faithful, collapsed, copying, and beside the point."""

import math

import pytest
import torch
from torch import nn

from ganlab.metrics import (
    DensityCoverage,
    FrechetDistance,
    InceptionScore,
    NearestReals,
    ParzenWindow,
    PrecisionRecall,
    Realism,
    Suite,
)

NUM, CLASSES, HEIGHT = 600, 4, 0.7


class Pixels(nn.Module):
    """The four pixels as features; each is also the logit of a class, sure at a large value."""

    name, sha256, resize, feature_dim = "pixels4", "ab" * 32, "none", 4

    def forward(self, images):
        features = images.flatten(1).double()
        return {"features": features, "logits": 50 * features}


def faithful(seed):
    """One of four classes, and noise: a Gaussian around each corner of a simplex."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.eye(CLASSES).repeat(NUM // CLASSES, 1)
    noise = torch.randn(NUM, CLASSES, generator=generator)
    return HEIGHT * (corners + 0.05 * noise).view(NUM, 1, 2, 2)


REAL = faithful(1)
GENERATORS = {
    "faithful": faithful(2),
    "collapsed": REAL[:1] + 1e-4 * faithful(2),
    "one class": faithful(2)[::CLASSES].repeat(CLASSES, 1, 1, 1),
    "copying": REAL.roll(7, 0),
    "elsewhere": -faithful(2),
}


@pytest.fixture(scope="module")
def found():
    return {name: scored(images) for name, images in GENERATORS.items()}


def scored(images):
    scores = {
        "fid": FrechetDistance(),
        "precision_recall": PrecisionRecall(),
        "density_coverage": DensityCoverage(),
        "realism": Realism(),
        "is": InceptionScore(splits=1),
        "parzen": ParzenWindow(space="features"),
        "nearest": NearestReals(),
    }
    suite = Suite(Pixels(), scores, NUM, NUM)
    suite.update(REAL, real=True)
    suite.update(images, real=False)
    return {name.partition(str(NUM))[0]: value for name, value in suite.compute().items()}


def test_a_faithful_generator(found):
    scores = found["faithful"]
    assert scores["fid"] < 1e-3
    assert min(scores["precision"], scores["recall"], scores["coverage"]) > 0.8
    assert scores["density"] == pytest.approx(1, abs=0.15)
    assert scores["is"] == pytest.approx(CLASSES, rel=1e-3)
    assert scores["nearest_ratio"] == pytest.approx(1, abs=0.1)
    assert scores["nearest_copies"] == 0


def test_a_generator_collapsed_onto_one_real(found):
    scores = found["collapsed"]
    assert scores["precision"] == 1
    assert scores["recall"] < 0.01
    assert scores["coverage"] < 0.02
    assert scores["is"] == pytest.approx(1, abs=1e-3)
    assert scores["fid"] > 100 * found["faithful"]["fid"]
    assert scores["parzen"] < found["faithful"]["parzen"] - 1
    assert scores["nearest_ratio"] < 0.01


def test_a_generator_of_one_class(found):
    scores = found["one class"]
    assert scores["precision"] > 0.8
    assert scores["recall"] < 0.3
    assert scores["coverage"] == pytest.approx(found["faithful"]["coverage"] / CLASSES, abs=0.05)
    assert scores["is"] == pytest.approx(1, abs=1e-3)


def test_a_generator_that_copies_is_caught_by_the_nearest_reals_alone(found):
    scores = found["copying"]
    assert (scores["precision"], scores["recall"], scores["coverage"]) == (1, 1, 1)
    assert scores["fid"] == pytest.approx(0, abs=1e-8)
    assert (scores["nearest_ratio"], scores["nearest_copies"]) == (0, 1)
    assert scores["realism"] == math.inf


def test_a_generator_of_something_else(found):
    scores = found["elsewhere"]
    keys = ("precision", "recall", "density", "coverage")
    assert [scores[key] for key in keys] == [0, 0, 0, 0]
    assert scores["realism"] < 0.2
    assert scores["nearest_ratio"] > 5
    between = 2 * HEIGHT / CLASSES  # of the means, in each of the four directions
    assert scores["fid"] == pytest.approx(CLASSES * between**2, rel=0.03)
