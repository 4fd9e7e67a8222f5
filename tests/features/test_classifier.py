"""The embedded classifier: what it knows, and what kind of feature space it spans."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import ganlab.features.classifier as module
from ganlab.features import Classifier
from ganlab.features.weights import sha256_of


@pytest.fixture(scope="module")
def classifier():
    extractor = Classifier()
    extractor.preflight()
    extractor.prepare()
    return extractor


@pytest.fixture(scope="module")
def outputs(classifier, held_out):
    parts = [classifier(batch) for batch in held_out[0].split(500)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def test_the_stated_accuracy_is_reached_on_the_10000_held_out_images(outputs, held_out):
    assert len(held_out[1]) == 10_000
    accuracy = (outputs["logits"].argmax(1) == held_out[1]).float().mean().item()
    assert accuracy > 0.90
    assert f"{100 * accuracy:.1f}%" in module.__doc__


def test_images_resized_by_the_data_pipeline_are_recognised_as_well(classifier, held_out):
    images, labels = held_out[0][:1000], held_out[1][:1000]
    for size in (32, 64):
        resized = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
        guesses = classifier(resized)["logits"].argmax(1)
        assert (guesses == labels).float().mean() > 0.90


def test_no_feature_is_dead_and_the_covariance_has_full_rank(outputs):
    features = outputs["features"].double()
    assert features.shape == (10_000, 64)
    assert features.std(0).min() > 0.5
    for count in (1000, 10_000):
        eigenvalues = torch.linalg.eigvalsh(features[:count].T.cov())
        assert torch.linalg.matrix_rank(features[:count].T.cov()) == 64
        assert eigenvalues[-1] / eigenvalues[0] < 1e4


def test_features_tell_blurred_and_one_sided_images_from_real_ones(outputs, classifier, held_out):
    """Distance of means (a lower bound of FID) against that of two halves of the same set."""

    def apart(a, b):
        return (a.mean(0) - b.mean(0)).square().sum().item()

    images, labels = held_out
    features = outputs["features"]
    floor = apart(features[:5000], features[5000:])
    blurred = classifier(F.avg_pool2d(images[:1000], 3, 1, 1, count_include_pad=False))["features"]
    assert apart(features[:1000], blurred) > 20 * floor
    assert apart(features, features[labels != 3]) > 3 * floor


def test_features_do_not_depend_on_the_batch(classifier, held_out, outputs):
    alone = torch.cat([classifier(image[None])["features"] for image in held_out[0][:8]])
    torch.testing.assert_close(outputs["features"][:8], alone, rtol=1e-5, atol=1e-5)


def test_the_file_is_small_plain_and_the_one_named():
    assert module.EMBEDDED.stat().st_size < 1_000_000
    assert sha256_of(module.EMBEDDED) == module.SHA256 == Classifier().sha256


def test_28_is_padded_32_is_taken_as_it_is_and_the_rest_is_resized(classifier):
    grid = torch.full((1, 1, 28, 28), 255.0)
    fitted = classifier.fitted(grid)
    assert fitted[..., 2:30, 2:30].eq(1).all()
    assert fitted.eq(-1).sum() == 32 * 32 - 28 * 28
    exact = torch.arange(256.0).repeat(4).view(1, 1, 32, 32)
    assert torch.equal(classifier.fitted(exact), exact / 127.5 - 1)
    for shape in ((64, 64), (29, 41), (8, 8)):
        constant = classifier.fitted(torch.full((1, 1, *shape), 51.0))
        torch.testing.assert_close(constant, torch.full((1, 1, 32, 32), 51 / 127.5 - 1))


def test_input_lies_on_the_8_bit_grid_so_sub_step_changes_have_no_effect(classifier, held_out):
    images = held_out[0][:4]
    assert torch.equal(classifier(images)["features"], classifier(images + 0.003)["features"])
    assert not torch.equal(classifier(images)["features"], classifier(images + 0.008)["features"])


def test_grey_images_are_colour_images_without_colour(classifier, held_out):
    images = held_out[0][:4]
    colour = classifier(images.repeat(1, 3, 1, 1))["features"]
    assert torch.equal(colour, classifier(images)["features"])


def test_it_stays_frozen_float32_and_in_evaluation_mode(classifier, held_out):
    classifier.train()
    assert not any(part.training for part in classifier.modules())
    assert not any(parameter.requires_grad for parameter in classifier.parameters())
    images = held_out[0][:4]
    expected = classifier(images)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = classifier(images.clone().requires_grad_())
    for name, value in outputs.items():
        assert torch.equal(value, expected[name])
        assert value.dtype == torch.float32
        assert not value.requires_grad


def test_a_nan_stays_visible(classifier):
    assert classifier(torch.full((1, 1, 32, 32), math.nan))["features"].isnan().any()


def test_weights_of_ones_own(tmp_path):
    own = {name: torch.zeros_like(t) for name, t in torch.load(module.EMBEDDED).items()}
    torch.save(own, tmp_path / "own.pt")
    extractor = Classifier(tmp_path / "own.pt")
    extractor.prepare()
    assert extractor.sha256 == sha256_of(tmp_path / "own.pt") != module.SHA256
    assert not extractor(torch.zeros(1, 1, 32, 32))["logits"].any()
    with pytest.raises(FileNotFoundError, match=r"correct features\.weights"):
        Classifier(Path("nowhere.pt")).preflight()
