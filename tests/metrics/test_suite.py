import json
from pathlib import Path

import hydra
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn
from worlds import FAKE, NUM, REAL, WIDTH, Projection, images, suite

from ganlab.metrics import FrechetDistance, KernelDistance, PrecisionRecall, Score, Suite

CONFIGS = sorted((Path(__file__).parents[2] / "conf" / "metrics").glob("[!_]*.yaml"))


def filled(scored):
    scored.update(REAL, real=True)
    scored.update(FAKE, real=False)
    return scored


@pytest.mark.parametrize(
    ("num_real", "num_fake", "extractor", "expected"),
    [
        (10_000, 10_000, "classifier", "fid10k_classifier"),
        (50_000, 50_000, "inception", "fid50k"),
        (None, 50_000, "inception", "fid50k_full"),
        (64, 64, "vgg16", "fid64_vgg16"),
        (10_000, 1300, "inception", "fid1300_of10k"),
    ],
)
def test_names_carry_the_protocol(num_real, num_fake, extractor, expected):
    scored = Suite(Projection(extractor), {"fid": FrechetDistance()}, num_real, num_fake)
    assert scored.name_of("fid") == expected


def test_names_carry_what_the_score_adds():
    assert set(filled(suite()).compute()) == {
        "fid61_classifier",
        "kid61_s20x7_classifier",
        "kid_std61_s20x7_classifier",
        "precision61_k3_classifier",
        "recall61_k3_classifier",
    }
    assert KernelDistance().protocol == ""


def test_one_feature_pass_feeds_every_score():
    extractor = Projection()
    filled(suite(extractor, batch_size=8))
    assert extractor.calls == 2 * NUM


def test_values_are_those_of_the_scores_alone():
    values = filled(suite()).compute()
    features = {side: Projection()(x)["features"] for side, x in (("r", REAL), ("f", FAKE))}
    for metric, names in (
        (FrechetDistance(), ["fid61_classifier"]),
        (KernelDistance(20, 7), ["kid61_s20x7_classifier", "kid_std61_s20x7_classifier"]),
        (PrecisionRecall(), ["precision61_k3_classifier", "recall61_k3_classifier"]),
    ):
        metric.update(features["r"], real=True)
        metric.update(features["f"], real=False)
        found = metric.compute()
        found = list(found.values()) if isinstance(found, dict) else [found]
        assert [value.item() for value in found] == [
            pytest.approx(values[name], rel=1e-12) for name in names
        ]


def test_batches_do_not_matter():
    expected = filled(suite()).compute()
    split = suite(batch_size=4)
    for chunk in REAL.split(9):
        split.update(chunk, real=True)
    for chunk in FAKE.split(13):
        split.update(chunk, real=False)
    assert split.compute() == pytest.approx(expected, rel=1e-10)


def test_reset_keeps_the_reals_unless_told():
    scored = filled(suite())
    expected = scored.compute()
    scored.reset()
    assert scored.has_real
    scored.update(images(NUM, 9), real=False)
    assert scored.compute() != expected
    scored.reset()
    scored.update(FAKE, real=False)
    assert scored.compute() == expected
    scored.reset(real=True)
    assert not scored.has_real


def test_records_are_stamped():
    scored = filled(suite())
    values = scored.compute()
    scored.reset()  # a record needs no statistics any more
    records = scored.records(values, seed=3, images_seen=1234, truncation=0.7, ema=False)
    assert json.loads(json.dumps(records)) == records
    assert [record["metric"] for record in records] == list(values)
    assert records[0] == {
        "metric": "fid61_classifier",
        "value": values["fid61_classifier"],
        "n_real": NUM,
        "n_fake": NUM,
        "extractor": "classifier",
        "extractor_sha256": "ab" * 32,
        "resize": "none",
        "truncation": 0.7,
        "ema": False,
        "seed": 3,
        "images_seen": 1234,
    }


