import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from ganlab.metrics import PrecisionRecall, precision_recall
from ganlab.metrics.neighbours import neighbour_radii


def normal(num, width, seed, shift=0.0):
    return torch.randn(num, width, generator=torch.Generator().manual_seed(seed)).double() + shift


def scores(real, fake, **options):
    precision, recall = precision_recall(real, fake, **options)
    return precision.item(), recall.item()


def by_loops(real, fake, k):
    """Kynkäänniemi et al., eqs. 1-2, pair by pair."""

    def radius(points, i):
        others = (np.linalg.norm(points[i] - points[j]) for j in range(len(points)) if j != i)
        return sorted(others)[k - 1]

    def covered(point, centres, radii):
        return any(np.linalg.norm(point - c) <= r for c, r in zip(centres, radii, strict=True))

    def share(points, centres):
        radii = [radius(centres, i) for i in range(len(centres))]
        return np.mean([covered(point, centres, radii) for point in points])

    return share(fake, real), share(real, fake)


def by_sklearn(real, fake, k):
    real, fake = (np.asarray(x, np.float64) for x in (real, fake))

    def share(points, centres):
        radii = NearestNeighbors(n_neighbors=k).fit(centres).kneighbors()[0][:, -1]  # without self
        distances = np.linalg.norm(points[:, None] - centres[None], axis=-1)
        return (distances <= radii).any(1).mean()

    return share(fake, real), share(real, fake)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_agrees_with_loops(k):
    real, fake = normal(40, 3, 1), normal(35, 3, 2, shift=0.7)
    found = scores(real, fake, k=k)
    assert found == by_loops(real.numpy(), fake.numpy(), k)
    assert 0 < found[0] < 1
    assert 0 < found[1] < 1


def test_agrees_with_sklearn_far_from_the_origin():
    real, fake = normal(300, 8, 1, shift=1e4), normal(250, 8, 2, shift=1e4 + 0.5)
    assert scores(real, fake) == by_sklearn(real.numpy(), fake.numpy(), 3)


def test_collapse_is_precise_but_recalls_nothing():
    real = normal(500, 4, 1)
    fake = real[:1] + 1e-3 * normal(500, 4, 2)
    precision, recall = scores(real, fake)
    assert precision > 0.99
    assert recall < 0.01


def test_the_reverse_recalls_everything_but_is_not_precise():
    fake = normal(500, 4, 1)
    real = fake[:1] + 1e-3 * normal(500, 4, 2)
    precision, recall = scores(real, fake)
    assert precision < 0.01
    assert recall > 0.99


def test_total_collapse_onto_one_real_image():
    """Every fake equals one real: all precise, and the balls of radius 0 hold that real alone."""
    real = normal(100, 32, 1, shift=10.0)
    fake = real[17].expand(50, 32).clone()
    assert scores(real, fake) == (1.0, 0.01)


def test_near_duplicates_are_told_apart():
    """Distances of 1e-9 around two distant points, far below what a matrix product resolves."""
    centres = torch.tensor([[30.0] * 8, [-30.0] * 8]).double().repeat(20, 1)
    real, fake = centres + 1e-9 * normal(40, 8, 1), centres + 1e-9 * normal(40, 8, 2, shift=0.5)
    found = scores(real, fake)
    assert found == by_loops(real.numpy(), fake.numpy(), 3)
    assert 0 < found[0] < 1


def test_equal_sets_are_perfect_and_distant_ones_hopeless():
    real = normal(50, 4, 1)
    assert scores(real, real.clone()) == (1.0, 1.0)
    assert scores(real, real + 100) == (0.0, 0.0)


def test_the_boundary_belongs_to_the_ball():
    real = torch.tensor([[0.0], [1.0], [2.0]]).double()  # k = 1: radius 1 each
    fake = torch.tensor([[-1.0], [3.0], [-1.5], [10.0]]).double()
    assert scores(real, fake, k=1)[0] == 0.5


def test_an_image_is_not_its_own_neighbour():
    points = torch.tensor([[0.0], [1.0], [3.0], [7.0]]).double()
    assert neighbour_radii(points, 1).tolist() == [1, 1, 2, 4]
    assert neighbour_radii(points, 2).tolist() == [3, 2, 3, 6]


def test_blocks_do_not_matter():
    real, fake = normal(120, 3, 1), normal(110, 3, 2)
    assert scores(real, fake, memory_mb=0) == scores(real, fake)


def test_single_precision_features_score_as_their_values_in_double():
    """Clusters far from the origin, where float32 distances would be noise."""
    means = 300 * normal(5, 16, 3)
    real, fake = ((means[torch.arange(200) % 5] + normal(200, 16, s)).float() for s in (1, 2))
    found = scores(real, fake)
    assert found == scores(real.double(), fake.double()) == by_sklearn(real, fake, 3)
    assert 0 < found[0] < 1


def test_a_memorised_set_is_precise_and_recalls_what_it_copied():
    """Copies are inside their originals' balls; of the reals in no fake's ball none was copied."""
    real = normal(300, 8, 1)
    copied = torch.arange(300) % 3 == 0
    precision, recall = scores(real, real[copied])
    assert precision == 1
    assert copied.double().mean() <= recall < 1


def test_features_are_not_copied_to_double_precision(monkeypatch):
    """The whole set in float64 would be two thirds of the memory."""
    metric, sizes, double = PrecisionRecall(memory_mb=4), [], torch.Tensor.double
    for side in (True, False):
        metric.update(torch.rand(2000, 600), real=side)
    monkeypatch.setattr(
        torch.Tensor, "double", lambda self: sizes.append(self.numel()) or double(self)
    )
    metric.compute()
    assert max(sizes) < 2000 * 600 / 2


def test_the_metric_takes_batches_in_any_order():
    real, fake = normal(60, 3, 1), normal(50, 3, 2)
    metric = PrecisionRecall(k=3)
    for chunk in reversed(real.split(7)):
        metric.update(chunk, real=True)
    metric.update(fake, real=False)
    found = metric.compute()
    assert (found["precision"].item(), found["recall"].item()) == scores(real, fake)


def test_too_few_images_for_k_neighbours():
    metric = PrecisionRecall(k=3)
    metric.update(normal(3, 2, 1), real=True)
    metric.update(normal(9, 2, 1), real=False)
    with pytest.raises(ValueError, match="k=3 takes more than 3 images"):
        metric.compute()
    for options in ({"k": 0}, {"memory_mb": -1}):
        with pytest.raises(ValueError, match="must be from 1, memory_mb="):
            PrecisionRecall(**options)
