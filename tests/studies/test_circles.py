"""The detector on artifacts that were planted, which it is never told."""

import json
import math
import os
from functools import cache

import pytest
import torch
from circle_toys import SEED, made, planted, spotted
from scipy.stats import binom
from sklearn.metrics import roc_auc_score
from study_toys import small_dcgan
from styled_toys import small_stylegan2

from ganlab.metrics.spikes import are_near, places, spikes_of
from ganlab.networks.stylegan import Generator
from ganlab.nn.ablation import ablate_units
from ganlab.nn.norm import PixelNorm
from ganlab.nn.tracing import edited
from ganlab.sampling import Sampler
from ganlab.studies.circles.levels import Levels
from ganlab.studies.circles.observation import (
    calibrate,
    observe,
    origins,
    reading_of,
    reading_points,
)

LAYER, UNIT, SIZE = "8x8/1", 5, (8, 8)  # of the plant
PLANTED, CLEAN = range(10), range(100, 130)  # addresses
AMPLITUDES = (2, 5, 10, 20, 50)


def positions(size, seed=1):
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(1, size - 1, (len(PLANTED), 2), generator=rng).tolist()


def seen_of(generator, indices, seed=SEED, **how):
    return observe(
        Sampler(generator, seed, batch_size=16, **how), indices, reading_points(generator)
    )


@cache
def clean():
    return made()


@cache
def with_plant(amplitude):
    return planted(clean(), LAYER, UNIT, PLANTED, positions(8), amplitude)


@cache
def levels():
    """From other images of the generator as it was before the plant."""
    return calibrate(seen_of(clean(), range(300, 400)), 0.02, Levels(0.1)).levels


@cache
def negatives():
    """Plain images, strong noise, and bright small objects of the same generator."""
    found = [seen_of(clean(), CLEAN), seen_of(made(noise=2.0), CLEAN)]
    found.append(seen_of(spotted(clean(), PLANTED, positions(32)), PLANTED))
    return [each.detect(levels()) for each in found]


def test_the_objects_are_bright_and_small():
    """Otherwise they would prove nothing."""
    plain, bright = (
        Sampler(generator, SEED).batch(PLANTED).mean(1).abs().flatten(1)
        for generator in (clean(), spotted(clean(), PLANTED, positions(32)))
    )
    assert (bright.amax(1) > 2 * plain.amax(1)).double().mean() > 0.7
    small = (bright > bright.amax(1, keepdim=True) / 2).double().mean(1) < 0.02
    assert small.double().mean() > 0.7


def test_auc_grows_with_the_amplitude():
    others = torch.cat([each.score for each in negatives()])
    areas = []
    for amplitude in AMPLITUDES:
        score = seen_of(with_plant(amplitude), PLANTED).detect(levels()).score
        truth = [0] * len(others) + [1] * len(score)
        areas.append(roc_auc_score(truth, torch.cat([others, score]).numpy()))
    assert areas == sorted(areas)
    assert areas[0] > 0.5
    assert areas[1] > 0.9
    assert min(areas[2:]) > 0.98


def test_without_a_plant_few_images_are_affected():
    for found in negatives():
        assert int(found.affected.sum()) <= binom.ppf(0.9999, len(found.score), 0.02)


@pytest.mark.parametrize("amplitude", [10, 50])
def test_image_position_and_unit_are_found(amplitude):
    seen = seen_of(with_plant(amplitude), PLANTED)
    found = seen.detect(levels())
    assert found.affected.double().mean() >= 0.9
    truth = places(torch.tensor(positions(8)), SIZE)
    assert are_near(found.place, truth)[found.affected].all()
    traced = origins(seen, found, levels())
    assert [each is not None for each in traced] == found.affected.tolist()
    named = {row: each for row, each in enumerate(traced) if each}
    right = {row: each for row, each in named.items() if each.layer == LAYER}
    assert len(right) >= 0.9 * len(named)
    assert all(each.unit == UNIT for each in right.values())
    assert all(list(each.position) == positions(8)[row] for row, each in right.items())


def test_without_the_unit_the_artifact_moves_or_goes():
    generator = with_plant(50)
    before = seen_of(generator, PLANTED).detect(levels())
    points = reading_points(generator)
    with edited(points, {LAYER: ablate_units([UNIT])}):
        after = seen_of(generator, PLANTED).detect(levels())
    moved = ~are_near(before.place, after.place)
    assert (~after.affected | moved).all()
    assert int(after.affected.sum()) <= 1
    with edited(points, {LAYER: ablate_units([UNIT + 1])}):  # another unit
        other = seen_of(generator, PLANTED).detect(levels())
    assert (other.affected & are_near(before.place, other.place)).double().mean() >= 0.9


