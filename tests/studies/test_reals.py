"""The protocol's reals: which images, mirrored or not, computed once and found again."""

import pytest
import torch
from study_toys import ConvGenerator, Data, Projection, System, trainer

from ganlab.data import ImageData, synthetic
from ganlab.features import Classifier
from ganlab.metrics import FrechetDistance, KernelDistance, NearestReals, RealCache, Suite
from ganlab.scoring.reals import Reals, precompute
from ganlab.studies import Scores


def suite(num_real=None, num_fake=20):
    scores = {"fid": FrechetDistance(), "kid": KernelDistance(subset_size=10, num_subsets=4)}
    return Suite(Projection(), scores, num_real, num_fake)


class Mirrored(Data):
    """The toy images, trained with mirror images."""

    flip, content_key = True, "toys"

    @property
    def doubled(self):
        """Image i of n, then the mirror image of each, as n + i."""
        images = self.dataset.float() / 127.5 - 1
        return torch.cat([images, images.flip(-1)])


class NearlySymmetric(Mirrored):
    """The toy images, each nearer to its mirror image than to any other."""

    def __init__(self):
        super().__init__()
        mirrored = self.dataset.flip(-1).float()
        self.dataset = (0.55 * self.dataset + 0.45 * mirrored).round().to(torch.uint8)


def fed(data, num_real=None, device="cpu"):
    """A suite after a training's one scoring, and its record of counts."""
    scores = Scores(suite(num_real))
    trainer(scores).fit(System(ConvGenerator(), 0.01), data)
    return scores


@pytest.mark.parametrize("num_real", [None, 30])
def test_data_trained_with_mirror_images_counts_double(num_real):
    data = Mirrored()
    scores = fed(data, num_real)
    expected = suite(num_real)
    chosen = expected.real_indices(48)
    assert (chosen >= 24).any()
    assert (chosen < 24).any()
    for index in chosen.tolist():  # one by one, under its own number
        image = data.doubled[index : index + 1]
        expected.update(image, real=True, index=torch.tensor([index]))
    assert {record["n_real"] for record in scores.records} == {num_real or 48}
    assert scores.scoring.reals.mirror
    assert not fed(Data(), 20).scoring.reals.mirror
    found = scores.scoring.suite.real_state()
    for name, state in expected.real_state().items():
        order = torch.cat(found[name]["real_index"]).argsort() if name == "kid" else None
        for key, value in state.items():
            ours = found[name][key]
            if order is not None:
                ours, value = torch.cat(ours)[order], torch.cat(value)
            torch.testing.assert_close(ours, value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [NearlySymmetric, Data])
@pytest.mark.parametrize("num_real", [None, 20])
def test_the_nearest_other_real_is_of_another_image(kind, num_real):
    metric = NearestReals()
    scores = Scores(Suite(Projection(), {"nearest": metric}, num_real, 20))
    trainer(scores).fit(System(ConvGenerator(), 0.01), kind())
    points, picture = metric.rows("real").double(), metric.indices("real") % 24
    gaps = torch.cdist(points, points)
    gaps[picture[:, None] == picture] = torch.inf
    near = torch.cdist(metric.rows("fake").double(), points).amin(1)
    expected = near.quantile(0.5) / gaps.amin(1).quantile(0.5)
    assert metric.compute()["nearest_ratio"] == pytest.approx(expected.item(), rel=1e-5)


def test_mirror_images_are_other_reals_in_another_file():
    plain, mirrored = Data(), Mirrored()
    plain.content_key = "toys"
    reals = Reals(suite(20))
    keys = [reals.key(plain), reals.key(mirrored)]
    assert [key["mirror"] for key in keys] == [False, True]
    assert [key["num_images"] for key in keys] == [24, 48]
    assert len({RealCache().path(key) for key in keys}) == 2
    values = [fed(data, 20).latest["fid20_classifier"] for data in (plain, mirrored)]
    assert values[0] != pytest.approx(values[1], rel=1e-3)


def test_a_protocol_may_ask_for_what_only_mirroring_gives():
    with pytest.raises(ValueError, match=r"metrics.num_real=30.*the data has 24"):
        fed(Data(), 30)
    assert fed(Mirrored(), 48).records[0]["n_real"] == 48
    with pytest.raises(ValueError, match=r"metrics.num_real=49.*the data has 48"):
        fed(Mirrored(), 49)


def images(**options):
    return synthetic(num=40, resolution=32, channels=1, batch_size=16, **options)


def counting(monkeypatch):
    """How many images went through the extractor, call by call."""
    seen, original = [], Classifier.forward

    def forward(self, images):
        seen.append(len(images))
        return original(self, images)

    monkeypatch.setattr(Classifier, "forward", forward)
    return seen


def reals_of(flip=False, **options):
    scores = {"fid": FrechetDistance(), "kid": KernelDistance(subset_size=10, num_subsets=2)}
    return Reals(Suite(Classifier(), scores, None, 20, **options)), images(flip=flip)


@pytest.mark.parametrize("flip", [False, True])
def test_statistics_are_computed_once(monkeypatch, flip):
    seen = counting(monkeypatch)
    path, found = precompute(*reals_of(flip), torch.device("cpu"))
    assert path.is_file()
    assert not found
    assert sum(seen) == (80 if flip else 40)
    again, data = reals_of(flip, batch_size=7)
    assert precompute(again, data, torch.device("cpu")) == (path, True)
    assert sum(seen) == (80 if flip else 40)
    assert again.suite.has_real


def test_statistics_that_cannot_be_kept_are_an_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    reals, data = reals_of()
    reals.cache = RealCache(tmp_path / "file" / "reals")
    with (
        pytest.warns(UserWarning, match="not kept"),
        pytest.raises(OSError, match="was not written: point GANLAB_CACHE"),
    ):
        precompute(reals, data, torch.device("cpu"))


def test_data_without_a_name_of_its_content_is_an_error():
    class Anonymous(ImageData):
        content_key = None

    with pytest.raises(ValueError, match="Anonymous has no content_key"):
        precompute(reals_of()[0], Anonymous(images().source, channels=1), torch.device("cpu"))


def test_weights_that_are_not_there_are_reported_before_any_image_is_read(monkeypatch):
    reals, data = reals_of()
    reals.suite.extractor = Classifier("nowhere.pt")
    monkeypatch.setattr(ImageData, "prepare_data", None)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pt"):
        precompute(reals, data, torch.device("cpu"))
