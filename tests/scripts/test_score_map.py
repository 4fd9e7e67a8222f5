"""scripts/score_map.py: each fault is what its name says, and a cell what the docstring says."""

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
NUM = 40


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(SCRIPTS))
    yield import_module("score_map")
    sys.path.remove(str(SCRIPTS))


@pytest.fixture(scope="module")
def images():
    """Pictures that all differ, and their classes."""
    pixels = np.random.default_rng(0).integers(0, 256, (2000, 32, 32), np.uint8)
    return pixels, np.arange(2000) % 10


def test_no_picture_is_in_two_of_the_three_sets(script, images):
    draw = script.Draw.of(*images, NUM, 0)
    sets = [{each.tobytes() for each in part} for part in (draw.reals, draw.fakes, draw.spare)]
    assert [len(part) for part in sets] == [NUM, NUM, 2000 - 2 * NUM]
    assert not sets[0] & sets[1] | sets[0] & sets[2] | sets[1] & sets[2]


def test_faults_are_what_they_are_called(script, images):
    pixels, labels = images
    class_of = {each.tobytes(): label for each, label in zip(pixels, labels, strict=True)}
    draw = script.Draw.of(pixels, labels, NUM, 0)
    spoilt = {fault: spoil(draw) for fault, spoil in script.FAULTS.items()}
    assert {each.shape for each in spoilt.values()} == {draw.fakes.shape}
    assert {each.dtype for each in spoilt.values()} == {np.dtype(np.uint8)}
    assert {class_of[each.tobytes()] for each in spoilt["half of classes missing"]} == {*range(5)}
    crowd = [class_of[each.tobytes()] for each in spoilt["one class for half"]]
    assert np.mean(np.equal(crowd, 0)) >= 0.5
    reals = {each.tobytes() for each in draw.reals}
    for fault, share in (("half memorised", 0.5), ("all memorised", 1)):
        assert np.mean([each.tobytes() in reals for each in spoilt[fault]]) == share
    assert len({each.tobytes() for each in spoilt["a tenth, ten times"]}) == NUM // 10
    changed = (spoilt["a tenth shapes"] != draw.fakes).any((1, 2))
    assert changed.sum() == NUM // 10


def test_a_cell_is_the_paired_difference_in_deviations_of_the_unspoilt(script):
    assert script.in_deviations([1.0, 3.0], [5.0, 9.0]) == pytest.approx(5 / 2**0.5)
    assert script.in_deviations([2.0, 2.0], [2.0, 2.0]) == 0
    assert script.in_deviations([2.0, 2.0], [1.0, 1.0]) == -999


@pytest.mark.slow
def test_copies_please_distances_and_only_the_search_for_copies_counts_them(script, images):
    found = script.effects(*images, NUM, 2)
    assert set(found) == set(script.SHOWN)
    assert found["fid"]["all memorised"] < 0
    assert found["nearest_copies"]["all memorised"] == 999
    assert found["nearest_copies"]["blur, 1 px"] == 0


def test_the_figure_has_a_panel_a_size_with_every_cell_in_words(script):
    cells = {score: dict.fromkeys(script.FAULTS, 4.2) for score in script.SHOWN}
    with script.figures.house_style():
        panels = script.drawn({"100": cells, "300": cells}).axes
    assert [axes.get_title(loc="left") for axes in panels] == [
        "100 reals, 100 fakes",
        "300 reals, 300 fakes",
    ]
    assert [text.get_text() for text in panels[0].texts] == ["4"] * len(script.SHOWN) * len(
        script.FAULTS
    )
