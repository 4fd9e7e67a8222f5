"""LAPGAN: each level a network of its own, trained at once, sampled one upon the other."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from ganlab.losses import Nonsaturating
from ganlab.networks.base import Condition
from ganlab.networks.lapgan import Discriminator, Generator
from ganlab.nn.pyramid import expand, gaussian_pyramid, reduce

SIZES = [8, 16, 32]
SMALL = {"channels": 2, "width": 6, "hidden": (12, 10)}


def draws(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture
def generator():
    torch.manual_seed(0)
    return Generator(32, coarse_latent_dim=7, **SMALL)


@pytest.fixture
def discriminator():
    torch.manual_seed(1)
    return Discriminator(32, **SMALL, dropout=0.0)


def latents(generator, n=4):
    return generator.sample_latents(n, torch.Generator().manual_seed(2))


def test_latent_is_a_vector_and_a_plane_for_each_finer_level(generator):
    drawn = latents(generator, 500)
    assert drawn.shape == (500, 7 + 16 * 16 + 32 * 32)
    assert drawn.min() >= -1
    assert drawn.max() < 1
    # U[-1, 1] has mean 0 and variance 1/3
    assert abs(drawn.mean()) < 0.01
    assert abs(drawn.var() - 1 / 3) < 0.01


def test_constants_of_the_paper_by_count():
    """Two hidden layers of 1200 and 600; 7, 7, 5 of 64 against 5, 5 of 64; for CIFAR-10."""

    def affine(*widths):
        return sum(a * b + b for a, b in pairwise(widths))

    def convolution(a, b, kernel):
        return a * b * kernel**2 + b

    def count(module):
        return sum(parameter.numel() for parameter in module.parameters())

    with torch.device("meta"):
        generator, discriminator = Generator(), Discriminator()
    detail = convolution(4, 64, 7) + convolution(64, 64, 7) + convolution(64, 3, 5)
    assert count(generator) == affine(100, 1200, 1200, 3 * 64) + 2 * detail
    judged = convolution(3, 64, 5) + convolution(64, 64, 5)
    # without padding 16 px become 12, then 4; 32 px become 28, then 12
    heads = affine(64 * 4 * 4, 1) + affine(64 * 12 * 12, 1)
    assert count(discriminator) == affine(3 * 64, 600, 600, 1) + 2 * judged + heads


def test_sampling_paints_on_its_own_coarser_image(generator):
    steps = generator.steps(latents(generator))
    images = generator(latents(generator))
    assert [image.shape[-1] for image in images] == SIZES
    for below, step, image in zip([None, *images], steps, images, strict=False):
        assert torch.equal(step.image, image)
        if below is not None:
            torch.testing.assert_close(image, expand(below, image.shape[-1]) + step.detail)


def test_training_paints_on_the_real_coarser_image(generator):
    real = draws(4, 2, 32, 32)
    condition = Condition(coarse=reduce(real, 16))
    levels = gaussian_pyramid(real, SIZES)
    steps = generator.steps(latents(generator), condition)
    for level, step in zip(levels, steps[1:], strict=False):
        torch.testing.assert_close(step.low, expand(level, step.low.shape[-1]))
    # the coarsest is a plain GAN: no condition reaches it
    assert torch.equal(steps[0].image, generator(latents(generator))[0])


def test_each_plane_of_noise_belongs_to_one_level(generator):
    condition = Condition(coarse=draws(4, 2, 16, 16))
    before = generator(latents(generator), condition)
    for level, part in enumerate(torch.arange(generator.latent_dim).split(generator.split)):
        changed = latents(generator)
        changed[:, part] += 0.5
        after = generator(changed, condition)
        moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
        assert moved == [k == level for k in range(3)]


def test_views_are_what_each_level_calls_real(discriminator):
    real = draws(3, 2, 32, 32)
    levels = gaussian_pyramid(real, SIZES)
    for view, expected in zip(discriminator.views(real), levels, strict=True):
        assert torch.equal(view, expected)


def test_logit_k_sees_image_k_only(discriminator):
    images = discriminator.views(draws(3, 2, 32, 32))
    logits = discriminator(images)
    assert logits.shape == (3, 3)
    for level in range(3):
        changed = [image + 0.5 * (k == level) for k, image in enumerate(images)]
        moved = (discriminator(changed) != logits).all(dim=0)
        assert moved.tolist() == [k == level for k in range(3)]


def gradients(module):
    return [parameter.grad.clone() for parameter in module.parameters()]


def test_a_level_gets_the_gradient_of_the_level_trained_alone(generator, discriminator):
    """Both networks' steps on the whole pyramid against cross-entropy of one level by itself."""
    real, z = draws(4, 2, 32, 32), latents(generator)
    condition = Condition(coarse=reduce(real, 16))
    views, fakes = discriminator.views(real), generator(z, condition)
    loss = Nonsaturating.discriminator(
        discriminator(views), discriminator([fake.detach() for fake in fakes])
    )
    loss.backward()
    together = [gradients(level) for level in discriminator.levels]
    discriminator.zero_grad()
    Nonsaturating.generator(discriminator(fakes)).backward()
    painted = [gradients(level) for level in (generator.coarsest, *generator.details)]
    noise = z.split(generator.split, dim=1)
    ones, zeros = torch.ones(4, 1), torch.zeros(4, 1)
    for k, judge in enumerate(discriminator.levels):
        generator.zero_grad()
        discriminator.zero_grad()
        painter = generator.coarsest if k == 0 else generator.details[k - 1]
        below = reduce(real, 16) if k == 2 else reduce(reduce(real, 16), 8)
        low = expand(below, SIZES[k])
        fake = painter(noise[0]) if k == 0 else low + painter(noise[k], low)
        cross_entropy = F.binary_cross_entropy_with_logits
        alone = cross_entropy(judge(views[k]), ones) + cross_entropy(judge(fake.detach()), zeros)
        alone.backward()
        torch.testing.assert_close(gradients(judge), together[k])
        cross_entropy(judge(fake), ones).backward()
        torch.testing.assert_close(gradients(painter), painted[k])


