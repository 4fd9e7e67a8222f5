"""ProGAN: table 2's sizes, the fade, and the order of its operations."""

import math

import pytest
import torch
from torch.nn import functional as F

from ganlab.networks import progan
from ganlab.nn.growing import Stage

# Resolution -> channels of table 2.
TABLE = {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64, 512: 32, 1024: 16}


def pair(**sizes):
    torch.manual_seed(0)
    options = {"resolution": 32, "channels": 1, "width": 8, "max_width": 32} | sizes
    return progan.Generator(latent_dim=16, **options), progan.Discriminator(group_size=4, **options)


def latents(n=4):
    return torch.randn(n, 16, generator=torch.Generator().manual_seed(1))


def convolved(x, module, padding):
    """An equalized convolution and its LeakyReLU, from the paper's formula."""
    weight = module.convolution.weight
    scale = math.sqrt(2 / weight[0].numel())
    return F.leaky_relu(F.conv2d(x, weight * scale, module.convolution.bias, padding=padding), 0.2)


def normalized(x):
    """Eq. of section 4.2."""
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def test_full_size_has_the_published_number_of_parameters():
    """Table 2: 23.1M trainable parameters in each network."""
    with torch.device("meta"):
        networks = progan.Generator(), progan.Discriminator()
    for network in networks:
        assert round(sum(p.numel() for p in network.parameters()) / 1e6, 1) == 23.1
        assert progan.map_widths("generator", 1024, 16, 512) == TABLE


def test_generator_is_the_paper_s_at_8_pixels():
    generator, _ = pair(resolution=8, width=8)
    x = normalized(latents())
    for level, block in enumerate(generator.blocks):
        x = x[:, :, None, None] if level == 0 else F.interpolate(x, scale_factor=2)
        for i, module in enumerate(block):
            x = normalized(convolved(x, module, 3 if (level, i) == (0, 0) else 1))
    last = generator.to_image[1]
    expected = F.conv2d(x, last.weight / math.sqrt(last.weight.shape[1]), last.bias)
    torch.testing.assert_close(generator(latents()), expected)


def test_discriminator_is_the_paper_s_at_8_pixels():
    _, discriminator = pair(resolution=8)
    images = torch.randn(4, 1, 8, 8)
    x = convolved(images, discriminator.from_image[1], 0)
    for module in discriminator.blocks[1]:
        x = convolved(x, module, 1)
    x = F.avg_pool2d(x, 2)
    std = (x.var(dim=0, correction=0) + 1e-8).sqrt().mean()
    x = torch.cat([x, std.expand(4, 1, 4, 4)], dim=1)
    x = convolved(x, discriminator.blocks[0][1], 1)
    x = convolved(x, discriminator.blocks[0][2], 0)
    last = discriminator.to_logit
    expected = F.conv2d(x, last.weight / math.sqrt(last.weight.shape[1]), last.bias).flatten()
    torch.testing.assert_close(discriminator(images), expected)


def at(stage, *networks):
    for network in networks:
        network.grow_to(stage)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_alpha_0_is_the_stage_before_enlarged_bit_for_bit(level):
    generator, discriminator = pair()
    reals = torch.rand(4, 1, 32, 32)
    at(Stage(level - 1), generator, discriminator)
    images, logits = generator(latents()), discriminator(discriminator.views(reals))
    at(Stage(level, 0.0), generator, discriminator)
    enlarged = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(generator(latents()), enlarged)
    assert torch.equal(discriminator(discriminator.views(reals)), logits)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_alpha_1_is_where_the_fade_ends(level):
    """Halving the distance to 1 halves the distance to the full stage: no jump at the end."""
    generator, discriminator = pair()
    reals = torch.rand(4, 1, 32, 32)

    def outputs(alpha):
        at(Stage(level, alpha), generator, discriminator)
        return torch.cat([generator(latents()).flatten(), discriminator.views(reals).flatten()])

    end = outputs(1.0)
    far, near = (outputs(1 - distance) - end for distance in (0.25, 0.125))
    torch.testing.assert_close(near, far / 2, atol=1e-6, rtol=1e-4)
    near, nearer = (discriminator_at(discriminator, reals, level, 1 - d) for d in (1e-3, 1e-4))
    last = discriminator_at(discriminator, reals, level, 1.0)
    assert (nearer - last).abs().max() < (near - last).abs().max() / 5 + 1e-6


def discriminator_at(discriminator, reals, level, alpha):
    discriminator.grow_to(Stage(level, alpha))
    return discriminator(discriminator.views(reals))


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_images_and_views_have_the_stage_s_size_and_layers(level):
    generator, discriminator = pair()
    at(Stage(level, 0.5), generator, discriminator)
    size = 4 * 2**level
    assert generator(latents()).shape == (4, 1, size, size)
    assert discriminator.views(torch.rand(4, 1, 32, 32)).shape == (4, 1, size, size)
    names = [f"{4 * 2**i}x{4 * 2**i}/{j}" for i in range(level + 1) for j in (0, 1)]
    assert list(generator.layers) == names


def test_what_has_not_grown_yet_is_not_touched():
    generator, discriminator = pair()
    at(Stage(1, 0.5), generator, discriminator)
    discriminator(generator(latents())).sum().backward()
    for network in (generator, discriminator):
        touched = {
            name.split(".")[1] for name, p in network.named_parameters() if p.grad is not None
        }
        assert touched <= {"0", "1", "weight", "bias"}


@pytest.mark.parametrize("resolution", [4, 24])
def test_other_resolutions_are_refused(resolution):
    with pytest.raises(ValueError, match=r"data\.resolution.*power of two from 8"):
        progan.Generator(resolution)
