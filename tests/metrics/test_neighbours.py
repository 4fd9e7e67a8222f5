"""Against all distances by explicit differences in float64."""

import numpy as np
import pytest
import torch

from ganlab.metrics import distance_bounds
from ganlab.metrics.neighbours import (
    balls_around,
    inside_each_other,
    is_inside,
    nearest,
    nearest_inside_ratio,
    neighbour_radii,
)


def rng(seed):
    return np.random.default_rng(seed)


def plain():
    return rng(1).standard_normal((90, 6)), rng(2).standard_normal((70, 6)) * 1.2


def offset():
    """1e6 away from the origin, where float32 products of the raw rows know nothing."""
    return tuple(x + 1e6 for x in plain())


def clustered():
    """Four clumps, 1e6 apart in units of their width."""
    means = rng(3).standard_normal((4, 6)) * 1e6
    return tuple(means[rng(4).integers(0, 4, len(x))] + x for x in plain())


def duplicates():
    """A generator with three outputs, one of which is a real."""
    real, fake = plain()
    return real, np.concatenate([real[:1], fake[:2]])[rng(5).integers(0, 3, 70)]


def ties():
    """A coarse lattice: most distances are shared by many pairs, and their squares are integers."""
    return rng(6).integers(0, 4, (90, 4)) * 1.0, rng(7).integers(0, 4, (70, 4)) * 1.0


