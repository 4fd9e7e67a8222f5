"""Draws of a step: one global batch, whatever the number of ranks."""

import pytest
import torch

from ganlab.networks.base import Generator, StyleGenerator
from ganlab.systems.randomness import StepRandomness, fresh_noise


class Space:
    def sample_latents(self, n, generator):
        return torch.randn(n, 3, generator=generator)


DRAWS = {
    "latents": lambda r, n: r.latents(Space(), "generator", n),
    "uniform": lambda r, n: r.uniform("a", "b")(n),
    "normal": lambda r, n: r.normal("a", "b")((n, 1, 2, 2)),
    "crossovers": lambda r, n: r.crossovers("generator", n, 6, 0.9),
}


@pytest.mark.parametrize("kind", DRAWS)
def test_ranks_take_strided_shares_of_one_draw(kind):
    whole = DRAWS[kind](StepRandomness(1, 640), 12)
    for world in (2, 3):
        for rank in range(world):
            share = DRAWS[kind](StepRandomness(1, 640, rank, world), 12 // world)
            assert torch.equal(share, whole[rank::world])


@pytest.mark.parametrize("kind", DRAWS)
def test_seed_and_clock_decide_and_the_global_stream_is_left_alone(kind):
    before = torch.get_rng_state()
    first, again = (DRAWS[kind](StepRandomness(1, 640), 64) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, DRAWS[kind](StepRandomness(2, 640), 64))
    assert not torch.equal(first, DRAWS[kind](StepRandomness(1, 704), 64))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_stream_goes_on():
    normal = StepRandomness(0, 0).normal("noise")
    assert not torch.equal(normal((4, 1)), normal((4, 1)))


@pytest.mark.parametrize("probability", [0.0, 0.9, 1.0])
def test_crossovers_are_uniform_over_the_places_between_styles(probability):
    n, styles = 40_000, 5
    drawn = StepRandomness(0, 0).crossovers("generator", n, styles, probability)
    shares = torch.bincount(drawn, minlength=styles + 1) / n
    expected = [0.0, *[probability / (styles - 1)] * (styles - 1), 1 - probability]
    torch.testing.assert_close(shares, torch.tensor(expected), atol=0.015, rtol=0)  # 6 sigma


def test_one_style_cannot_be_mixed():
    assert (StepRandomness(0, 0).crossovers("generator", 50, 1, 1.0) == 1).all()


def test_noise_is_lent_for_the_length_of_the_block():
    module, randomness = StyleGenerator(), StepRandomness(0, 8)
    with fresh_noise(module, randomness, "generator"):
        first = module.draw_noise((2, 1, 4, 4))
    assert module.draw_noise is None
    with fresh_noise(module, randomness, "generator"):
        assert torch.equal(module.draw_noise((2, 1, 4, 4)), first)
    with pytest.raises(TypeError), fresh_noise(module, randomness, "generator"):
        module.draw_noise(None)
    assert module.draw_noise is None
    with fresh_noise(Generator(), randomness, "generator"):
        pass


def test_what_is_agreed_is_the_same_on_every_rank_and_differs_from_step_to_step():
    steps = [
        [StepRandomness(3, images, rank, 4).agreed(2, "level") for rank in range(4)]
        for images in (0, 64)
    ]
    for ranks in steps:
        assert all(each == ranks[0] for each in ranks)
        assert all(0 <= number < 1 for number in ranks[0])
    assert steps[0][0] != steps[1][0]
