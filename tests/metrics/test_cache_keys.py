"""The key of kept statistics: everything they depend on, and nothing else."""

import inspect

import pytest
from worlds import NUM, Projection

import ganlab.metrics
from ganlab.features import VGG16, Inception, VGG16Weights
from ganlab.metrics import (
    FrechetDistance,
    KernelDistance,
    PrecisionRecall,
    RealCache,
    Score,
    Suite,
    real_key,
)
from ganlab.metrics.cache import parameters_of

# What changes no value: a bound on memory, and a width that the extractor dictates.
NEUTRAL = {"memory_mb", "feature_dim", "options"}

SCORES = [
    found
    for name in ganlab.metrics.__all__
    if inspect.isclass(found := getattr(ganlab.metrics, name))
    and issubclass(found, Score)
    and "compute" in vars(found)
]


def path_of(score, extractor=None):
    suite = Suite(extractor or Projection(), {"score": score}, NUM, NUM)
    return RealCache("reals").path(real_key(suite, "data", 2, NUM))


@pytest.mark.parametrize("score", SCORES, ids=lambda score: score.__name__)
def test_every_parameter_of_every_score_is_in_the_key(score):
    parameters = inspect.signature(score).parameters.values()
    given = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
    assert set(parameters_of(score())) >= given - NEUTRAL


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (PrecisionRecall(k=3), PrecisionRecall(k=5)),
        (KernelDistance(subset_size=20), KernelDistance(subset_size=30)),
        (
            KernelDistance(subset_size=20, num_subsets=5),
            KernelDistance(subset_size=20, num_subsets=6),
        ),
        (FrechetDistance(), PrecisionRecall()),
    ],
    ids=["k", "subset_size", "num_subsets", "class"],
)
def test_another_configuration_is_another_file(one, other):
    assert path_of(one) != path_of(other)


def test_a_bound_on_memory_is_not():
    assert path_of(PrecisionRecall(memory_mb=1)) == path_of(PrecisionRecall(memory_mb=64))


def test_every_variant_of_an_extractor_is_another_file(tmp_path):
    file = tmp_path / "vgg.pth"
    file.write_bytes(b"weights")
    variants = [
        Inception(),
        Inception(resize="clean"),
        Inception(file, sha256=None),
        VGG16(file),
        VGG16(file, size=64),
        VGG16(file, size=None),
        VGG16(VGG16Weights(file, classes=365)),
        VGG16(VGG16Weights(file, layout="caffe")),
        VGG16(VGG16Weights(file, layout="caffe", mean=(104.0, 117.0, 123.0))),
        VGG16(VGG16Weights(file, layout="caffe", classes=1000)),
    ]
    paths = {path_of(PrecisionRecall(), each) for each in variants}
    assert len(paths) == len(variants)
    file.write_bytes(b"other weights")
    assert path_of(PrecisionRecall(), VGG16(file)) not in paths


def test_records_and_names_tell_the_variant():
    extractor = VGG16(VGG16Weights("x", layout="caffe", sha256="ab" * 32), size=64)
    suite = Suite(extractor, {"precision_recall": PrecisionRecall()}, NUM, NUM)
    assert suite.name_of("precision", "k3") == "precision61_k3_vgg16_places365_caffe"
    suite._counted = {"real": NUM, "fake": NUM}
    (record,) = suite.records({"x": 0.5}, seed=0, images_seen=0)
    assert record["extractor"] == "vgg16_places365_caffe"
    assert record["extractor_sha256"] == "ab" * 32
    assert record["resize"] == "bilinear-antialias-64"
