"""A spike in one channel of many, which the magnitude over channels does not show."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from circle_toys import SEED, made, planted

from ganlab.metrics.spikes import are_near, channel_peaks, places
from ganlab.nn.randomness import derived_seed
from ganlab.sampling import Sampler
from ganlab.studies.circles.channels import (
    CAP,
    LEVEL,
    Reach,
    Usual,
    peaks_of_channels,
    standing_out,
    usual_peaks,
)
from ganlab.studies.circles.incidence import observe_by_ranks
from ganlab.studies.circles.levels import Levels
from ganlab.studies.circles.observation import calibrate, observe, origins, reading_points
from ganlab.studies.ranks import Ranks

LAYER, UNIT, SIZE = "8x8/1", 5, (8, 8)
PLANTED, CLEAN, REFERENCE = range(10), range(100, 160), 200
WHERE = torch.randint(1, 7, (10, 2), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module", params=[0.2, 0.0], ids=["leaky", "relu"])
def sampler(request):
    """Of a generator of which one channel of 128 spikes in ten images, at style scale 1."""
    widths = {4: 32, 8: 128, 16: 32}
    plain = made(resolution=16, widths=widths, slope=request.param, spread=4.0)
    generator = planted(plain, LAYER, UNIT, PLANTED, WHERE.tolist(), None)
    return Sampler(generator, SEED, batch_size=40)


@pytest.fixture(scope="module")
def seen(sampler):
    usual = usual_peaks(sampler, REFERENCE)
    points = reading_points(sampler.generator)
    return observe(sampler, [*PLANTED, *CLEAN], points, usual=usual)


def test_a_spike_in_one_of_many_channels_is_found_where_it_is(seen):
    levels = Levels(channel=LEVEL, reference=REFERENCE)
    found = seen.detect(levels)
    assert found.affected[:10].all()
    assert not found.affected[10:].any()
    assert are_near(found.place[:10], places(WHERE, SIZE)).all()
    traced = origins(seen, found, levels)
    assert {(each.layer, each.unit) for each in traced[:10]} == {(LAYER, UNIT)}
    assert [list(each.position) for each in traced[:10]] == WHERE.tolist()
    assert traced[10:] == [None] * len(CLEAN)
    together = seen.detect(Levels())
    assert not together.affected.any(), "the magnitude over channels does not show it"
    assert (together.unit == -1).all()


def test_levels_are_calibrated_on_channels_too(seen):
    found = calibrate(seen, 0.1, Levels(channel=2.2, reference=REFERENCE))
    assert found.levels.threshold == found.scores.sort().values[62] > 1, "of 70, 7 may be above it"
    assert found.affected <= 7
    assert found.levels.compared_with == REFERENCE


def test_ranks_learn_together_what_channels_reach(sampler):
    """Each looks at its share of the other images, also where there is none for it."""
    for num in (5, 1):
        tables = []

        def reduce(table, reduce_op, tables=tables):
            tables.append(table)
            return table

        for rank in range(2):
            place = {"global_rank": rank, "world_size": 2, "is_global_zero": rank == 0}
            strategy = SimpleNamespace(reduce=reduce, root_device="cpu")
            usual_peaks(sampler, num, Ranks(SimpleNamespace(strategy=strategy, **place)))
        layers = list(sampler.generator.layers)
        seed = 1_000_000 + derived_seed("circle channels", SEED) % 1_000_000
        whole = peaks_of_channels(replace(sampler, seed=seed), range(num))
        for i, name in enumerate(layers):
            together = tables[i] + tables[len(layers) + i]
            torch.testing.assert_close(together, whole[name], rtol=1e-3, atol=1e-3)


def test_all_images_are_compared(sampler, seen):
    strategy = SimpleNamespace(reduce=lambda table, reduce_op: table, root_device="cpu")
    place = {"global_rank": 0, "world_size": 1, "is_global_zero": True}
    one = Ranks(SimpleNamespace(strategy=strategy, **place))
    found = observe_by_ranks(one, sampler, len(PLANTED), "style", REFERENCE)
    torch.testing.assert_close(found.alone, seen.alone[:10], rtol=1e-3, atol=1e-3)


def test_a_peak_is_measured_against_the_rest_of_its_map():
    maps = torch.randn(2, 3, 9, 7, generator=torch.Generator().manual_seed(0)).double()
    maps[0, 0, 0, 6], maps[1, 2, 4, 3] = 50.0, 50.0  # in a corner, and inside
    for i, j, rows, columns in ((0, 0, range(2), range(5, 7)), (1, 2, range(3, 6), range(2, 5))):
        around = {(y, x) for y in rows for x in columns}
        every = {(y, x) for y in range(9) for x in range(7)}
        rest = torch.stack([maps[i, j, y, x] for y, x in every - around])
        expected = [50.0, float(50.0 - rest.mean()), float(rest.std(unbiased=False))]
        assert channel_peaks(maps)[i, j].tolist() == pytest.approx(expected, rel=1e-5)
    scaled = channel_peaks(1e4 * maps + 3)
    ratio = lambda peaks: peaks[..., 1] / peaks[..., 2]  # noqa: E731
    torch.testing.assert_close(ratio(scaled), ratio(channel_peaks(maps)), rtol=1e-4, atol=1e-4)


def reference(num=1000, channels=4):
    """Peaks of dense channels: height 3 to 4 over a deviation of 1."""
    top = torch.linspace(3, 4, num)[:, None].expand(-1, channels)
    return torch.stack([top, top, torch.ones(num, channels)], dim=-1)


def test_a_rarely_active_channel_is_no_artifact():
    peaks = reference()
    peaks[:, 1, 0] = torch.where(torch.arange(1000) < 9, 1.0, -0.1)  # in 0.9% of the images
    peaks[:, 2, 0] = torch.where(torch.arange(1000) < 10, 1.0, -0.1)
    reach = Reach.of(peaks)
    assert [math.isinf(each) for each in reach.high.tolist()] == [False, True, False, False]
    few = Reach.of(peaks[:100])  # of 100, 1% is one image, of which nothing can be learned
    assert [math.isinf(each) for each in few.high.tolist()] == [False, True, False, False]
    assert math.isinf(Reach.of(peaks[5:105]).high[2].item()), "active in five of 100"


def test_what_stands_out_is_high_and_clear_of_its_map():
    reach = Reach.of(reference())
    assert reach.clearance.tolist() == [4.0] * 4
    noise = torch.randn(2, 4, 32, 32, generator=torch.Generator().manual_seed(0)).clamp(-2, 2)
    noise[0, 3, 7, 9] = 20.0
    noise[1] *= 0.1  # as clear, but lower than the channel ever is
    noise[1, 3, 7, 9] = 2.0
    found = standing_out(noise, reach)
    deviation = float(noise[0, 3].clamp(max=2).std())
    assert found[0].tolist() == pytest.approx([20 / deviation / 4, 3, 7, 9], 0.05)
    assert found[1, 0] == 0
    assert standing_out(noise[..., :4], reach)[:, 0].tolist() == [0, 0], "too small to have a rest"


def test_a_channel_that_is_alone_on_its_map_by_nature_is_no_artifact():
    peaks = reference()
    peaks[0, 1, 2] = 0.0  # a lone unit of a ReLU, once among a thousand
    reach = Reach.of(peaks)
    spike = torch.zeros(1, 4, 8, 8)
    spike[0, :2, 3, 3] = 8.0
    found = standing_out(spike, reach)[0]
    assert found.tolist() == pytest.approx([CAP / 4, 0, 3, 3]), "the other channel never was alone"
    assert standing_out(spike[:, 1:], Reach(reach.high[1:], reach.clearance[1:]))[0, 0] <= 1


def test_usual_peaks_are_of_other_images(sampler):
    usual = usual_peaks(sampler, 20)
    assert isinstance(usual, Usual)
    assert usual.num_images == 20
    assert usual.layers[LAYER].high.shape == (128,)
    again = usual_peaks(Sampler(sampler.generator, SEED, batch_size=7), 20)
    # Ratios to small surroundings, in which rounding by the batch's size counts.
    found, expected = again.layers[LAYER].clearance, usual.layers[LAYER].clearance
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", [{"channel": 0.0}, {"channel": -1.0}, {"reference": 9}])
def test_levels_of_channels_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError, match=r"study\.channel_level=.*study\.num_reference="):
        Levels(**options)


def test_a_file_of_before_has_no_level_of_channels(tmp_path):
    path = tmp_path / "levels.json"
    path.write_text('{"levels": 2.5, "threshold": 1.0, "persistence": 2, "source": "x"}')
    assert Levels.load(path).channel is None
    Levels(channel=3.0, reference=50).save(path)
    assert Levels.load(path) == Levels(channel=3.0, reference=50)
    assert "one channel" in Levels(channel=3.0, reference=50).text()
    assert "3 times what it reaches in 50 other images" in Levels(channel=3.0, reference=50).text()
