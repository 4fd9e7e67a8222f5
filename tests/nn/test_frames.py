"""Images that are no squares: their first maps, and the networks that make them."""

import pytest
import torch

from ganlab.networks import dcgan, progan, r3gan, stylegan2
from ganlab.nn.frames import Frame
from ganlab.nn.growing import Stage

SMALL = {
    dcgan: ({"width": 4}, {}),
    stylegan2: ({"width": 4, "max_width": 16}, {"latent_dim": 8, "style_dim": 8}),
    progan: ({"width": 4, "max_width": 16}, {"latent_dim": 8}),
    r3gan: ({"width": 4, "max_width": 16}, {"latent_dim": 8}),
}
SHAPES = [[64, 128], [128, 64], [96, 128], [64, 64]]


def networks(module, resolution):
    torch.manual_seed(0)
    both, own = SMALL[module]
    pair = module.Generator(resolution, **both, **own), module.Discriminator(resolution, **both)
    return pair[0].eval(), pair[1].eval()


def name(value):
    return value.__name__.rpartition(".")[2] if hasattr(value, "__name__") else None


@pytest.mark.parametrize(
    ("resolution", "size", "first"),
    [
        (64, 64, (4, 4)),
        ([64, 128], 64, (4, 8)),
        ([128, 64], 64, (8, 4)),
        ([96, 128], 64, (6, 8)),
        ([4, 7], 4, (4, 7)),
        ([56, 56], 32, (7, 7)),
    ],
)
def test_a_frame_is_doublings_of_its_first_map(resolution, size, first):
    frame = Frame.of("generator", resolution)
    assert (frame.size, frame.first) == (size, first)
    whole = (resolution, resolution) if isinstance(resolution, int) else tuple(resolution)
    assert frame.at(frame.size) == whole
    assert frame.at(4) == first
    assert frame.name(4) == f"{first[0]}x{first[1]}"


@pytest.mark.parametrize(("resolution", "near"), [([60, 80], r"\[64, 80\]"), ([3, 8], r"\[4, 8\]")])
def test_sides_that_cannot_be_halved_are_named_with_some_that_can(resolution, near):
    with pytest.raises(ValueError, match=rf"model\.generator\.resolution .* as {near}"):
        Frame.of("generator", resolution)


@pytest.mark.parametrize("module", SMALL, ids=name)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_networks_make_and_judge_images_of_the_shape(module, shape):
    generator, discriminator = networks(module, shape)
    images = generator(torch.randn(3, generator.latent_dim))
    assert images.shape == (3, 3, *shape)
    assert generator.image_size == tuple(shape)
    assert discriminator(images).shape == (3,)
    first = next(iter(generator.layers)).partition("/")[0]
    assert first == "x".join(str(side * 4 // 64) for side in shape)


@pytest.mark.parametrize("module", SMALL, ids=name)
def test_a_square_by_its_two_sides_is_the_square_by_one(module):
    """Weights and images of a square are those they were before there were other shapes."""
    by_one, by_two = networks(module, 64), networks(module, [64, 64])
    latents = torch.randn(2, by_one[0].latent_dim, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        images = [pair[0](latents) for pair in (by_one, by_two)]
        assert torch.equal(*images)
        assert torch.equal(*(pair[1](images[0]) for pair in (by_one, by_two)))
    for one, two in zip(by_one, by_two, strict=True):
        assert list(one.state_dict()) == list(two.state_dict())


def test_reals_of_a_growing_discriminator_are_halved_to_the_shape_of_the_fakes():
    generator, discriminator = networks(progan, [32, 64])
    reals = torch.rand(2, 3, 32, 64)
    for level in range(generator.num_levels):
        for alpha in (0.5, 1.0):
            for network in (generator, discriminator):
                network.grow_to(Stage(level, alpha))
            views = discriminator.views(reals)
            assert views.shape == generator(torch.randn(2, 8)).shape
            assert views.mean().item() == pytest.approx(reals.mean().item(), abs=1e-5)


def test_a_first_map_without_a_whole_number_of_pixels_is_named():
    """At 32 px DCGAN begins with half of it."""
    assert dcgan.Generator([48, 64], width=4).image_size == (48, 64)
    with pytest.raises(ValueError, match=r"data\.resolution=\[40, 64\] .* multiples of 16"):
        dcgan.Generator([40, 64], width=4)