def test_full_protocol_records_how_many_reals_there_were():
    scored = filled(Suite(Projection(), {"fid": FrechetDistance()}, None, NUM))
    assert scored.check_available(NUM) == NUM
    (record,) = scored.records(scored.compute(), seed=0, images_seen=0)
    assert (record["metric"], record["n_real"]) == ("fid61_full_classifier", NUM)


def test_records_before_scores():
    with pytest.raises(ValueError, match="compute"):
        suite().records({}, seed=0, images_seen=0)


def test_more_images_than_exist():
    with pytest.raises(ValueError, match=r"metrics.num_real=61 .* the data has 60"):
        suite().check_available(60)
    with pytest.raises(ValueError, match=r"metrics\.num_real=61"):
        suite().real_indices(60)
    assert suite().check_available(62) == NUM


def test_what_is_asked_for_and_not_there_names_the_keys_that_fit():
    with pytest.raises(ValueError, match=r"has 15\. metrics\.num_real=15 metrics\.num_fake=15 ~"):
        suite().check_available(15)
    with pytest.raises(ValueError, match=r"num_fake=15 ~metrics\.metrics\.kid would fit"):
        suite().check_available(15)  # its subsets are of 20
    fitting = {"fid": FrechetDistance(), "precision_recall": PrecisionRecall()}
    assert Suite(Projection(), fitting, 15, 15).check_available(15) == 15


def test_a_studys_own_suite_is_told_by_its_own_keys():
    own = suite()
    own.key = "study.suite"
    line = r"^study\.suite\.num_real=61 .* study\.suite\.num_fake=15 ~study\.suite\.metrics.* fit$"
    with pytest.raises(ValueError, match=line):
        own.check_available(15)


def test_a_protocol_that_may_shrink_compares_as_many_as_there_are():
    scored = suite(reducible=NUM)
    assert scored.fit(NUM) == scored.fit(NUM + 1) == ""
    told = scored.fit(15)
    assert "15 images, fewer than 61" in told
    assert "without kid: KID subset_size=20 exceeds the 15 images" in told
    assert scored.check_available(15) == len(scored.real_indices(15)) == 15
    scored.update(REAL[:15], real=True)
    scored.update(FAKE[:15], real=False)
    fid = FrechetDistance()
    fid.update(Projection()(REAL[:15])["features"], real=True)
    fid.update(Projection()(FAKE[:15])["features"], real=False)
    values = scored.compute()
    assert values.keys() == {
        "fid15_classifier",
        "precision15_k3_classifier",
        "recall15_k3_classifier",
    }
    assert values["fid15_classifier"] == pytest.approx(fid.compute().item(), rel=1e-12)


@pytest.mark.parametrize("counts", [(NUM, 30), (30, NUM), (None, NUM), (30, 30)])
def test_counts_that_somebody_chose_are_kept_to(counts):
    scored = Suite(Projection(), {"fid": FrechetDistance()}, *counts, reducible=NUM)
    assert scored.fit(15) == ""
    assert (scored.num_real, scored.num_fake) == counts


def test_nothing_can_be_scored_with_one_image():
    with pytest.raises(ValueError, match="no score can be taken of 1 images: say scores=null"):
        suite(reducible=NUM).fit(1)


@pytest.mark.parametrize(("real", "fake"), [(60, 61), (61, 60), (61, 0), (0, 61)])
def test_a_name_never_lies_about_counts(real, fake):
    scored = suite()
    scored.update(REAL[:real], real=True)
    scored.update(FAKE[:fake], real=False)
    with pytest.raises(ValueError, match=r"named for 61 (real|fake) images, but (60|0) were seen"):
        scored.compute()


def test_full_protocol_wants_all_that_exist():
    scored = filled(Suite(Projection(), {"fid": FrechetDistance()}, None, NUM))
    scored.check_available(NUM + 5)
    with pytest.raises(ValueError, match="named for 66 real images, but 61"):
        scored.compute()


