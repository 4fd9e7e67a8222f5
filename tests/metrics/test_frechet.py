import numpy as np
import pytest
import scipy.linalg
import torch

from ganlab.metrics import FrechetDistance, frechet_distance


def features(num, width, seed, scale=1.0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=generator)
    return (torch.randn(num, width, generator=generator) @ mixing * scale + shift).relu()


def with_moments(num, mean, root, seed):
    """Rows whose sample mean is `mean` and whose sample covariance is root @ root.T, exactly."""
    noise = torch.randn(num, len(mean), generator=torch.Generator().manual_seed(seed)).double()
    noise -= noise.mean(0)
    orthonormal = torch.linalg.qr(noise).Q  # columns still sum to 0
    return mean + orthonormal * (num - 1) ** 0.5 @ root.T


def fid(real, fake):
    metric = FrechetDistance()
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return metric.compute().item()


def definition(real, fake):
    """Heusel et al. with scipy's general matrix root."""
    a, b = real.double().numpy(), fake.double().numpy()
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)


@pytest.mark.parametrize("width", [2, 16, 64])
def test_agrees_with_the_definition_by_sqrtm(width):
    real, fake = features(500, width, 1), features(400, width, 2, scale=1.1, shift=0.2)
    assert fid(real, fake) == pytest.approx(definition(real, fake), rel=1e-6)


def test_agrees_with_the_definition_for_near_sets():
    """Where the distance is a small difference of large traces."""
    real = features(2000, 16, 1)
    fake = real * 1.001
    expected = definition(real, fake)
    assert expected < 1e-5 * real.double().var(0).sum()
    assert fid(real, fake) == pytest.approx(expected, rel=1e-6)


def test_closed_form_of_two_axis_aligned_gaussians():
    mean_a, mean_b = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 1.0, 0.0])
    sigma_a, sigma_b = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 0.5, 3.0])
    real = with_moments(50, mean_a.double(), sigma_a.double().diag(), 1)
    fake = with_moments(70, mean_b.double(), sigma_b.double().diag(), 2)
    expected = (mean_a - mean_b).square().sum() + (sigma_a - sigma_b).square().sum()
    assert fid(real, fake) == pytest.approx(expected.item(), rel=1e-10)


def test_closed_form_against_a_rotated_gaussian():
    """Against N(0, I) the root of the product is the root of the other covariance, here R S R^T."""
    rotation = torch.linalg.qr(
        torch.randn(4, 4, generator=torch.Generator().manual_seed(3)).double()
    ).Q
    scales = torch.tensor([0.5, 1.0, 2.0, 3.0]).double()
    real = with_moments(40, torch.zeros(4).double(), torch.eye(4).double(), 1)
    fake = with_moments(40, torch.zeros(4).double(), rotation * scales, 2)
    assert fid(real, fake) == pytest.approx((scales - 1).square().sum().item(), rel=1e-10)


def test_equal_sets_are_at_zero_and_never_below():
    for width in (3, 40):
        real = features(200, width, 1, shift=5.0)
        assert 0 <= fid(real, real) < 1e-9


def test_singular_covariances_stay_exact():
    """Two Gaussians on the same line, in three dimensions: (|m_a - m_b|)^2 + (s_a - s_b)^2."""
    direction = torch.tensor([[2.0, 1.0, 2.0]]).double() / 3
    real = with_moments(30, torch.tensor([0.0]).double(), torch.tensor([[2.0]]).double(), 1)
    fake = with_moments(30, torch.tensor([3.0]).double(), torch.tensor([[5.0]]).double(), 2)
    assert fid(real @ direction, fake @ direction) == pytest.approx(18.0, rel=1e-10)


def test_singular_covariances_in_orthogonal_spaces_share_nothing():
    """Where the product of covariances is 0, and rounding error under a root would not be."""
    axes = torch.linalg.qr(
        torch.randn(60, 60, generator=torch.Generator().manual_seed(4)).double()
    ).Q
    scales_a, scales_b = torch.linspace(1, 2, 20).double(), torch.linspace(1, 3, 20).double()
    zero = torch.zeros(20).double()
    real = with_moments(90, zero, scales_a.diag(), 1) @ axes[:20]
    fake = with_moments(90, zero, scales_b.diag(), 2) @ axes[20:40]
    expected = scales_a.square().sum() + scales_b.square().sum()
    assert fid(real, fake) == pytest.approx(expected.item(), rel=1e-11)


