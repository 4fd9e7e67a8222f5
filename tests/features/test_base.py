"""Images of more channels than a network of pictures sees: a choice, or a refusal by name."""

import pytest
import torch

from ganlab.features import Classifier
from ganlab.features.fashion_vgg import FashionVGG
from ganlab.metrics import Suite
from ganlab.metrics.frechet import FrechetDistance
from ganlab.metrics.path_length import unit_features
from ganlab.metrics.sliced_wasserstein import SlicedWasserstein

BANDS = torch.rand(70, 5, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("select", [[3], [4, 2, 0]])
def test_it_sees_the_channels_that_were_chosen_and_no_other(select):
    chosen = Classifier(select=select)(BANDS)
    assert torch.equal(chosen["features"], Classifier()(BANDS[:, select])["features"])
    assert Classifier(select=select).name == f"classifier_c{'_'.join(map(str, select))}"


@pytest.mark.parametrize("select", [[3], [4, 2, 0]])
def test_stages_and_unit_features_see_the_same_channels(select):
    chosen, all_of_them = FashionVGG(select=select), FashionVGG()
    expected = all_of_them.stages(BANDS[:4, select])
    found = chosen.stages(BANDS[:4])
    assert all(torch.equal(found[name], stage) for name, stage in expected.items())
    expected = unit_features(all_of_them, BANDS[:4, select])
    assert torch.equal(unit_features(chosen, BANDS[:4]), expected)


def test_a_choice_among_three_channels_is_kept_to():
    """Three channels need no choice, and one is a choice all the same."""
    colours = BANDS[:4, :3]
    found = FashionVGG(select=[2]).stages(colours)["fc8"]
    assert torch.equal(found, FashionVGG().stages(colours[:, [2]])["fc8"])
    assert not torch.equal(found, FashionVGG().stages(colours)["fc8"])


def test_without_a_choice_it_is_refused_by_name():
    with pytest.raises(ValueError, match=r"features of classifier .* features\.select=\[0,1,2\]"):
        Classifier()(BANDS)
    with pytest.raises(ValueError, match=r"features\.select=\[5\]: the images have 5 channels"):
        Classifier(select=[5])(BANDS)
    Classifier().check_channels(1)
    Classifier().check_channels(3)


@pytest.mark.parametrize("select", [[], [0, 1], [-1], [0, 1, 2, 3]])
def test_a_choice_of_another_number_is_named(select):
    with pytest.raises(ValueError, match=r"features\.select=.* one channel or three"):
        Classifier(select=select)


def test_a_suite_refuses_them_before_any_work_and_a_score_of_the_images_needs_no_choice():
    with pytest.raises(ValueError, match="say which it sees"):
        Suite(Classifier(), {"fid": FrechetDistance()}, 70, 70).check_channels(5)
    for extractor, score in (
        (Classifier(), {"swd": SlicedWasserstein()}),
        (Classifier(select=[0]), {"fid": FrechetDistance()}),
    ):
        suite = Suite(extractor, score, 70, 70)
        suite.check_channels(5)
        for real in (True, False):
            suite.update(BANDS, real)
        assert all(value == pytest.approx(0, abs=1e-3) for value in suite.compute().values())
        assert not any("fid" in name and "classifier_c0" not in name for name in suite.compute())
