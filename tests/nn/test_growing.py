"""Stages of a growing network, and reals as it sees them."""

import pytest
import torch

from ganlab.nn.frames import Frame
from ganlab.nn.growing import Growing, Stage, blend, enlarge, faded_reals, growth_state


class Toy(Growing):
    def __init__(self):
        super().__init__()
        self.start(3)


def averaged(images, size):
    """Means of square blocks."""
    N, C, H, _ = images.shape
    k = H // size
    return images.reshape(N, C, size, k, size, k).mean(dim=(3, 5))


def repeated(images, k):
    return images.repeat_interleave(k, 2).repeat_interleave(k, 3)


def test_a_fresh_network_stands_at_its_end():
    assert (Toy().level, Toy().alpha) == (2, 1.0)


def test_stage_travels_with_the_weights():
    toy, twin = Toy(), Toy()
    toy.grow_to(Stage(1, 0.3))
    twin.load_state_dict(toy.state_dict())
    assert (twin.level, twin.alpha) == (1, 0.3)


def test_how_far_a_network_has_come_is_said_until_it_is_all_there():
    toy, said = Toy(), {}
    toy.resolution = 16
    for stage in (Stage(0), Stage(1, 0.25), Stage(1), Stage(2, 0.5), Stage(2)):
        toy.grow_to(stage)
        said[stage] = growth_state(toy)
    texts = ["4 of 16 px", "8 of 16 px, alpha 0.25", "8 of 16 px", "16 of 16 px, alpha 0.5", None]
    assert [*said.values()] == texts
    assert growth_state(torch.nn.Linear(1, 1)) is None
    toy.frame = Frame.of("generator", [16, 32])
    toy.grow_to(Stage(1, 0.25))
    assert growth_state(toy) == "8x16 of 16x32 px, alpha 0.25"


def test_level_0_has_nothing_to_fade_from():
    toy = Toy()
    toy.grow_to(Stage(0, 0.3))
    assert (toy.level, toy.alpha) == (0, 1.0)


@pytest.mark.parametrize("stage", [Stage(3), Stage(-1), Stage(1, 1.1), Stage(1, -0.1)])
def test_a_stage_that_there_is_not_is_refused(stage):
    with pytest.raises(ValueError, match=r"model\.growth must end at data\.resolution"):
        Toy().grow_to(stage)


def test_blend_is_exact_at_both_ends():
    old, new = torch.randn(2, 50)
    assert torch.equal(blend(old, new, 0.0), old)
    assert torch.equal(blend(old, new, 1.0), new)
    torch.testing.assert_close(blend(old, new, 0.25), 0.75 * old + 0.25 * new)


def test_reals_are_block_means_blended_with_their_coarser_version():
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(faded_reals(images, 4, 1.0), averaged(images, 4))
    expected = 0.3 * averaged(images, 8) + 0.7 * repeated(averaged(images, 4), 2)
    torch.testing.assert_close(faded_reals(images, 8, 0.3), expected)
    assert torch.equal(faded_reals(images, 16, 1.0), images)


def test_reals_at_alpha_0_are_those_of_the_level_before_enlarged():
    images = torch.randn(2, 3, 16, 16)
    for size in (4, 8):
        before = faded_reals(images, size, 1.0)
        assert torch.equal(faded_reals(images, 2 * size, 0.0), repeated(before, 2))


def test_early_images_are_enlarged_and_others_left_alone():
    images = torch.randn(2, 1, 4, 4)
    assert torch.equal(enlarge(images, 16), repeated(images, 4))
    assert torch.equal(enlarge(images, 4), images)


@pytest.mark.parametrize(
    "state",
    [
        *({}, {"level": 1}, {"level": 1.5, "alpha": 1.0}, {"level": float("inf"), "alpha": 1.0}),
        *({"level": "1", "alpha": 1.0}, {"level": 1, "alpha": 2**1030}, {"level": 1, "alpha": "x"}),
    ],
)
def test_what_a_file_says_of_a_stage_is_one_or_refused(state):
    with pytest.raises(ValueError, match="is no stage of a network that grows"):
        Toy().set_extra_state(state)
