import pytest
import torch

from ganlab.metrics import KernelDistance


def features(num, seed, shift=0.0):
    return torch.randn(num, 4, generator=torch.Generator().manual_seed(seed)) + shift


def kid(real, fake, split=1000, **options):
    metric = KernelDistance(**options)
    for chunk in real.split(split):
        metric.update(chunk, real=True)
    for chunk in fake.split(split):
        metric.update(chunk, real=False)
    return {name: value.item() for name, value in metric.compute().items()}


def by_loops(x, y):
    """Unbiased squared MMD with k(a, b) = (a.b / d + 1)^3, Bińkowski et al. eq. 4, pair by pair."""

    def kernel(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3

    x, y = x.double().tolist(), y.double().tolist()
    m, n = len(x), len(y)
    own = sum(kernel(x[i], x[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    own += sum(kernel(y[i], y[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return own - 2 * sum(kernel(a, b) for a in x for b in y) / (m * n)


def test_the_whole_set_as_subset_agrees_with_loops():
    real, fake = features(25, 1), features(25, 2, shift=0.5)
    found = kid(real, fake, subset_size=25, num_subsets=1)
    assert found["kid"] == pytest.approx(by_loops(real, fake), rel=1e-9)
    assert found["kid_std"] == 0


def test_it_is_unbiased_where_the_biased_estimate_is_not():
    """Between equal distributions estimates straddle 0; with the diagonal they could not."""
    pool = features(4000, 5)
    values = [
        kid(real, fake, subset_size=20, num_subsets=1)["kid"]
        for real, fake in zip(pool[:2000].split(20), pool[2000:].split(20), strict=True)
    ]
    values = torch.tensor(values)
    standard_error = values.std() / len(values) ** 0.5
    assert values.mean().abs() < 4 * standard_error
    assert values.min() < 0 < values.max()


def test_subsets_average_to_the_whole():
    real, fake = features(200, 1), features(200, 2, shift=1.0)
    whole = by_loops(real, fake)
    found = kid(real, fake, subset_size=50, num_subsets=200)
    assert found["kid_std"] > 0
    assert found["kid"] == pytest.approx(whole, abs=5 * found["kid_std"] / 200**0.5)


def test_subsets_are_not_the_global_random_numbers():
    real, fake = features(60, 1), features(60, 2)
    state = torch.get_rng_state()
    first = kid(real, fake, subset_size=10, num_subsets=5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(77)
    assert kid(real, fake, subset_size=10, num_subsets=5) == first


def test_neither_batches_nor_order_matter():
    real, fake = features(60, 1), features(60, 2)
    options = {"subset_size": 10, "num_subsets": 5}
    first = kid(real, fake, **options)
    assert kid(real, fake, split=7, **options) == first
    shuffled = KernelDistance(**options)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(3))
    shuffled.update(real[order], real=True, index=order)
    shuffled.update(fake[order], real=False, index=order)
    assert {name: value.item() for name, value in shuffled.compute().items()} == first
    assert kid(real[order], fake[order], **options) != first  # the index is what decides


def test_a_subset_larger_than_the_set():
    with pytest.raises(ValueError, match="subset_size=50 exceeds the 20 images"):
        kid(features(100, 1), features(20, 2), subset_size=50)


@pytest.mark.parametrize("options", [{"subset_size": 1}, {"num_subsets": 0}])
def test_no_kid_without_pairs_or_subsets(options):
    with pytest.raises(ValueError, match="KID needs"):
        KernelDistance(**options)


def test_one_index_for_each_image():
    with pytest.raises(ValueError, match="3 images came with 2 indices"):
        KernelDistance().update(features(3, 1), real=True, index=torch.arange(2))