def test_reals_are_a_fixed_random_subset():
    state = torch.get_rng_state()
    chosen = suite().real_indices(1000)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(chosen, suite().real_indices(1000))
    assert len(chosen.unique()) == NUM
    assert torch.equal(chosen, chosen.sort().values)
    assert chosen.max() > 500 > chosen.min()
    assert suite().real_indices(NUM).tolist() == list(range(NUM))


def test_the_suite_is_no_submodule_and_leaves_no_gradients():
    scored = suite()
    assert not isinstance(scored, nn.Module)
    generated = FAKE.clone().requires_grad_()
    scored.update(generated, real=False)
    assert not any(x.requires_grad for x in scored.metrics["kid"].fake_features)


def test_images_that_are_not_numbers():
    with pytest.raises(ValueError, match="classifier features of generated images are not finite"):
        suite().update(FAKE * float("nan"), real=False)


class Confidence(Score):
    """A score of logits, written as a newcomer would."""

    source = "logits"

    def __init__(self):
        super().__init__()
        self.add_state("fake_sum", torch.zeros(()), "sum")

    def update(self, features, real, index=None):
        self.fake_sum += 0 if real else features.max(1).values.sum()

    def compute(self):
        return self.fake_sum


class Headed(Projection):
    def forward(self, images):
        features = super().forward(images)["features"]
        return {"features": features, "logits": features[:, :2]}


def test_a_score_may_take_another_output():
    scored = filled(Suite(Headed(), {"confidence": Confidence()}, NUM, NUM))
    expected = Headed()(FAKE)["logits"].max(1).values.sum().item()
    assert scored.compute() == {"confidence61_classifier": pytest.approx(expected, rel=1e-5)}


def test_an_output_that_the_extractor_lacks():
    scored = Suite(Projection(), {"confidence": Confidence()}, NUM, NUM)
    with pytest.raises(ValueError, match=r"metrics.metrics.confidence needs logits.*classifier"):
        scored.update(REAL, real=True)


def test_protocols_that_cannot_be():
    with pytest.raises(ValueError, match=r"metrics.num_fake=0"):
        Suite(Projection(), {}, 10, 0)
    said = r"^metrics\.metrics\.kernel: KID subset_size=1000 exceeds the 100 images.*~metrics"
    with pytest.raises(ValueError, match=said):
        Suite(Projection(), {"kernel": KernelDistance()}, None, 100)
    with pytest.raises(ValueError, match="subset_size=20 exceeds the 15 images"):
        Suite(Projection(), {"kid": KernelDistance(20)}, None, 100).check_available(15)
    with pytest.raises(ValueError, match=r"metrics.metrics.fid: needs a ganlab.metrics.Score"):
        Suite(Projection(), {"fid": nn.Identity()}, 10, 10)


def test_known_names_are_those_that_compute_gives():
    scored = filled(suite())
    assert scored.known_names() == list(scored.compute())


def test_two_scores_of_one_full_name_are_refused():
    twice = {"a": KernelDistance(20, 7), "b": KernelDistance(20, 7)}
    with pytest.raises(ValueError, match="gives kid61_s20x7_classifier twice"):
        filled(Suite(Projection(), twice, NUM, NUM)).compute()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_build_the_suite_they_name(path):
    config = OmegaConf.create({"features": {"_target_": "worlds.Projection", "name": "inception"}})
    own = OmegaConf.load(path)
    own.pop("defaults")
    config.metrics = OmegaConf.merge(OmegaConf.load(path.with_name("_scores.yaml")), own)
    scored = hydra.utils.instantiate(config.metrics)
    assert isinstance(scored, Suite)
    assert scored.metrics["fid"].real_features_sum.shape == (WIDTH,)
    expected = {"smoke": "fid1k", "available": "fid1k"}.get(path.stem, path.stem)
    assert scored.name_of("fid") == expected
