"""Adversarial losses: closed forms, the papers' formulas written out, the theory of the minimax."""

import math

import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from ganlab import losses

RELATIVE = ("Relativistic", "RelativisticPairing")
PAIRS = {
    name: getattr(losses, name)
    for name in ("Minimax", "Nonsaturating", "LeastSquares", "Hinge", "Wasserstein", *RELATIVE)
}


def logits(*shape: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(*shape, generator=rng, dtype=torch.float64)


def explicit(name: str, real: list[float], fake: list[float]) -> tuple[float, float]:
    """Both losses in plain Python, sample by sample, as the papers print them."""

    def mean(terms):
        terms = list(terms)
        return sum(terms) / len(terms)

    def sigmoid(t):
        return 1 / (1 + math.exp(-t))

    def cross_entropy():
        return -mean(math.log(sigmoid(t)) for t in real) - mean(
            math.log(1 - sigmoid(t)) for t in fake
        )

    def relative(above, below):
        up = mean(max(0, 1 - (t - mean(below))) for t in above)
        return up + mean(max(0, 1 + (t - mean(above))) for t in below)

    def paired(above, below):
        return mean(math.log(1 + math.exp(y - x)) for x, y in zip(above, below, strict=True))

    return {
        "Minimax": lambda: (cross_entropy(), mean(math.log(1 - sigmoid(t)) for t in fake)),
        "Nonsaturating": lambda: (cross_entropy(), -mean(math.log(sigmoid(t)) for t in fake)),
        "LeastSquares": lambda: (
            mean((t - 1) ** 2 for t in real) + mean(t**2 for t in fake),
            mean((t - 1) ** 2 for t in fake),
        ),
        "Hinge": lambda: (
            mean(max(0, 1 - t) for t in real) + mean(max(0, 1 + t) for t in fake),
            -mean(fake),
        ),
        "Wasserstein": lambda: (mean(fake) - mean(real), -mean(fake)),
        "Relativistic": lambda: (relative(real, fake), relative(fake, real)),
        "RelativisticPairing": lambda: (paired(real, fake), paired(fake, real)),
    }[name]()


@pytest.mark.parametrize("name", PAIRS)
def test_each_pair_is_its_papers_formula(name):
    real, fake = logits(7), logits(7 if name == "RelativisticPairing" else 5, seed=1)
    discriminator, generator = explicit(name, real.tolist(), fake.tolist())
    assert PAIRS[name].discriminator(real, fake).item() == pytest.approx(discriminator, rel=1e-12)
    assert PAIRS[name].generator(fake, real).item() == pytest.approx(generator, rel=1e-12)


@pytest.mark.parametrize("name", PAIRS)
def test_several_logits_are_the_sum_of_separate_losses(name):
    pair, real, fake = PAIRS[name], logits(6, 3), logits(6, 3, seed=1)
    columns = list(zip(real.T, fake.T, strict=True))
    together = pair.discriminator(real, fake), pair.generator(fake, real)
    assert together[0].shape == together[1].shape == ()
    apart = sum(pair.discriminator(r, f) for r, f in columns)
    torch.testing.assert_close(together[0], apart)
    torch.testing.assert_close(together[1], sum(pair.generator(f, r) for r, f in columns))


@pytest.mark.parametrize("name", PAIRS)
def test_the_generators_loss_falls_as_fakes_look_more_real(name):
    fake = logits(6).requires_grad_()
    PAIRS[name].generator(fake, logits(6, seed=1)).backward()
    if name == "LeastSquares":  # pulls towards 1 from both sides
        assert ((fake.grad < 0) == (fake < 1)).all()
    elif name == "Relativistic":  # flat beyond the margin
        assert (fake.grad <= 0).all()
        assert (fake.grad < 0).any()
    else:
        assert (fake.grad < 0).all()


def test_logistic_losses_at_zero_logits():
    zeros = torch.zeros(5, dtype=torch.float64)
    for pair in (losses.Minimax, losses.Nonsaturating):
        assert pair.discriminator(zeros, zeros).item() == pytest.approx(2 * math.log(2), rel=1e-14)
    assert losses.Nonsaturating.generator(zeros).item() == pytest.approx(math.log(2), rel=1e-14)
    assert losses.Minimax.generator(zeros).item() == pytest.approx(-math.log(2), rel=1e-14)


def test_minimax_gradients_are_those_of_the_log_sigmoid_formula():
    real, fake = logits(9).requires_grad_(), logits(9, seed=1).requires_grad_()
    value = real.sigmoid().log().mean() + (1 - fake.sigmoid()).log().mean()
    expected = torch.autograd.grad(-value, (real, fake))
    found = torch.autograd.grad(losses.Minimax.discriminator(real, fake), (real, fake))
    torch.testing.assert_close(found, expected)
    ascended = torch.autograd.grad((1 - fake.sigmoid()).log().mean(), fake)
    torch.testing.assert_close(torch.autograd.grad(losses.Minimax.generator(fake), fake), ascended)


def test_only_the_minimax_generator_saturates_where_a_fake_is_certain():
    slopes = {}
    for name in ("Minimax", "Nonsaturating"):
        fake = torch.full((1,), -20.0, requires_grad=True)
        PAIRS[name].generator(fake).backward()
        slopes[name] = fake.grad.abs().item()
    assert slopes["Minimax"] < 1e-8
    assert slopes["Nonsaturating"] == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["Minimax", "Nonsaturating"])
