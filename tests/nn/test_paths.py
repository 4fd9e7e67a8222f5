import pytest
import torch

from ganlab.nn.paths import (
    between_three,
    closed_path,
    end_to_end,
    lerp,
    positions,
    slerp,
    smoothness,
    step_lengths,
    walk_path,
)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("walk", ["linear", "spherical"])
@pytest.mark.parametrize("shape", [(7, 12), (3, 5, 12)])
def test_a_path_has_its_ends_bit_for_bit(walk, shape):
    a, b = drawn(*shape), drawn(*shape, seed=1)
    points = walk_path(a, b, 6, walk)
    assert points.shape == (shape[0], 6, *shape[1:])
    assert torch.equal(points[:, 0], a)
    assert torch.equal(points[:, -1], b)
    assert torch.equal(walk_path(a, b, 2, walk), torch.stack([a, b], 1))


@pytest.mark.parametrize("shape", [(9, 16), (4, 3, 16)])
def test_slerp_keeps_the_norm(shape):
    a, b = (5 * torch.nn.functional.normalize(drawn(*shape, seed=s), dim=-1) for s in (0, 1))
    norms = walk_path(a, b, 11, "spherical").norm(dim=-1)
    torch.testing.assert_close(norms, torch.full_like(norms, 5), rtol=1e-6, atol=0)
    assert walk_path(a, b, 11, "linear").norm(dim=-1)[:, 5].max() < 4.9, "a chord cuts through"


def test_slerp_is_shoemakes_formula_where_norms_are_equal():
    a, b = (torch.nn.functional.normalize(drawn(9, 16, seed=s).double(), dim=1) for s in (0, 1))
    angle = (a * b).sum(1, keepdim=True).acos()
    for at in (0.1, 0.5, 0.8):
        expected = (((1 - at) * angle).sin() * a + (at * angle).sin() * b) / angle.sin()
        torch.testing.assert_close(slerp(a, b, at), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("walk", "step"), [("linear", lerp), ("spherical", slerp)])
def test_a_point_between_three_is_each_at_its_corner(walk, step):
    corners = tuple(drawn(4, 6, seed=s) for s in range(3))
    for at, third, corner in ((0, 0, 0), (1, 0, 1), (0.3, 1, 2)):
        assert torch.equal(between_three(corners, at, third, walk), corners[corner])
    assert torch.equal(between_three(corners, 0.3, 0, walk), step(*corners[:2], 0.3))
    middle = between_three(corners, 0.5, 1 / 3, walk)
    if walk == "linear":
        torch.testing.assert_close(middle, sum(corners) / 3)
    lengths = sum(each.norm(dim=1) for each in corners) / 3
    assert walk == "linear" or torch.allclose(middle.norm(dim=1), lengths)


def test_lerp_is_the_weighted_mean():
    a, b = drawn(4, 3), drawn(4, 3, seed=1)
    torch.testing.assert_close(lerp(a, b, 0.25), 0.75 * a + 0.25 * b)
    assert torch.equal(lerp(a, a, 0.3), a)


def test_positions_reach_from_end_to_end():
    assert positions(5).tolist() == [0, 0.25, 0.5, 0.75, 1]
    with pytest.raises(ValueError, match="at least 2 points"):
        positions(1)


@pytest.mark.parametrize(
    ("end", "walk"), [(torch.zeros(2, 4), "linear"), (torch.zeros(2, 3), "zigzag")]
)
def test_what_is_no_walk_is_refused(end, walk):
    with pytest.raises(ValueError, match="a walk is linear or spherical"):
        walk_path(torch.zeros(2, 3), end, 4, walk)


def test_step_lengths_by_loop():
    points = drawn(2, 4, 3, 5, 5)
    for n in range(2):
        for t in range(3):
            one, other = (points[n, t + i].flatten().tolist() for i in (0, 1))
            squares = [(x - y) ** 2 for x, y in zip(one, other, strict=True)]
            expected = (sum(squares) / 75) ** 0.5
            assert step_lengths(points)[n, t].item() == pytest.approx(expected)


def test_a_straight_even_path_is_as_smooth_as_can_be():
    a, b = drawn(3, 20), drawn(3, 20, seed=1)
    found = smoothness(walk_path(a.double(), b.double(), 9, "linear"))
    assert found.unevenness == pytest.approx(1)
    assert found.detour == pytest.approx(1)
    straight = (a - b).square().mean(1).sqrt().mean().item()
    assert found.mean_step == pytest.approx(straight / 8, rel=1e-5)


def test_a_jump_and_a_detour_are_seen():
    jump = torch.zeros(1, 9, 4)
    jump[:, 5:] = 1
    assert smoothness(jump).unevenness == pytest.approx(8)
    there_and_half_back = torch.tensor([0.0, 1, 2, 3, 2]).view(1, 5, 1)
    assert smoothness(there_and_half_back).detour == pytest.approx(2)
    assert end_to_end(there_and_half_back).tolist() == [2]
    still = smoothness(torch.ones(1, 3, 2))
    assert still.mean_step == 0
    assert still.detour != still.detour


@pytest.mark.parametrize("walk", ["linear", "spherical"])
@pytest.mark.parametrize("shape", [(3, 12), (3, 5, 12)])
def test_a_loop_has_its_stops_and_one_more_step_is_the_first(walk, shape):
    stops = drawn(*shape)
    points = closed_path(stops, 12, walk)
    assert points.shape == (12, *shape[1:])
    assert torch.equal(points[::4], stops)
    for leg in range(3):
        path = walk_path(stops[leg : leg + 1], stops[(leg + 1) % 3][None], 5, walk)[0]
        torch.testing.assert_close(torch.cat([points, points[:1]])[4 * leg : 4 * leg + 5], path)


def test_a_loop_goes_at_even_times_where_its_length_is_no_multiple():
    points = closed_path(torch.tensor([[0.0], [3.0]]), 3)  # there and back in three steps of 2/3
    torch.testing.assert_close(points, torch.tensor([[0.0], [2.0], [2.0]]))
    assert torch.equal(closed_path(points[1:2], 4), points[1:2].expand(4, -1)), "one stop stays"


@pytest.mark.parametrize(("stops", "num", "walk"), [(3, 2, "linear"), (0, 2, "linear"), (1, 2, "")])
def test_what_is_no_loop_is_refused(stops, num, walk):
    with pytest.raises(ValueError, match="at most as many stops"):
        closed_path(torch.zeros(stops, 4), num, walk)
