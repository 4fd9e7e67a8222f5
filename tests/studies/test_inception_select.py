"""Per-image scores against scipy, their mean against the Inception Score, and the selection."""

import csv

import numpy as np
import pytest
import torch
from copy_toys import Honest, Stored
from scipy.stats import entropy
from study_toys import Projection, System, suite, trainer

from ganlab.metrics import inception_scores
from ganlab.metrics.inception_score import highest, image_scores, log_marginal
from ganlab.nn.randomness import keyed_generator
from ganlab.report.images import to_uint8
from ganlab.sampling import Sampler
from ganlab.studies import InceptionSelect, NearestNeighbours, PathLength, Study
from ganlab.studies.address import addresses

LOGITS = 3 * torch.randn(50, 7, generator=keyed_generator("logits"))


class Classes(Projection):
    """Its features as logits too."""

    def forward(self, images):
        features = super().forward(images)["features"]
        return {"features": features, "logits": features}


def run(folder, **options):
    given = {"num_samples": 60, "share": 0.1, "seed": 2, "batch_size": 7} | options
    study = Study(InceptionSelect(extractor=Classes(), directory=folder, **given))
    trainer(study).test(System(Honest()), Stored(60), verbose=False)
    return study


def test_each_score_is_the_divergence_from_the_marginal():
    p = LOGITS.double().softmax(1).numpy()
    expected = [entropy(row, p.mean(0)) for row in p]
    np.testing.assert_allclose(image_scores(LOGITS), expected, atol=1e-12)


def test_their_mean_is_the_logarithm_of_the_inception_score():
    whole = inception_scores(LOGITS, splits=1)[0]
    assert image_scores(LOGITS).mean().exp() == pytest.approx(float(whole), rel=1e-12)


def test_a_class_that_never_occurs_leaves_scores_finite():
    logits = torch.tensor([[2000.0, 0.0], [2000.0, 0.0], [0.0, 2000.0]])
    expected = torch.tensor([1.5, 1.5, 3.0], dtype=torch.float64).log()
    torch.testing.assert_close(image_scores(logits), expected)


def test_scores_against_a_given_marginal():
    own = image_scores(LOGITS[:10], log_marginal(LOGITS))
    torch.testing.assert_close(own, image_scores(LOGITS)[:10])


def test_the_best_come_first_and_equals_by_position():
    assert highest(torch.tensor([1.0, 3.0, 3.0, 2.0]), 3) == [1, 2, 3]
    with pytest.raises(ValueError, match="5 of 4"):
        highest(torch.zeros(4), 5)


def test_the_study_selects_by_score(tmp_path):
    found = run(tmp_path).findings.result
    images = Sampler(Honest(), 2).batch(range(60))
    scores = image_scores(Classes()(to_uint8(images).float() / 127.5 - 1)["features"])
    order = scores.argsort(descending=True)[:6].tolist()
    torch.testing.assert_close(found.scores, scores, atol=0.05, rtol=0.05)  # 8-bit grid
    assert found.groups["top 10%"] == highest(found.scores, 6)
    assert set(order) & set(found.groups["top 10%"])
    assert addresses(str(tmp_path / "selected.txt")) == found.groups["top 10%"]
    with (tmp_path / "table.csv").open() as file:
        top, random, whole = csv.DictReader(file)
    values = found.scores
    assert float(top["per-image score"]) == values[found.groups["top 10%"]].mean()
    assert float(random["per-image score"]) == values[:6].mean()
    assert float(whole["per-image score"]) == values.mean()
    with np.load(tmp_path / "figures" / "inception_select.npz") as numbers:
        chosen = numbers["top 10%/indices"].tolist()
        assert chosen == found.groups["top 10%"]
        assert (
            numbers["top 10%/images"] == to_uint8(Sampler(Honest(), 2).batch(chosen)).numpy()
        ).all()
        assert numbers["random/indices"].tolist() == list(range(6))
        assert numbers["limit"] == values.sort().values[-6]


def test_both_groups_are_scored_where_there_are_reals(tmp_path):
    study = run(tmp_path, suite=suite(num_real=24, num_fake=20), share=0.2)
    with (tmp_path / "table.csv").open() as file:
        top, random, whole = csv.DictReader(file)
    name = "fid12_of24_classifier"
    assert float(top[name]) > 0
    assert float(random[name]) > 0
    assert whole[name] == ""
    told = {record.get("intervention") for record in study.records}
    assert told == {None, *(f"{g} of 60 by per-image score" for g in ("top 20%", "random"))}


@pytest.mark.parametrize("study", [InceptionSelect, NearestNeighbours, PathLength])
def test_without_features_it_is_said_what_to_choose(tmp_path, study):
    with pytest.raises(ValueError, match=r"needs features .* features=inception"):
        study(extractor=None, directory=tmp_path).preflight()


@pytest.mark.parametrize("share", [0.0, 1.5, 0.001])
def test_an_empty_selection_is_refused(tmp_path, share):
    with pytest.raises(ValueError, match=r"study\.share"):
        run(tmp_path, share=share)