def test_extreme_logits_stay_finite(name):
    real = torch.tensor([-1e4, 1e4], requires_grad=True)
    fake = torch.tensor([-1e4, 1e4], requires_grad=True)
    loss = PAIRS[name].discriminator(real, fake) + PAIRS[name].generator(fake)
    loss.backward()
    assert loss.isfinite()
    assert real.grad.isfinite().all()
    assert fake.grad.isfinite().all()


def test_hinge_leaves_logits_beyond_the_margin_alone():
    real = torch.tensor([0.9, 1.1], requires_grad=True)
    fake = torch.tensor([-0.9, -1.1], requires_grad=True)
    losses.Hinge.discriminator(real, fake).backward()
    assert real.grad.tolist() == [-0.5, 0.0]
    assert fake.grad.tolist() == [0.5, 0.0]


@pytest.mark.parametrize("name", ["Wasserstein", *RELATIVE])
def test_a_common_shift_of_all_logits_changes_nothing(name):
    real, fake = logits(6), logits(6, seed=1)
    found = PAIRS[name].discriminator(real + 5, fake + 5)
    torch.testing.assert_close(found, PAIRS[name].discriminator(real, fake))


def test_only_relativistic_losses_look_at_reals():
    asking = [name for name, pair in PAIRS.items() if getattr(pair, "relativistic", False)]
    assert asking == list(RELATIVE)
    for name in PAIRS.keys() - set(asking):
        assert PAIRS[name].generator(logits(4)) == PAIRS[name].generator(
            logits(4), logits(4, seed=1)
        )
    for name, config in zip(RELATIVE, ("relativistic", "relativistic_pairing"), strict=True):
        with pytest.raises(ValueError, match=rf"model\.loss={config}: .*reals"):
            PAIRS[name].generator(logits(4))


def test_pairing_is_the_minimax_of_paired_differences_at_two_points():
    """Half of D's loss, where a pair's difference is the logit of a real and its negative a fake's:
    at differences of 0 log 2, at the optimum of reals above fakes nothing, and every step exact.
    """
    real, fake = torch.tensor([2.0, -1.0]).double(), torch.tensor([0.5, 3.0]).double()
    difference = real - fake
    minimax = losses.Minimax.discriminator(difference, -difference) / 2
    torch.testing.assert_close(losses.RelativisticPairing.discriminator(real, fake), minimax)
    minimax = losses.Minimax.discriminator(-difference, difference) / 2
    torch.testing.assert_close(losses.RelativisticPairing.generator(fake, real), minimax)
    assert losses.RelativisticPairing.generator(real, real).item() == pytest.approx(math.log(2))
    assert losses.RelativisticPairing.discriminator(real + 1e3, fake) == 0
    swapped = losses.RelativisticPairing.discriminator(real, fake.flip(0))
    assert swapped != losses.RelativisticPairing.discriminator(real, fake), "partners count"