def test_chain_shows_every_step_coarse_to_fine(generator):
    chain = generator.chain(latents(generator))
    images = generator(latents(generator))
    sums = [caption for caption in chain if caption.endswith(" px")]
    assert [torch.equal(chain[c], i) for c, i in zip(sums, images, strict=True)] == [True] * 3
    for size in SIZES[1:]:
        total = chain[f"enlarged to {size}"] + chain[f"detail at {size}"]
        assert torch.equal(total, chain[f"{size} px"])


@pytest.mark.parametrize(
    ("resolution", "sizes"), [(32, SIZES), (28, [7, 14, 28]), (96, [12, 24, 48, 96])]
)
def test_sizes_are_halved_unless_given(resolution, sizes):
    with torch.device("meta"):
        assert Generator(resolution).sizes == sizes
        assert Discriminator(resolution).sizes == sizes
        assert Generator(resolution, sizes=[8, resolution]).sizes == [8, resolution]


@pytest.mark.parametrize("network", [Generator, Discriminator])
@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"resolution": 13}, r"sizes.*data\.resolution=13"),
        ({"sizes": [8, 16]}, "end at the resolution"),
        ({"sizes": [16, 16, 32]}, "rising"),
        ({"hidden": []}, "hidden"),
        ({"width": 0}, "width"),
        ({"kernels": []}, "kernels must list numbers of at least 1"),
        ({"kernels": [3, 0]}, "kernels must list numbers of at least 1"),
    ],
)
def test_what_cannot_be_is_refused_by_name(network, options, named):
    with pytest.raises(ValueError, match=rf"model\.{network.__name__.lower()}\..*{named}"):
        network(**{"resolution": 32, **options})


def test_kernels_larger_than_a_level_are_refused():
    with pytest.raises(ValueError, match=r"discriminator\.kernels=\[5, 9\].*8 pixels"):
        Discriminator(16, sizes=[4, 8, 16], kernels=(5, 9))


def test_coarse_images_of_another_size_are_refused(generator):
    with pytest.raises(ValueError, match=r"model\.conditioner\.size must be 16.* 8 pixels"):
        generator(latents(generator), Condition(coarse=draws(4, 2, 8, 8)))
