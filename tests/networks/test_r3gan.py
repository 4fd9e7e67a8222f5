"""R3GAN's networks: closed forms of their start, what layers look at, and what is refused."""

import pytest
import torch
from torch.nn import functional as F

from ganlab.networks import r3gan
from ganlab.networks.base import Condition

SMALL = {"width": 8, "max_width": 16}


def pair(resolution=16, **options):
    torch.manual_seed(0)
    generator = r3gan.Generator(resolution, latent_dim=6, **SMALL, **options)
    options.pop("skips", None)
    return generator, r3gan.Discriminator(resolution, **SMALL, **options)


def latents(n=3):
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(1))


def test_a_fresh_residual_block_is_the_identity():
    block, x = r3gan.ResidualBlock(8, 16, 4, depth=5), torch.randn(2, 8, 4, 4)
    assert torch.equal(block(x), x)


def test_a_fresh_discriminator_is_its_resampled_linear_path():
    """Fix-up: what is left of zero last convolutions are transitions, the reader and the head."""
    _, discriminator = pair(8)
    images = torch.randn(3, 3, 8, 8)
    finest, coarse = discriminator.stages["8x8"], discriminator.stages["4x4"]
    x = finest[-1](discriminator.from_image(images))
    weights = coarse[-1].maps.weight[:, 0]  # (C, 4, 4)
    expected = ((x * weights).sum((2, 3)) * coarse[-1].to_logit.weight).sum(1)
    torch.testing.assert_close(discriminator(images), expected)


def test_fix_up_scales_the_first_two_convolutions_by_the_depth():
    torch.manual_seed(0)
    block = r3gan.ResidualBlock(256, 512, 32, depth=16)
    gain = (2 / (1 + 0.2**2)) ** 0.5 * 16**-0.25
    for weight, fan_in in ((block.conv0.weight, 256), (block.conv1.weight, 32 * 9)):
        assert weight.std().item() == pytest.approx(gain / fan_in**0.5, rel=0.01)


def test_a_leaky_relu_keeps_the_variance_before_it():
    torch.manual_seed(0)
    x = torch.randn(4, 512, 4, 4)
    layer = r3gan.PlainBlock(512, 512, 2)
    inner = layer.activations[0](layer.convs[0](x))[:, :, 1:-1, 1:-1]
    assert inner.square().mean().item() == pytest.approx(1.0, rel=0.1)


def test_channels_of_another_group_are_not_looked_at():
    block = r3gan.ResidualBlock(8, 16, 4, depth=1)
    assert block.conv1.groups == 4
    x = torch.randn(1, 16, 4, 4)
    other = x.clone()
    other[:, 4:8] += 1
    changed = (block.conv1(other) - block.conv1(x)).abs().amax((0, 2, 3)) > 0
    assert changed.tolist() == [False] * 4 + [True] * 4 + [False] * 8
    assert r3gan.ResidualBlock(8, 16, None, depth=1).conv1.groups == 1
    assert r3gan.ResidualBlock(8, 12, 16, depth=1).conv1.groups == 1  # fewer than a group


def test_resampling_is_bilinear():
    x = torch.randn(2, 4, 8, 8)
    up, down = r3gan.Resampling(4, 4, True)(x), r3gan.Resampling(4, 4, False)(x)
    expected = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(up[:, :, 2:-2, 2:-2], expected[:, :, 2:-2, 2:-2])
    row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    weight = torch.outer(row, row).expand(4, 1, 4, 4)
    torch.testing.assert_close(down, F.conv2d(x, weight, stride=2, padding=1, groups=4))


def test_the_basis_is_scaled_maps():
    basis = r3gan.Basis(6, 5, (4, 8))
    z = latents()
    maps = basis(z)
    assert maps.shape == (3, 5, 4, 8)
    scale = z @ basis.strength.weight.T
    torch.testing.assert_close(maps[2, 3], scale[2, 3] * basis.maps[3])


@pytest.mark.parametrize("plain", [False, True])
def test_with_skips_the_image_is_the_sum_of_those_of_all_sizes(plain):
    generator, _ = pair(16, plain=plain, skips=True)
    assert [*generator.to_images] == ["4x4", "8x8", "16x16"]
    seen, total = {}, 0
    for name, layer in generator.to_images.items():
        layer.register_forward_hook(lambda m, i, own, name=name: seen.update({name: own}))
    image = generator(latents())
    for name in generator.to_images:
        total = seen[name] if name == "4x4" else grown(total) + seen[name]
    torch.testing.assert_close(image, total)


def grown(x):
    return r3gan.Resampling(x.shape[1], x.shape[1], True)(x)


def test_layers_are_two_a_block_and_one_a_plain_convolution():
    generator, _ = pair(8)
    assert [*generator.layers] == [f"{size}/{i}" for size in ("4x4", "8x8") for i in range(4)]
    generator, _ = pair(8, plain=True)
    assert [*generator.layers] == ["4x4/0", "8x8/0", "8x8/1"]


@pytest.mark.parametrize("plain", [False, True])
def test_a_class_changes_images_and_logits(plain):
    generator, discriminator = pair(8, num_labels=3, plain=plain)
    one, other = (Condition(label=torch.full((3,), label)) for label in (0, 2))
    images = generator(latents(), one)
    assert not torch.equal(images, generator(latents(), other))
    assert discriminator(images, one).shape == (3,)
    assert not torch.equal(discriminator(images, one), discriminator(images, other))
    with pytest.raises(ValueError, match="labels got none"):
        generator(latents())
    # Projection: logits of the classes are one linear map of the same features.
    soft = Condition(label=torch.tensor([[0.5, 0.0, 0.5]]).expand(3, 3))
    middle = (discriminator(images, one) + discriminator(images, other)) / 2
    torch.testing.assert_close(discriminator(images, soft), middle)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"group_width": 12},
            r"model\.generator\.group_width=12 does not divide .* channels",
        ),
        (
            {"group_width": 0},
            r"model\.generator\.blocks, expansion and group_width must be above 0",
        ),
        ({"blocks": 0}, r"model\.generator\.blocks, expansion"),
        ({"expansion": 0.0}, r"model\.generator\.blocks, expansion"),
    ],
)
def test_blocks_that_cannot_be_are_refused_by_their_keys(options, message):
    with pytest.raises(ValueError, match=message):
        r3gan.Generator(16, **SMALL, **options)
    with pytest.raises(ValueError, match=message.replace("generator", "discriminator")):
        r3gan.Discriminator(16, **SMALL, **options)
