"""Path length: closed form on a linear generator, a loop over Jacobians, the running mean."""

from math import sqrt

import pytest
import torch
from torch import Tensor, nn

from ganlab.losses import path_length
from ganlab.losses.penalties import path_lengths

N, L, W, C, H = 6, 3, 5, 2, 4


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def keyed(shape: torch.Size) -> Tensor:
    return drawn(*shape, seed=42)


class LinearGenerator(nn.Module):
    """Images A w, each layer's style through a matrix of its own."""

    def __init__(self, matrices: Tensor) -> None:
        super().__init__()
        self.matrices = nn.Parameter(matrices)  # (L, C * H * H, W)
        self.to_style = nn.Parameter(drawn(W, W, seed=8))
        self.register_buffer("mean_path_length", torch.zeros((), dtype=torch.float64))
        self.made = 0

    def map(self, latents: Tensor, condition: object = None) -> Tensor:
        return (latents @ self.to_style)[:, None].expand(-1, L, -1)

    def synthesize(self, styles: Tensor) -> Tensor:
        self.made = len(styles)
        return torch.einsum("lpw,nlw->np", self.matrices, styles).reshape(-1, C, H, H)


def penalized(generator, latents, condition, normal, **settings) -> Tensor:
    """The penalty on the styles of these latents."""
    return path_length(generator, generator.map(latents), condition, normal, **settings)


class CurvedGenerator(LinearGenerator):
    """The same through a tanh, so that paths differ from place to place."""

    def synthesize(self, styles: Tensor) -> Tensor:
        return super().synthesize(styles).tanh()


def matrices() -> Tensor:
    return drawn(L, C * H * H, W, seed=9)


def closed_lengths(n: int) -> Tensor:
    """sqrt(mean over l of ||A_l^T y||^2) for y = noise / sqrt(H W), sample by sample."""
    noise = keyed(torch.Size((n, C, H, H))).flatten(1) / sqrt(H * H)
    squares = [(noise @ matrix).square().sum(dim=1) for matrix in matrices()]
    return torch.stack(squares).mean(dim=0).sqrt()


def test_lengths_of_a_linear_generator():
    generator = LinearGenerator(matrices())
    styles = generator.map(drawn(N, W))
    lengths = path_lengths(generator.synthesize(styles), styles, keyed)
    torch.testing.assert_close(lengths, closed_lengths(N))


def test_noise_makes_the_expected_square_the_mean_over_pixels():
    """E ||A^T y||^2 = ||A||^2 / (H W), over many directions."""
    generator = LinearGenerator(matrices())
    styles = generator.map(drawn(4000, W))
    lengths = path_lengths(generator.synthesize(styles), styles, keyed)
    expected = matrices().square().sum(dim=(1, 2)).mean() / H**2
    torch.testing.assert_close(lengths.square().mean(), expected, rtol=0.05, atol=0)


def test_penalty_of_a_linear_generator():
    generator = LinearGenerator(matrices())
    generator.mean_path_length.fill_(2.0)
    settings = {"weight": 3.0, "decay": 0.1, "batch_shrink": 1}
    penalty = penalized(generator, drawn(N, W), None, keyed, **settings)
    lengths = closed_lengths(N)
    mean = 0.9 * 2.0 + 0.1 * lengths.mean()
    torch.testing.assert_close(generator.mean_path_length, mean)
    torch.testing.assert_close(penalty, 3.0 * (lengths - mean).square().mean())


def test_an_isometry_costs_nothing_once_the_mean_has_settled():
    """Orthogonal rows of equal length: every direction moves every image alike."""
    turned, _ = torch.linalg.qr(drawn(C * H * H, C * H * H))
    rows = turned[None].expand(L, -1, -1) * 1.7

    def unit(shape: torch.Size) -> Tensor:
        noise = keyed(shape).flatten(1)
        return (noise / noise.norm(dim=1, keepdim=True)).reshape(shape) * sqrt(H * H)

    generator = LinearGenerator(rows)
    generator.to_style = nn.Parameter(drawn(W, C * H * H))
    generator.mean_path_length.fill_(1.7)
    penalty = penalized(generator, drawn(N, W), None, unit)
    assert penalty.item() == pytest.approx(0.0, abs=1e-24)
    assert generator.mean_path_length.item() == pytest.approx(1.7)


