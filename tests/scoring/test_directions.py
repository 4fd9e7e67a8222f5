import math

import pytest

from ganlab import metrics
from ganlab.metrics import Score
from ganlab.report.directions import way_of, ways_of
from ganlab.scoring.directions import better, chosen_monitor, direction


@pytest.mark.parametrize(
    ("names", "way"),
    [
        ("fid10k fid50k_full fid_inf10k kid10k_s100 swd_16px10k_pixels swd10k_pixels", "min"),
        ("ms_ssim10k_pairs5000_pixels ppl_w_full50k_classifier_features", "min"),
        ("artifact_incidence2k artifact_incidence2k_low artifact_incidence12_high", "min"),
        ("precision10k_k3 recall10k_k3 density10k_k5 coverage10k_k5 realism10k_k3", "max"),
        ("is10k_classifier parzen10k_pixels", "max"),
    ],
)
def test_every_score_has_its_way(names, way):
    assert {direction(name) for name in names.split()} == {way}


@pytest.mark.parametrize("name", ["fidelity1k", "kidney", "isolation", "private_x", "prior1k"])
def test_a_name_that_only_begins_like_a_score_has_none(name):
    with pytest.raises(ValueError, match="cannot tell"):
        direction(name)


@pytest.mark.parametrize(
    "name",
    [
        *("kid_std10k", "is_std10k_classifier", "realism_std10k_k3", "parzen_se10k_pixels"),
        *("parzen_sigma10k_pixels", "fid_inf_slope10k", "nearest_ratio10k", "nearest_copies10k"),
    ],
)
def test_a_spread_has_none(name):
    with pytest.raises(ValueError, match=f"monitor={name}: cannot tell"):
        direction(name)
    with pytest.raises(ValueError, match="cannot tell"):
        chosen_monitor(["fid10k", name], name)
    assert not better(name, 1.0, None)
    assert not better(name, 2.0, 1.0)
    assert not better(name, 1.0, 2.0)
    assert not better(name, math.nan, None)


def test_without_a_fid_the_first_that_has_a_way_is_monitored():
    assert chosen_monitor(["nearest_ratio10k", "is_std10k", "is10k"], None) == "is10k"
    assert chosen_monitor(["nearest_ratio10k"], None) == "nearest_ratio10k"
    assert chosen_monitor(["is10k", "fid10k"], None) == "fid10k"


class Sharpness(Score):
    """Mean of the features, a score of no name that the house knows."""

    higher_is_better = True
    parts = ("sharpness", "precision_gap")
    undirected = ("precision_gap",)


def test_a_score_improves_as_its_class_declares():
    assert [Sharpness.way_of(part) for part in Sharpness.parts] == ["max", "neither"]
    assert Score.way_of("sharpness") == ""
    ways = ways_of(
        [{"metric": "sharpness9", "best": "max"}, {"metric": "precision_gap9", "best": "neither"}]
    )
    assert direction("sharpness9", ways) == "max"
    assert chosen_monitor(["precision_gap9", "sharpness9"], None, ways) == "sharpness9"
    assert better("sharpness9", 2.0, 1.0, ways)
    assert not better("precision_gap9", 2.0, 1.0, ways)


def test_a_result_that_does_not_say_is_judged_by_the_name():
    ways = ways_of([{"metric": "precision10k", "value": 0.5}])
    assert way_of("precision10k", ways) == "max"
    assert way_of("precision10k", {"precision10k": "neither"}) is None


def test_every_score_of_the_house_declares_its_way():
    scores = [each for each in vars(metrics).values() if isinstance(each, type)]
    named = [each for each in scores if issubclass(each, Score) and each.parts]
    assert len(named) > 5
    for score in named:
        for part in score.parts:
            declared = part in score.undirected or score.higher_is_better is not None
            assert declared, f"{score.__name__} does not say which way {part} improves"
            if part not in score.undirected:
                assert way_of(part) == score.way_of(part)
