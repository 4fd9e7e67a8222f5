import numpy as np
import pytest
import torch

from ganlab.metrics import DensityCoverage, density_coverage, precision_recall


def normal(num, width, seed, shift=0.0):
    return torch.randn(num, width, generator=torch.Generator().manual_seed(seed)).double() + shift


def scores(real, fake, **options):
    density, coverage = density_coverage(real, fake, **options)
    return density.item(), coverage.item()


def by_loops(real, fake, k):
    """Naeem et al., eqs. 3-4, pair by pair."""
    radii = []
    for i, point in enumerate(real):
        others = sorted(np.linalg.norm(point - q) for j, q in enumerate(real) if j != i)
        radii.append(others[k - 1])
    held, covered = 0, 0
    for point, radius in zip(real, radii, strict=True):
        inside = [np.linalg.norm(point - g) <= radius for g in fake]
        held += sum(inside)
        covered += any(inside)
    return held / (k * len(fake)), covered / len(real)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_agrees_with_loops(k):
    real, fake = normal(40, 3, 1), normal(35, 3, 2, shift=0.7)
    found = scores(real, fake, k=k)
    assert found == pytest.approx(by_loops(real.numpy(), fake.numpy(), k), rel=1e-12)
    assert found[0] > 0
    assert 0 < found[1] < 1


def test_equal_distributions_are_dense_and_covered():
    """Section 3.3: density 1; coverage 1 - (N - 1) .. (N - k) / ((2N - 1) .. (2N - k))."""
    k, num = 5, 2000
    density, coverage = scores(normal(num, 4, 1), normal(num, 4, 2), k=k)
    steps = np.arange(1, k + 1)
    expected = 1 - np.prod((num - steps) / (2 * num - steps))
    assert density == pytest.approx(1, abs=0.05)
    assert coverage == pytest.approx(expected, abs=0.03)


def test_collapse_covers_nothing():
    real = normal(500, 4, 1)
    density, coverage = scores(real, real[:1] + 1e-3 * normal(500, 4, 2))
    assert density > 0.5
    assert coverage < 0.05


def test_a_memorized_set_covers_everything():
    real = normal(200, 4, 1)
    assert scores(real, real.clone())[1] == 1


def test_distant_sets():
    real = normal(50, 4, 1)
    assert scores(real, real + 100) == (0.0, 0.0)


def test_an_outlier_among_reals_moves_density_less_than_precision():
    """Fakes near a lone outlier lie in one ball only: precise, but not dense (figure 1)."""
    real = torch.cat([normal(300, 2, 1), torch.tensor([[30.0, 0.0]]).double()])
    fake = torch.tensor([[20.0, 0.0]]).double() + 0.1 * normal(300, 2, 2)
    assert precision_recall(real, fake, k=5)[0].item() == 1
    assert scores(real, fake)[0] == pytest.approx(1 / 5)


def test_the_boundary_belongs_to_the_ball():
    real = torch.tensor([[0.0], [1.0], [2.0]]).double()  # k = 1: radius 1 each
    fake = torch.tensor([[-1.0], [10.0]]).double()
    assert scores(real, fake, k=1) == (0.5, 1 / 3)


def test_blocks_do_not_matter():
    real, fake = normal(120, 3, 1), normal(110, 3, 2)
    assert scores(real, fake, memory_mb=0) == scores(real, fake)


def test_the_metric_takes_batches_in_any_order():
    real, fake = normal(60, 3, 1), normal(50, 3, 2)
    metric = DensityCoverage(k=3)
    for chunk in reversed(real.split(7)):
        metric.update(chunk, real=True)
    metric.update(fake, real=False)
    found = metric.compute()
    assert (found["density"].item(), found["coverage"].item()) == scores(real, fake, k=3)
    assert metric.protocol == "k3"


def test_too_few_images_for_k_neighbours():
    with pytest.raises(ValueError, match="k=5 takes more than 5 real"):
        DensityCoverage().check_sizes(5, 100)
    with pytest.raises(ValueError, match="k=0 must be from 1"):
        DensityCoverage(k=0)