def test_default_settings_are_those_of_the_paper():
    generator = LinearGenerator(matrices())
    penalty = penalized(generator, drawn(N, W), None, keyed)
    assert generator.made == N // 2
    lengths = closed_lengths(N // 2)
    torch.testing.assert_close(generator.mean_path_length, 0.01 * lengths.mean())
    expected = 2 * (lengths - 0.01 * lengths.mean()).square().mean()
    torch.testing.assert_close(penalty, expected)


def test_lengths_of_a_curved_generator_are_those_of_its_jacobians():
    generator, latents = CurvedGenerator(matrices()), drawn(N, W)
    styles = generator.map(latents)
    lengths = path_lengths(generator.synthesize(styles), styles, keyed)
    noise = keyed(torch.Size((N, C, H, H))).flatten(1) / sqrt(H * H)
    for n in range(N):

        def image(style: Tensor) -> Tensor:
            return generator.synthesize(style[None]).flatten()

        jacobian = torch.autograd.functional.jacobian(image, styles[n].detach())  # (P, L, W)
        moved = torch.einsum("p,plw->lw", noise[n], jacobian)
        torch.testing.assert_close(lengths[n], moved.square().sum(dim=1).mean().sqrt())


@pytest.mark.parametrize("name", ["matrices", "to_style"])
def test_gradients_by_the_weights_are_exact(name):
    """By central differences, the mean held where the penalty found it."""
    generator, latents = CurvedGenerator(matrices()), drawn(N, W)

    def value() -> Tensor:
        generator.mean_path_length.fill_(1.5)
        return penalized(generator, latents, None, keyed, decay=1e-12)

    value().backward()
    weight = getattr(generator, name)
    for position in [(0,) * weight.ndim, tuple(side - 1 for side in weight.shape)]:
        ends = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                weight[position] += step
            ends.append(value().item())
            with torch.no_grad():
                weight[position] -= step
        difference = (ends[0] - ends[1]) / 2e-6
        assert weight.grad[position].item() == pytest.approx(difference, rel=1e-5)
        assert difference != 0


def test_the_mean_is_a_constant_to_the_gradient():
    generator = LinearGenerator(matrices())
    penalized(generator, drawn(N, W), None, keyed, decay=1.0, batch_shrink=1).backward()
    assert generator.mean_path_length.grad_fn is None
    (expected,) = torch.autograd.grad(constant_mean_penalty(generator), generator.matrices)
    torch.testing.assert_close(generator.matrices.grad, expected)


def constant_mean_penalty(generator: LinearGenerator) -> Tensor:
    styles = generator.map(drawn(N, W))
    lengths = path_lengths(generator.synthesize(styles), styles, keyed)
    return 2 * (lengths - closed_lengths(N).mean()).square().mean()


def test_a_second_call_leaves_the_first_graph_alone():
    generator = LinearGenerator(matrices())
    first = penalized(generator, drawn(N, W), None, keyed)
    penalized(generator, drawn(N, W), None, keyed)
    first.backward()
    assert generator.matrices.grad is not None


def test_a_batch_of_one_is_enough():
    generator = LinearGenerator(matrices())
    penalized(generator, drawn(1, W), None, keyed)
    assert generator.made == 1


def test_styles_behind_which_nothing_is_learned_do_too():
    """Without a mapping network the styles are the latents: no graph comes with them."""
    generator = LinearGenerator(matrices())
    styles = drawn(N, W)[:, None].expand(-1, L, -1)
    path_length(generator, styles, None, keyed, decay=1e-12, batch_shrink=1).backward()
    noise = keyed(torch.Size((N, C, H, H))).flatten(1) / sqrt(H * H)
    moved = torch.einsum("np,lpw->nlw", noise, matrices())
    slope = 2 / N * 2 / L * torch.einsum("np,nlw->lpw", noise, moved)  # of 2 mean(lengths^2)
    torch.testing.assert_close(generator.matrices.grad, slope)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_shrink": 0}, "batch_shrink must be at least 1, got 0"),
        ({"weight": -2.0}, "weight must be at least 0, got -2"),
        ({"decay": 0.0}, "decay must be above 0 and at most 1, got 0"),
        ({"decay": 1.5}, r"decay must be above 0 and at most 1, got 1\.5"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(options, message):
    generator = LinearGenerator(matrices())
    before = generator.mean_path_length.clone()
    with pytest.raises(ValueError, match=f"path_length: {message}"):
        penalized(generator, drawn(N, W), None, keyed, **options)
    assert torch.equal(generator.mean_path_length, before)


def test_the_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    penalized(LinearGenerator(matrices()), drawn(N, W), None, keyed)
    assert torch.equal(torch.get_rng_state(), before)