def test_the_stated_rate_of_false_positives_is_kept():
    rate, num = 0.1, 150
    seen = seen_of(clean(), range(num), seed=11)
    found = calibrate(seen, rate, Levels(0.1))
    assert 0.05 * num <= found.affected <= rate * num  # as stated, on its own images
    fresh = seen_of(clean(), range(num), seed=12).detect(found.levels)
    low, high = binom.interval(0.9999, num, rate)
    assert low <= int(fresh.affected.sum()) <= high


def test_levels_never_fall_below_the_least():
    """PN's maps are so flat that their own unevenness says nothing."""
    found = calibrate(seen_of(made(PixelNorm), CLEAN), 0.01)
    assert set(found.levels.levels.values()) == {2.5}
    assert found.levels.threshold == 1
    assert found.affected == 0


def test_nothing_depends_on_the_batch():
    generator = with_plant(10)
    whole = seen_of(generator, PLANTED)
    points = reading_points(generator)
    for size in (1, 3):
        found = observe(Sampler(generator, SEED, batch_size=size), PLANTED, points)
        torch.testing.assert_close(found.table, whole.table, rtol=1e-3, atol=1e-3)


def test_what_is_kept_are_the_layers_spikes():
    generator, (index, layer) = clean(), (4, 5)
    seen = seen_of(generator, [index])
    maps = []
    name = seen.layers[layer]
    module = generator.points[f"{name}/style"]
    handle = module.register_forward_hook(lambda module, inputs, output: maps.append(output))
    Sampler(generator, SEED).batch([index])
    handle.remove()
    expected = spikes_of(maps[0])
    for field, value in vars(expected).items():
        torch.testing.assert_close(getattr(seen.spikes(layer), field), value, msg=field)


def test_layers_are_read_as_far_as_they_go():
    options = {"resolution": 16, "channels": 1, "latent_dim": 8, "style_dim": 8, "width": 4}
    plain = Generator(**options, input="style", style=False)
    assert reading_points(plain)["8x8/0"] is plain.points["8x8/0/norm"]
    assert reading_of(plain) == "after the norm"
    styled = Generator(**options)
    assert reading_points(styled)["8x8/0"] is styled.points["8x8/0/style"]
    assert reading_points(styled, "norm")["8x8/0"] is styled.points["8x8/0/norm"]
    assert reading_points(styled, "activation")["8x8/0"] is styled.layers["8x8/0"]
    second = small_stylegan2()
    assert reading_points(second) == second.layers
    assert reading_of(second) == "after the activation"
    with pytest.raises(ValueError, match="has none: give a checkpoint of model=stylegan"):
        reading_points(small_dcgan())
    with pytest.raises(ValueError, match=r"study\.read must be one of style, norm, activation"):
        reading_points(styled, "image")


def test_more_resolutions_than_there_are_are_refused():
    seen = seen_of(clean(), [0])
    with pytest.raises(ValueError, match=r"study\.persistence=6 .* 4x4, 8x8, 16x16, 32x32"):
        seen.detect(Levels(persistence=6))


def test_levels_go_to_a_file_and_back(tmp_path):
    chosen = Levels({"8x8": 2.5, "16x16": 3.0}, 1.25, 3, "somewhere")
    chosen.save(tmp_path / "levels.json")
    assert Levels.load(tmp_path) == Levels.load(tmp_path / "levels.json") == chosen
    assert (chosen.of("16x16/1"), chosen.of("32x32/0")) == (3.0, 2.5)
    with pytest.raises(FileNotFoundError, match="give a checkpoint"):
        Levels.load(tmp_path / "none.json")
    (tmp_path / "levels.json").write_text("[]")
    with pytest.raises(ValueError, match="holds no levels"):
        Levels.load(tmp_path)
    with pytest.raises(ValueError, match="must be above 0"):
        Levels(0)


@pytest.mark.parametrize(
    "change",
    [
        {"levels": math.nan},
        {"levels": {"8x8": math.inf}},
        {"levels": "2"},
        {"levels": [2]},
        {"levels": -1},
        {"threshold": math.nan},
        {"threshold": True},
        {"persistence": 1.5},
        {"persistence": 0},
        {"source": 3},
        {"other": 1},
    ],
)
def test_levels_that_cannot_be_are_refused(tmp_path, change):
    path = Levels(2.0, 1.5).save(tmp_path / "levels.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=r"levels_from=.* holds no levels"):
        Levels.load(path)


def test_a_pipe_holds_no_levels(tmp_path):
    os.mkfifo(tmp_path / "levels.json")
    with pytest.raises(ValueError, match=r"holds no levels: it is no file but a pipe"):
        Levels.load(tmp_path)
