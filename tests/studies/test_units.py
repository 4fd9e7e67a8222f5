import numpy as np
import pytest
import torch
from layer_oracles import small, walk

from ganlab.metrics import frechet_distance
from ganlab.metrics.frechet import Moments
from ganlab.metrics.units import (
    peaks,
    rank_units,
    region_weights,
    unit_count,
    unit_fids,
    unit_magnitudes,
    unit_rates,
)
from ganlab.nn.ablation import ablate_units
from ganlab.nn.randomness import latents_at
from ganlab.sampling import Sampler
from ganlab.studies.neurons.rates import activation_rates

SEED, NUM = 3, 7


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["dcgan", "progan", "stylegan2"])
def test_units_are_zero_everywhere_and_later_layers_see_it(kind):
    generator = small(kind)
    first, second = list(generator.layers)[:2]
    units = {first: [1], second: [0, 3]}

    def edit(name, maps):
        maps = maps.clone()
        for unit in units.get(name, []):
            maps[:, unit] = 0
        return maps

    expected = walk(generator, latents_at(generator, range(NUM), SEED), edit)[2]
    edits = {name: ablate_units(chosen) for name, chosen in units.items()}
    assert torch.equal(Sampler(generator, SEED).batch(range(NUM), edits), expected)


def test_ablation_keeps_its_input_and_works_without_positions():
    x = random(4, 3)
    y = ablate_units([2])(x)
    assert torch.equal(y[:, :2], x[:, :2])
    assert (y[:, 2] == 0).all()
    assert (x[:, 2] != 0).all()
    assert torch.equal(ablate_units([])(x), x)


def test_rates_of_units_are_means_over_positions():
    generator = small("dcgan")
    rates = activation_rates(Sampler(generator, SEED), range(NUM), ["4x4/0"])["4x4/0"]
    for unit, found in enumerate(unit_rates(rates).tolist()):
        values = [float(rates[unit, y, x]) for y in range(4) for x in range(4)]
        assert found == pytest.approx(sum(values) / 16)
    assert torch.equal(unit_rates(rates[:, 0, 0]), rates[:, 0, 0])


@pytest.mark.parametrize("region", [(0.0, 0.0, 1.0, 1.0), (0.25, 0.5, 1.0, 0.75), (0.1, 0, 0.2, 1)])
def test_a_region_is_shared_out_by_area(region):
    """The same region on a grid fine enough to hold its edges exactly, summed into coarse cells."""
    weights = region_weights(region, (4, 8))
    top, left, bottom, right = region
    y, x = np.mgrid[0:40, 0:80]
    fine = ((y >= 40 * top) & (y < 40 * bottom) & (x >= 80 * left) & (x < 80 * right)).astype(float)
    expected = fine.reshape(4, 10, 8, 10).sum((1, 3)) / fine.sum()
    np.testing.assert_allclose(weights.numpy(), expected, atol=1e-12)
    assert float(weights.sum()) == pytest.approx(1)


@pytest.mark.parametrize("region", [[0, 0, 1], [0.5, 0, 0.5, 1], [0, 0, 1.5, 1], [0, 0.6, 1, 0.5]])
def test_a_bad_region_is_named(region):
    with pytest.raises(ValueError, match=r"study.region must be \[top,left,bottom,right\]"):
        region_weights(region, (4, 4))


def test_magnitudes_are_those_of_a_walk_through_the_layers():
    generator, region = small("stylegan2"), (0.0, 0.5, 0.5, 1.0)
    name = list(generator.layers)[2]
    maps = walk(generator, latents_at(generator, range(NUM), SEED))[1][name]
    assert (maps < 0).any()  # |a|, not a
    size = maps.shape[-1]
    corner = maps[:, :, : size // 2, size // 2 :].abs().double()
    expected = corner.mean((2, 3)).sum(0)
    for batch_size in (NUM, 3):
        found = unit_magnitudes(
            Sampler(generator, SEED, batch_size=batch_size), range(NUM), name, region
        )
        assert torch.allclose(found, expected, rtol=1e-5)
    assert unit_count(Sampler(generator), name) == maps.shape[1]
    nothing = unit_magnitudes(Sampler(generator, SEED), [], name, region)
    assert torch.equal(nothing, torch.zeros(maps.shape[1], dtype=torch.float64))


def test_ranking_puts_what_is_unknown_last():
    values = torch.tensor([2.0, torch.nan, 1.0, 2.0])
    assert rank_units(values) == [2, 0, 3, 1]
    assert rank_units(values, descending=True) == [0, 3, 2, 1]


@pytest.mark.parametrize(("rows", "width"), [(40, 6), (5, 12)])
def test_the_distance_to_reals_is_the_frechet_distance(rows, width):
    reals, features = random(60, width).double(), random(rows, width, seed=1).double() * 2 + 1
    moments = [(x.mean(0), x.T.cov()) for x in (reals, features)]
    found = Moments.of(*moments[0]).distance(features)
    assert float(found) == pytest.approx(float(frechet_distance(*moments[0], *moments[1])))
    assert float(Moments.of(*moments[0]).distance(reals)) == pytest.approx(0, abs=1e-9)


def test_what_is_prepared_of_reals_has_the_rank_of_their_covariance():
    points = random(60, 2).double() @ random(2, 6, seed=1).double()  # in a plane of six dimensions
    covariance = points.T.cov()
    found = Moments.of(points.mean(0), covariance)
    assert found.root.shape == (6, 2)
    torch.testing.assert_close(found.root @ found.root.T, covariance)
    assert float(found.trace) == pytest.approx(float(covariance.diag().sum()))


def test_a_units_score_is_that_of_the_images_it_peaks_in():
    tops, features = random(30, 4), random(30, 3, seed=1)
    tops[:, 2] = 0.0  # a dead unit says nothing
    reals = Moments.of(torch.zeros(3).double(), torch.eye(3).double())
    found = unit_fids(tops, features, reals, 8)
    for unit in (0, 1, 3):
        best = sorted(range(30), key=lambda i: -float(tops[i, unit]))[:8]
        chosen = features[best].double()
        expected = frechet_distance(
            reals.mean, torch.eye(3).double(), chosen.mean(0), chosen.T.cov()
        )
        assert float(found[unit]) == pytest.approx(float(expected))
    assert found[2].isnan()


def test_peaks_are_maxima_over_positions():
    x = random(2, 3, 4, 4)
    for n in range(2):
        for c in range(3):
            assert peaks(x)[n, c] == max(float(v) for v in x[n, c].flatten())
    assert torch.equal(peaks(x[:, :, 0, 0]), x[:, :, 0, 0])
