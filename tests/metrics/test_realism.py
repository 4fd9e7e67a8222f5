import numpy as np
import pytest
import torch

from ganlab.metrics import Realism, realism_scores


def normal(num, width, seed, shift=0.0):
    return torch.randn(num, width, generator=torch.Generator().manual_seed(seed)).double() + shift


def by_loops(real, fake, k):
    """Kynkäänniemi et al., eq. 4, pair by pair."""
    radii = []
    for i, point in enumerate(real):
        others = sorted(np.linalg.norm(point - q) for j, q in enumerate(real) if j != i)
        radii.append(others[k - 1])
    counted = [i for i, radius in enumerate(radii) if radius <= np.median(radii)]
    return [max(radii[i] / np.linalg.norm(g - real[i]) for i in counted) for g in fake]


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("num", [40, 41])
def test_agrees_with_loops(k, num):
    real, fake = normal(num, 3, 1), normal(25, 3, 2, shift=0.5)
    expected = by_loops(real.numpy(), fake.numpy(), k)
    assert realism_scores(real, fake, k).tolist() == pytest.approx(expected, rel=1e-9)
    assert min(expected) < 1 < max(expected)


def test_in_closed_form():
    """On a line 0, 1, 3, 7 with k = 1 the radii are 1, 1, 2, 4 and the median leaves 0 and 1."""
    real = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    fake = torch.tensor([[0.5], [2.0], [3.0], [7.0], [-4.0]])
    assert realism_scores(real, fake, 1).tolist() == [2.0, 1.0, 0.5, 1 / 6, 0.25]


def test_large_balls_do_not_count():
    """A fake inside the ball of an outlier alone is not realistic."""
    real = torch.cat([normal(50, 2, 1), torch.tensor([[100.0, 0.0]]).double()])
    fake = torch.tensor([[80.0, 0.0]]).double()
    radius_of_outlier = (real[-1] - real[:-1]).norm(dim=1).sort().values[2]
    assert radius_of_outlier > 20  # it holds the fake
    assert realism_scores(real, fake, 3).item() < 0.1


def test_scale_and_place_do_not_matter():
    real, fake = normal(60, 4, 1), normal(20, 4, 2)
    expected = realism_scores(real, fake)
    moved = realism_scores(real * 7 + 1e3, fake * 7 + 1e3)
    torch.testing.assert_close(moved, expected, rtol=1e-9, atol=0)


def test_blocks_do_not_matter():
    real, fake = normal(60, 4, 1), normal(20, 4, 2)
    expected = realism_scores(real, fake)
    torch.testing.assert_close(
        realism_scores(real, fake, memory_mb=0), expected, rtol=1e-12, atol=0
    )


def test_copies_are_infinitely_realistic_but_on_a_ball_of_radius_zero_one():
    real = normal(30, 4, 1)
    real[:8] = real[0]
    densest = real[8:].norm(dim=1).argmin() + 8
    fake = torch.stack([real[0], real[densest], real[0] + 50])
    scores = realism_scores(real, fake, 3).tolist()
    assert scores[:2] == [1, np.inf]
    assert 0 <= scores[2] < 0.2


def test_the_metric_gives_mean_and_spread():
    real, fake = normal(40, 3, 1), normal(25, 3, 2)
    metric = Realism(k=3)
    for chunk in real.split(9):
        metric.update(chunk, real=True)
    metric.update(fake, real=False)
    expected = by_loops(real.numpy(), fake.numpy(), 3)
    found = metric.compute()
    assert found["realism"].item() == pytest.approx(np.mean(expected), rel=1e-9)
    assert found["realism_std"].item() == pytest.approx(np.std(expected), rel=1e-9)


def test_the_metric_warns_of_copies():
    """A copy of a real that stands alone is not among them, as its ball does not count."""
    real = torch.cat([normal(40, 3, 1), torch.full((1, 3), 50.0)])
    densest = real.norm(dim=1).sort().indices[:4]
    metric = Realism()
    metric.update(real, real=True)
    metric.update(torch.cat([real[densest], real[-1:], normal(6, 3, 2)]), real=False)
    with pytest.warns(UserWarning, match="4 generated images equal a real one"):
        assert metric.compute()["realism"] == torch.inf


def test_too_few_images():
    with pytest.raises(ValueError, match="k=3 takes more than 3 real"):
        realism_scores(normal(3, 2, 1), normal(5, 2, 2))
    with pytest.raises(ValueError, match="k=3 takes more than 3 real"):
        Realism(k=3).check_sizes(3, 100)
    with pytest.raises(ValueError, match="k=0 must be from 1"):
        Realism(k=0)