@pytest.mark.parametrize("name", ["RelativisticPairing"])
def test_gradients_are_those_of_finite_differences(name):
    real, fake = logits(4, 2).requires_grad_(), logits(4, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(PAIRS[name].discriminator, (real, fake))
    assert torch.autograd.gradcheck(PAIRS[name].generator, (fake, real))


# The theory of the minimax game (Goodfellow et al. 2014, section 4.1): at D* = a / (a + b) the
# value, which is minus D's loss, is -2 log 2 + 2 JSD(a, b), and no D does better.

REAL_COUNTS, FAKE_COUNTS = [6, 3, 0, 1, 2], [1, 2, 4, 5, 0]  # 12 draws over five outcomes


def divergence(a: list[float], b: list[float]) -> float:
    """Jensen-Shannon divergence in nats, outcome by outcome."""

    def relative_entropy(p, m):
        return sum(x * math.log(x / y) for x, y in zip(p, m, strict=True) if x)

    middle = [(x + y) / 2 for x, y in zip(a, b, strict=True)]
    return (relative_entropy(a, middle) + relative_entropy(b, middle)) / 2


def samples(counts: list[int], table: Tensor) -> Tensor:
    """The table's logit of every draw, so that the mean over them is the exact expectation."""
    return table.repeat_interleave(torch.tensor(counts))


def optimal_logits() -> Tensor:
    """Logit of D* = a / (a + b) is log(a / b); an outcome of one kind only gets +-40."""
    a, b = torch.tensor(REAL_COUNTS).double(), torch.tensor(FAKE_COUNTS).double()
    return (a / b).log().clamp(-40, 40)


def test_minimax_value_at_the_optimal_discriminator_is_the_divergence():
    table = optimal_logits()
    loss = losses.Minimax.discriminator(samples(REAL_COUNTS, table), samples(FAKE_COUNTS, table))
    expected = -2 * math.log(2) + 2 * divergence(
        [n / 12 for n in REAL_COUNTS], [n / 12 for n in FAKE_COUNTS]
    )
    assert -loss.item() == pytest.approx(expected, rel=1e-12)


def test_no_discriminator_does_better_than_the_optimal_one():
    def loss(table: Tensor) -> Tensor:
        return losses.Minimax.discriminator(
            samples(REAL_COUNTS, table), samples(FAKE_COUNTS, table)
        )

    best = optimal_logits().requires_grad_()
    loss(best).backward()
    assert best.grad.abs().max() < 1e-12
    for seed in range(20):
        assert loss(best + 0.3 * logits(5, seed=seed)) > loss(best)


def test_minimax_value_for_two_gaussians_is_the_divergence_by_quadrature():
    real, fake = stats.norm(0.0, 1.0), stats.norm(1.5, 0.7)

    def towards_middle(p):
        def integrand(x):
            middle = (real.pdf(x) + fake.pdf(x)) / 2
            return p.pdf(x) * (p.logpdf(x) - math.log(middle))

        return integrate.quad(integrand, -12, 12, epsabs=1e-12, limit=200)[0]

    expected = -2 * math.log(2) + towards_middle(real) + towards_middle(fake)  # KLs = 2 JSD
    ranks = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000  # midpoints of equal mass

    def logit(p) -> Tensor:
        x = p.ppf(ranks.numpy())
        return torch.from_numpy(real.logpdf(x) - fake.logpdf(x))  # of D* = a / (a + b)

    value = -losses.Minimax.discriminator(logit(real), logit(fake)).item()
    assert value == pytest.approx(expected, abs=1e-5)
    assert -2 * math.log(2) < value < 0


def test_minimax_value_for_equal_densities_is_its_minimum():
    table = torch.zeros(5, dtype=torch.float64)  # a / (a + b) = 1/2 everywhere
    drawn = samples(REAL_COUNTS, table)
    assert -losses.Minimax.discriminator(drawn, drawn).item() == pytest.approx(-2 * math.log(2))
