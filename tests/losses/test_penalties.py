"""Penalties: closed forms, explicit loops over samples, finite differences for second order."""

import pytest
import torch
from torch import Tensor, nn

from ganlab.losses import drift, gradient_penalty, r1, r2

N, C, H, W = 5, 3, 4, 4


class Linear(nn.Module):
    """D(x) = w . x + b, whose gradient is w everywhere."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(torch.ones(()).double())

    def forward(self, images: Tensor, condition: object = None) -> Tensor:
        return (images * self.weight).sum(dim=(1, 2, 3)) + self.bias


class Smooth(nn.Module):
    """A curved critic with K logits."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(C * H * W, 6), nn.Tanh(), nn.Linear(6, outputs)
        ).double()

    def forward(self, images: Tensor, condition: object = None) -> Tensor:
        return self.layers(images).squeeze(1)


class Pyramid(nn.Module):
    """A critic of a list of scales, each with a linear form and a bend of its own."""

    def __init__(self, weights: list[Tensor]) -> None:
        super().__init__()
        self.weights = nn.ParameterList(weights)

    def forward(self, images: list[Tensor], condition: object = None) -> Tensor:
        pairs = zip(images, self.weights, strict=True)
        return sum((image * weight).sum(dim=(1, 2, 3)) for image, weight in pairs)


def images(seed: int, size: int = H) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(N, C, size, size, generator=rng, dtype=torch.float64) * 2 - 1


def refuse(n: int) -> Tensor:
    raise AssertionError("this penalty draws nothing")


EPSILON = torch.tensor([0.0, 0.2, 0.5, 0.7, 0.999], dtype=torch.float64)


def epsilon(n: int) -> Tensor:
    assert n == N
    return EPSILON


def unit(weight: Tensor) -> Tensor:
    return weight / weight.norm()


def weight(seed: int = 9, size: int = H) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(C, size, size, generator=rng, dtype=torch.float64)


SIDES = pytest.mark.parametrize(("penalty", "side"), [(r1, 0), (r2, 1)], ids=["r1", "r2"])


@SIDES
def test_r1_and_r2_of_a_linear_discriminator(penalty, side):
    w = weight()
    value = penalty(Linear(w), images(0), images(1), None, refuse, gamma=3.0)
    assert value.shape == ()
    torch.testing.assert_close(value, 3.0 / 2 * w.square().sum())


@SIDES
def test_r1_looks_at_reals_only_and_r2_at_fakes(penalty, side):
    network, pair, other = Smooth(), [images(0), images(1)], [images(0), images(1)]
    first = penalty(network, *pair, None, refuse)
    other[1 - side] = images(2)
    assert torch.equal(first, penalty(network, *other, None, refuse))
    pair[side] = images(2)
    assert not torch.equal(first, penalty(network, *pair, None, refuse))


@SIDES
def test_r1_and_r2_average_over_scales(penalty, side):
    weights = [weight(1, 2), weight(2, 4)]
    shown = [images(0, 2), images(0, 4)]
    value = penalty(Pyramid(weights), shown, shown, None, refuse, gamma=2.0)
    torch.testing.assert_close(value, sum(w.square().sum() for w in weights) / 2)


def explicit_slopes(network: nn.Module, points: Tensor) -> list[Tensor]:
    """Norm of the gradient at one sample after another, by central differences."""
    slopes = []
    for point in points:
        flat = []
        for position in range(point.numel()):
            step = torch.zeros(point.numel(), dtype=torch.float64)
            step[position] = 1e-6
            step = step.reshape(1, *point.shape)
            ends = network(point[None] + step).sum() - network(point[None] - step).sum()
            flat.append(ends / 2e-6)
        slopes.append(torch.stack(flat).norm())
    return slopes


@SIDES
@pytest.mark.parametrize("outputs", [1, 3])
def test_r1_and_r2_are_the_loop_over_samples(penalty, side, outputs):
    network = Smooth(outputs)
    slopes = explicit_slopes(network, images(side))
    expected = 10.0 / 2 * sum(slope**2 for slope in slopes) / N
    value = penalty(network, images(0), images(1), None, refuse, gamma=10.0)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("target", [1.0, 0.3, 750.0])
def test_gradient_penalty_is_the_loop_over_samples(target):
    network, real, fake = Smooth(), images(0), images(1)
    points = torch.stack([e * x + (1 - e) * y for e, x, y in zip(EPSILON, real, fake, strict=True)])
    slopes = explicit_slopes(network, points)
    expected = 7.0 * sum((slope - target) ** 2 / target**2 for slope in slopes) / N
    penalty = gradient_penalty(network, real, fake, None, epsilon, weight=7.0, target=target)
    torch.testing.assert_close(penalty, expected, rtol=1e-6, atol=0)


def test_gradient_penalty_of_a_unit_slope_is_nothing():
    network = Linear(unit(weight()))
    penalty = gradient_penalty(network, images(0), images(1), None, epsilon)
    assert penalty.item() == pytest.approx(0.0, abs=1e-28)
    network = Linear(3 * unit(weight()))
    penalty = gradient_penalty(network, images(0), images(1), None, epsilon)
    assert penalty.item() == pytest.approx(10 * (3 - 1) ** 2)