def near_ties():
    """Distances from the first row whose squares, about 2^40, are equal or differ by one or two."""
    vector = rng(8).integers(2**18, 2**19, 6)

    def shell(num, seed):
        turned = [rng(seed + i).permutation(vector) for i in range(num)]
        turned = np.array(turned) * rng(seed).choice([-1, 1], (num, 6))
        turned[: num // 2, 0] += rng(seed).integers(-1, 2, num // 2)
        return np.concatenate([np.zeros((1, 6)), turned])

    return shell(60, 100), shell(50, 200)


def tiny():
    """Coordinates whose squares underflow in float32."""
    return tuple(x * 1e-30 for x in plain())


def huge():
    """Coordinates whose squares overflow in float32."""
    return tuple(x * 1e25 for x in plain())


def constant():
    return np.full((20, 3), 7.0), np.full((15, 3), 7.0)


WORLDS = [plain, offset, clustered, duplicates, ties, near_ties, tiny, huge, constant]
DTYPES = [torch.float32, torch.float64]


@pytest.fixture(params=[(w, t) for w in WORLDS for t in DTYPES], ids=lambda p: p[0].__name__)
def sets(request):
    world, dtype = request.param
    return tuple(torch.from_numpy(x).to(dtype) for x in world())


@pytest.fixture(params=["usual", "crowded"])
def path(request, monkeypatch):
    """`crowded` sends nearly every row through the float64 product and the search for twins."""
    if request.param == "crowded":
        monkeypatch.setattr(distance_bounds, "CROWD", 3)
        monkeypatch.setattr(distance_bounds, "MANY", 5)


def every_distance(points, centres):
    gaps = points.double().numpy()[:, None] - centres.double().numpy()[None]
    return np.sqrt((gaps**2).sum(-1))


def sorted_to_others(points, k):
    distances = every_distance(points, points)
    np.fill_diagonal(distances, np.inf)
    return np.sort(distances, 1)[:, k - 1]


def clear_of(distances, limits):
    """The truth of `distances <= limits`, which numpy and torch may round apart by 1e-15 only."""
    held = distances <= limits
    unsure = (np.abs(distances - limits) <= 1e-14 * limits) & (distances != limits)
    assert not unsure.any(), "the world leaves the oracle itself in doubt"
    return held


def radii_of(points, k=3):
    """The oracle's radii, a little shrunk or grown, so that no ball ends at its own neighbour."""
    return sorted_to_others(points, k) * rng(9).choice([0.9, 1.1], len(points))


@pytest.mark.usefixtures("path")
def test_radii(sets):
    for points in sets:
        for k in (1, 3):
            found = neighbour_radii(points, k)
            assert found.dtype == torch.float64
            np.testing.assert_allclose(found, sorted_to_others(points, k), rtol=1e-14)


@pytest.mark.usefixtures("path")
def test_balls(sets):
    points, centres = sets
    radii = radii_of(centres)
    held = clear_of(every_distance(points, centres), radii)
    given = (points, centres, torch.from_numpy(radii))
    assert np.array_equal(balls_around(*given), held.sum(1))
    assert np.array_equal(is_inside(*given), held.any(1))
    reach = torch.from_numpy(radii_of(points))
    ours, theirs = inside_each_other(points, reach, centres, given[2])
    assert np.array_equal(ours, held.any(1))
    assert torch.equal(theirs, is_inside(centres, points, reach))


@pytest.mark.usefixtures("path")
def test_ratios(sets):
    points, centres = sets
    radii, distances = radii_of(centres), every_distance(points, centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = radii / distances
    ratios[(distances == 0) & (radii == 0)] = 1
    found = nearest_inside_ratio(points, centres, torch.from_numpy(radii))
    np.testing.assert_allclose(found, ratios.max(1), rtol=1e-14)
    assert torch.equal(found >= 1, is_inside(points, centres, torch.from_numpy(radii)))


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("world", [plain, offset, duplicates, ties, near_ties, constant])
def test_nearest_with_ties_by_index(world):
    points, centres = (torch.from_numpy(x) for x in world())
    expected = every_distance(points, centres)
    distances, indices = nearest(points, centres, 4)
    order = np.argsort(expected, 1, kind="stable")[:, :4]
    assert np.array_equal(indices, order)
    np.testing.assert_allclose(distances, np.take_along_axis(expected, order, 1), rtol=1e-14)


@pytest.mark.parametrize("world", [ties, near_ties])
def test_the_boundary_belongs_to_the_ball(world):
    """Integer squares leave no rounding, so balls that end at a neighbour are decided exactly."""
    points, centres = (torch.from_numpy(x) for x in world())
    radii = np.full(len(centres), every_distance(centres[:1], centres[-1:])[0, 0])
    held = every_distance(points, centres) <= radii
    grazed = (every_distance(points, centres) == radii).sum()
    assert grazed > 20
    assert np.array_equal(balls_around(points, centres, torch.from_numpy(radii)), held.sum(1))


@pytest.mark.parametrize("memory_mb", [0, 1])
def test_blocks_do_not_matter(memory_mb, monkeypatch):
    points, centres = (torch.from_numpy(x) for x in near_ties())
    sizes, low = [], distance_bounds.DistanceBounds.low
    monkeypatch.setattr(
        distance_bounds.DistanceBounds,
        "low",
        lambda self, rows, *rest: sizes.append(len(rows)) or low(self, rows, *rest),
    )
    radii = neighbour_radii(centres, 3, memory_mb)
    assert torch.equal(radii, neighbour_radii(centres, 3))
    found = balls_around(points, centres, radii, memory_mb)
    assert (set(sizes[: len(centres)]) == {1}) == (memory_mb == 0)
    assert torch.equal(found, balls_around(points, centres, radii))


def test_blocks_keep_to_the_memory_bound():
    rows = next(
        distance_bounds.DistanceBounds(torch.zeros(50_000, 1), torch.zeros(50_000, 1), 64).blocks()
    )
    assert 0 < len(rows) * 50_000 * 16 <= 64 * 2**20


def test_float32_ranks_and_float64_decides_the_rest(monkeypatch):
    """Of 4 million pairs a few in each row are looked at twice."""
    looked = []
    exact = distance_bounds._pair_distances
    monkeypatch.setattr(
        distance_bounds, "_pair_distances", lambda *a: looked.append(len(a[2])) or exact(*a)
    )
    points = torch.from_numpy(rng(1).standard_normal((2000, 128))).float()
    neighbour_radii(points, 3)
    assert 3 * 2000 <= sum(looked) < 5 * 2000


@pytest.mark.parametrize("world", [plain, offset, clustered, near_ties, tiny, huge])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("inner", [1, 2048])
def test_bounds_hold(world, dtype, inner, monkeypatch):
    """Both bounds of every pair, against the scaled squares of its distance."""
    monkeypatch.setattr(distance_bounds, "INNER", inner)
    points, centres = (torch.from_numpy(x) for x in world())
    ranked, rows = distance_bounds.DistanceBounds(points, centres, 64), torch.arange(len(points))
    low = ranked.low(rows, dtype)
    width, widths = ranked.widths(rows, dtype)
    squares = torch.from_numpy(every_distance(points, centres) * ranked.scale).square()
    assert (low <= squares).all()
    assert (squares <= low + width + widths).all()
    assert (width + widths).max() < 1e-4 * ranked.row_norms.max()  # and they say something


def test_equal_rows_are_recognised_once(monkeypatch):
    """A collapsed generator must not cost all pairs by differences."""
    looked = []
    exact = distance_bounds._pair_distances
    monkeypatch.setattr(
        distance_bounds, "_pair_distances", lambda *a: looked.append(len(a[2])) or exact(*a)
    )
    collapsed = torch.rand(3, 40)[torch.arange(600) % 3]
    assert not neighbour_radii(collapsed, 3).any()
    assert sum(looked) <= 9


@pytest.mark.parametrize("precision", ["medium", "high", "highest"])
def test_shortened_products_of_the_user_are_not_used(precision):
    points = torch.from_numpy(plain()[0]).float()
    expected, before = neighbour_radii(points, 3), torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            bound = distance_bounds.DistanceBounds(points, points, 64).low(torch.arange(90))
            assert torch.equal(neighbour_radii(points, 3), expected)
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)
    assert torch.equal(
        bound, distance_bounds.DistanceBounds(points, points, 64).low(torch.arange(90))
    )


def test_bytes_are_points_too():
    """Pixels need not be kept at eight times their size."""
    pixels = torch.from_numpy(rng(1).integers(0, 256, (60, 75), dtype=np.uint8))
    distances, indices = nearest(pixels, pixels.flip(0), 2)
    expected = nearest(pixels.double(), pixels.double().flip(0), 2)
    assert torch.equal(distances, expected[0])
    assert torch.equal(indices, expected[1])
    assert indices[:, 0].tolist() == list(range(59, -1, -1))
    assert not distances[:, 0].any()


def test_no_points_and_no_width():
    assert is_inside(torch.zeros(0, 3), torch.zeros(2, 3), torch.ones(2)).shape == (0,)
    assert not is_inside(torch.zeros(4, 3), torch.zeros(0, 3), torch.ones(0)).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: neighbour_radii(torch.zeros(3, 2), 3), "no 3 nearest among 2 points"),
        (lambda: nearest(torch.zeros(3, 2), torch.zeros(3, 2), 0), "no 0 nearest"),
        (lambda: nearest(torch.zeros(3, 2), torch.zeros(3, 4)), r"not \(3, 2\) and \(3, 4\)"),
        (lambda: nearest(torch.tensor([[torch.nan]]), torch.zeros(3, 1)), "not finite"),
        (lambda: nearest(torch.zeros(3, 1), torch.tensor([[torch.inf]])), "not finite"),
        (
            lambda: is_inside(torch.zeros(3, 1), torch.zeros(3, 1), torch.ones(2)),
            "3 balls came with",
        ),
        (lambda: is_inside(torch.zeros(3, 1), torch.zeros(1, 1), torch.tensor([-1.0])), "negative"),
        (lambda: neighbour_radii(torch.zeros(3, 2), 1, -1), "memory_mb=-1"),
    ],
)
def test_what_cannot_be(call, message):
    with pytest.raises(ValueError, match=message):
        call()