def test_batches_do_not_matter():
    real, fake = features(100, 6, 1), features(90, 6, 2)
    metric = FrechetDistance(feature_dim=6)
    for chunk in real.split(7):
        metric.update(chunk, real=True)
    for chunk in fake.split(31):
        metric.update(chunk, real=False)
    assert metric.compute().item() == pytest.approx(fid(real, fake), rel=1e-11)


def test_fewer_images_than_dimensions_is_said():
    with pytest.warns(UserWarning, match="5 real and 20 generated images in 8 dimensions"):
        fid(features(5, 8, 1), features(20, 8, 2))


def test_one_image_has_no_covariance():
    with pytest.raises(ValueError, match="at least 2"):
        fid(features(1, 3, 1), features(20, 3, 2))


def test_symmetry_of_the_function():
    a, b = features(50, 5, 1).double(), features(50, 5, 2).double()
    moments_a, moments_b = (a.mean(0), a.T.cov()), (b.mean(0), b.T.cov())
    there, back = frechet_distance(*moments_a, *moments_b), frechet_distance(*moments_b, *moments_a)
    assert there.item() == pytest.approx(back.item(), rel=1e-12)


def graded(width, seed, decades):
    """A covariance whose eigenvalues fall by so many decades, and its moments' mean."""
    generator = torch.Generator().manual_seed(seed)
    axes = torch.linalg.qr(torch.randn(width, width, generator=generator).double()).Q
    values = torch.logspace(0, -decades, width, dtype=torch.float64)
    return torch.zeros(width).double(), (axes * values) @ axes.T


@pytest.mark.parametrize("decades", [1, 4, 7])
def test_graded_covariances_agree_with_sqrtm(decades):
    """As pooled features have them: most directions with next to no variance."""
    a, b = graded(80, 1, decades), graded(80, 2, decades)
    root = scipy.linalg.sqrtm((a[1] @ b[1]).numpy()).real
    expected = (a[1].trace() + b[1].trace()).item() - 2 * np.trace(root)
    assert frechet_distance(*a, *b).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("decades", [0, 6, 12])
def test_commuting_covariances_have_a_closed_form(decades):
    """With one set of axes the distance is the sum of (s_a - s_b)^2, however small the s."""
    mean, cov = graded(60, 1, decades)
    values, axes = torch.linalg.eigh(cov)
    values = torch.logspace(-decades, 0, 60, dtype=torch.float64)
    cov, other = (axes * values) @ axes.T, (axes * (1.01**2 * values)) @ axes.T
    expected = (0.01**2 * values).sum().item()
    assert frechet_distance(mean, cov, mean, other).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("rank_a", "rank_b"), [(3, 20), (20, 3), (20, 20), (0, 5), (0, 0)])
def test_any_ranks(rank_a, rank_b):
    """Against the singular values of the factors that the covariances are made of."""
    generator = torch.Generator().manual_seed(7)
    a, b = (torch.randn(20, n, generator=generator).double() for n in (rank_a, rank_b))
    expected = a.square().sum() + b.square().sum() - 2 * torch.linalg.svdvals(a.T @ b).sum()
    mean = torch.zeros(20).double()
    found = frechet_distance(mean, a @ a.T, mean, b @ b.T).item()
    assert found == pytest.approx(expected.item(), rel=1e-9, abs=1e-12)


def test_regular_covariances_need_no_singular_values(monkeypatch):
    """They cost four times the eigenvalues of a symmetric matrix."""
    real, fake = features(500, 30, 1), features(500, 30, 2, shift=0.5)
    expected = definition(real, fake)

    def refused(*_):
        raise AssertionError("singular values of a well-conditioned pair")

    monkeypatch.setattr(torch.linalg, "svdvals", refused)
    monkeypatch.setattr(torch.linalg, "eigh", refused)
    assert fid(real, fake) == pytest.approx(expected, rel=1e-6)


def test_dead_features_where_lapack_does_not_converge(monkeypatch):
    """Two axis-aligned Gaussians in 6 of 64 dimensions: sum of (a - b)^2 of deviations and means.

    With so many zeros LAPACK gives up now and then, which depends on its build.
    """

    def fails(matrix):
        raise torch.linalg.LinAlgError("failed to converge")

    monkeypatch.setattr(torch.linalg, "eigh", fails)
    first, second = torch.zeros(2, 64, dtype=torch.float64)
    first[:6], second[:6] = torch.arange(1.0, 7), torch.tensor([2.0, 0, 5, 1, 0, 9])
    found = frechet_distance(first, first.square().diag(), second, second.square().diag())
    assert found == pytest.approx(2 * (first - second).square().sum().item(), rel=1e-12)