def test_gradient_penalty_averages_over_scales():
    network = Pyramid([3 * unit(weight(1, 2)), 2 * unit(weight(2, 4))])
    reals, fakes = [images(0, 2), images(0, 4)], [images(1, 2), images(1, 4)]
    penalty = gradient_penalty(network, reals, fakes, None, epsilon, weight=1.0)
    assert penalty.item() == pytest.approx(((3 - 1) ** 2 + (2 - 1) ** 2) / 2)


def test_all_scales_of_a_sample_share_one_epsilon():
    seen = []

    class Watching(Pyramid):
        def forward(self, images: list[Tensor], condition: object = None) -> Tensor:
            seen.extend(image.detach() for image in images)
            return super().forward(images, condition)

    reals = [torch.ones(N, C, size, size).double() for size in (2, 4)]
    fakes = [torch.zeros(N, C, size, size).double() for size in (2, 4)]
    gradient_penalty(Watching([weight(1, 2), weight(2, 4)]), reals, fakes, None, epsilon)
    for mixed in seen:  # epsilon times real, so the mixture shows epsilon itself
        assert torch.equal(mixed, EPSILON[:, None, None, None].expand_as(mixed))
    assert len(seen) == 2


def test_gradient_penalty_draws_one_number_a_sample_once():
    calls = []

    def counted(n: int) -> Tensor:
        calls.append(n)
        return torch.rand(n)

    reals = [images(0, 2), images(0, 4)]
    gradient_penalty(Pyramid([weight(1, 2), weight(2, 4)]), reals, reals, None, counted)
    assert calls == [N]


def test_gradient_penalty_of_a_flat_critic_has_finite_gradients():
    network = Linear(torch.zeros(C, H, W).double())
    penalty = gradient_penalty(network, images(0), images(1), None, epsilon)
    penalty.backward()
    assert penalty.item() == pytest.approx(10.0)
    assert network.weight.grad.isfinite().all()


@pytest.mark.parametrize("target", [0.0, -1.0])
def test_gradient_penalty_needs_a_positive_target(target):
    with pytest.raises(ValueError, match=r"target must be positive.*r1"):
        gradient_penalty(Smooth(), images(0), images(1), None, epsilon, target=target)


@pytest.mark.parametrize(
    ("penalty", "name"),
    [(r1, "gamma"), (r2, "gamma"), (gradient_penalty, "weight"), (drift, "weight")],
)
def test_a_strength_below_0_is_refused_by_its_name(penalty, name):
    arguments = Smooth(), images(0), images(1), None, epsilon
    assert penalty(*arguments, **{name: 0.0}) == 0
    with pytest.raises(ValueError, match=f"{penalty.__name__}: {name} must be at least 0, got -10"):
        penalty(*arguments, **{name: -10.0})


def test_drift_is_the_mean_square_of_logits_on_reals():
    logits = torch.tensor([[1.0, 2.0], [3.0, -4.0]])

    def network(images: Tensor, condition: object) -> Tensor:
        return logits

    penalty = drift(network, images(0), images(1), None, refuse, weight=0.1)
    assert penalty.item() == pytest.approx(0.1 * ((1 + 4) + (9 + 16)) / 2)
    flat = drift(lambda images, condition: logits[:, 0], images(0), images(1), None, refuse)
    assert flat.item() == pytest.approx(0.001 * (1 + 9) / 2)


PENALTIES = [(r1, refuse), (r2, refuse), (gradient_penalty, epsilon), (drift, refuse)]
IDS = ["r1", "r2", "gradient_penalty", "drift"]


@pytest.mark.parametrize(("penalty", "uniform"), PENALTIES, ids=IDS)
def test_gradients_by_the_weights_are_exact(penalty, uniform):
    network, real, fake = Smooth(), images(0), images(1)
    penalty(network, real, fake, None, uniform).backward()
    kernel = network.layers[1].weight
    for position in [(0, 0), (2, 11), (5, 47)]:
        values = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                kernel[position] += step
            values.append(penalty(network, real, fake, None, uniform).item())
            with torch.no_grad():
                kernel[position] -= step
        difference = (values[0] - values[1]) / 2e-5
        assert kernel.grad[position].item() == pytest.approx(difference, rel=1e-5, abs=1e-9)
        assert difference != 0


@pytest.mark.parametrize(("penalty", "uniform"), PENALTIES, ids=IDS)
def test_images_are_left_as_they_were(penalty, uniform):
    real, fake = images(0), images(1).requires_grad_()
    penalty(Smooth(), real, fake, None, uniform).backward()
    assert not real.requires_grad
    assert fake.grad is None
    assert torch.equal(real, images(0))


@pytest.mark.parametrize(("penalty", "uniform"), PENALTIES, ids=IDS)
def test_the_condition_reaches_the_discriminator(penalty, uniform):
    told = []

    class Told(Smooth):
        def forward(self, images: Tensor, condition: object = None) -> Tensor:
            told.append(condition)
            return super().forward(images)

    condition = object()
    penalty(Told(), images(0), images(1), condition, uniform)
    assert told == [condition]


@pytest.mark.parametrize(("penalty", "uniform"), PENALTIES, ids=IDS)
def test_the_global_random_state_is_left_alone(penalty, uniform):
    network = Smooth()
    before = torch.get_rng_state()
    penalty(network, images(0), images(1), None, uniform)
    assert torch.equal(torch.get_rng_state(), before)
