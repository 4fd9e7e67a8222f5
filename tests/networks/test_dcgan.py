"""DCGAN against the two papers: shapes, initial weights, published parameter counts."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from ganlab.networks.dcgan import Discriminator, Generator, map_widths


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def on_meta(network: type, **arguments) -> nn.Module:
    with torch.device("meta"):
        return network(**arguments)


def test_the_maps_of_heikka():
    # Section 3.2: 1024 filters down to 128, by a first kernel of 2.
    assert map_widths("generator", 32, 128, 1024) == {2: 1024, 4: 512, 8: 256, 16: 128}


def test_the_maps_of_radford():
    # Figure 1: 4x4x1024, 8x8x512, 16x16x256, 32x32x128.
    assert map_widths("generator", 64, 128, 1024) == {4: 1024, 8: 512, 16: 256, 32: 128}


@pytest.mark.parametrize("resolution", [32, 64, 128, 256])
def test_maps_double_in_size_and_end_at_half_the_image(resolution):
    sizes = list(map_widths("generator", resolution, 16, 1024))
    assert sizes == [sizes[0] * 2**i for i in range(len(sizes))]
    assert sizes[-1] == resolution // 2


def test_widths_are_capped():
    assert map_widths("generator", 256, 32, 128) == {
        4: 128,
        8: 128,
        16: 128,
        32: 128,
        64: 64,
        128: 32,
    }


def test_parameters_of_the_pytorch_tutorial():
    # pytorch.org/tutorials/beginner/dcgan_faces_tutorial: nc = 3, nz = 100, ngf = ndf = 64.
    assert count(on_meta(Generator, width=64)) == 3_576_704
    assert count(on_meta(Discriminator, width=64)) == 2_765_568


@pytest.mark.parametrize("resolution", [32, 64, 128, 256])
def test_parameters_follow_from_the_kernels(resolution):
    widths = list(map_widths("generator", resolution, 128, 1024).values())
    first = (2 if resolution == 32 else 4) ** 2
    pairs = sum(a * b * 16 for a, b in pairwise(widths))
    normed = 2 * sum(widths)
    generator = on_meta(Generator, resolution=resolution)
    discriminator = on_meta(Discriminator, resolution=resolution)
    assert count(generator) == 100 * widths[0] * first + pairs + widths[-1] * 3 * 16 + normed
    assert count(discriminator) == (
        3 * widths[-1] * 16 + pairs + widths[0] * first + normed - 2 * widths[-1]
    )


@pytest.mark.parametrize("resolution", [32, 64, 128, 256])
def test_full_size_shapes(resolution):
    generator = on_meta(Generator, resolution=resolution)
    discriminator = on_meta(Discriminator, resolution=resolution)
    images = generator(torch.empty(2, 100, device="meta"))
    assert images.shape == (2, 3, resolution, resolution)
    assert discriminator(images).shape == (2,)


def test_layers_are_the_relus_by_size():
    generator = Generator(resolution=32, width=4)
    assert list(generator.layers) == ["2x2/0", "4x4/0", "8x8/0", "16x16/0"]
    assert all(isinstance(layer, nn.ReLU) for layer in generator.layers.values())
    assert not any(layer.inplace for layer in generator.layers.values())


def test_the_generator_is_the_papers_stack():
    """An explicit stack with the same weights gives the same images."""
    generator = Generator(resolution=32, width=4, max_width=32, latent_dim=10)
    stack = nn.Sequential(
        *(nn.ConvTranspose2d(10, 32, 2, 1, 0, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.ConvTranspose2d(32, 16, 4, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.ConvTranspose2d(16, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.ConvTranspose2d(8, 4, 4, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False), nn.Tanh()),
    )
    stack.load_state_dict(
        dict(zip(stack.state_dict(), generator.state_dict().values(), strict=True))
    )
    latents = torch.randn(6, 10)
    assert torch.equal(generator(latents), stack(latents[:, :, None, None]))


def test_the_discriminator_is_the_papers_stack_without_its_sigmoid():
    discriminator = Discriminator(resolution=32, width=4)
    stack = nn.Sequential(
        *(nn.Conv2d(3, 4, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(4, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(8, 16, 4, 2, 1, bias=False), nn.BatchNorm2d(16), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(16, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.LeakyReLU(0.2)),
        nn.Conv2d(32, 1, 2, bias=False),
    )
    stack.load_state_dict(
        dict(zip(stack.state_dict(), discriminator.state_dict().values(), strict=True))
    )
    images = torch.rand(6, 3, 32, 32) * 2 - 1
    assert torch.equal(discriminator(images), stack(images)[:, 0, 0, 0])


def test_without_batch_norm_a_logit_is_its_own_samples():
    torch.manual_seed(0)
    images = torch.rand(4, 3, 32, 32) * 2 - 1
    changed = torch.cat([images[:1], torch.zeros(3, 3, 32, 32)])
    for batch_norm in (False, True):
        network = Discriminator(resolution=32, width=8, batch_norm=batch_norm)
        difference = (network(images)[0] - network(changed)[0]).abs()
        assert (difference > 1e-4) == batch_norm
    biased = [name for name, _ in Discriminator(32, width=8, batch_norm=False).named_parameters()]
    assert sum(name.endswith("bias") for name in biased) == 5  # four stages and the logit


def test_initial_weights():
    torch.manual_seed(0)
    modules = [*Generator(width=16).modules(), *Discriminator(width=16).modules()]
    kernels = [m.weight for m in modules if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    norms = [m for m in modules if isinstance(m, nn.BatchNorm2d)]
    assert len(kernels) == 10
    assert len(norms) == 7
    for kernel in kernels:  # the smallest has 768 numbers: five standard errors
        assert kernel.std().item() == pytest.approx(0.02, rel=5 / (2 * kernel.numel()) ** 0.5)
        assert abs(kernel.mean().item()) < 5 * 0.02 / kernel.numel() ** 0.5
    gammas = torch.cat([norm.weight for norm in norms])
    assert gammas.mean().item() == pytest.approx(1.0, abs=5 * 0.02 / len(gammas) ** 0.5)
    assert gammas.std().item() == pytest.approx(0.02, rel=5 / (2 * len(gammas)) ** 0.5)
    assert not any(norm.bias.any() for norm in norms)


def test_initial_weights_come_from_the_global_seed():
    def state(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return nn.utils.parameters_to_vector(Generator(resolution=32, width=4).parameters())

    assert torch.equal(state(3), state(3))
    assert not torch.equal(state(3), state(4))


def test_images_stay_in_range_at_any_scale_of_weights():
    generator = Generator(resolution=32, width=4)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.mul_(1000)
    images = generator(torch.randn(4, 100))
    assert images.min() >= -1
    assert images.max() <= 1
    assert images.abs().max() > 0.99


@pytest.mark.parametrize("resolution", [16, 48, 100, 512])
@pytest.mark.parametrize(
    ("network", "key"), [(Generator, "generator"), (Discriminator, "discriminator")]
)
def test_other_resolutions_are_refused(network, key, resolution):
    text = rf"model\.{key}\.resolution \(data\.resolution\) must be .* 32 to 256 .*{resolution}"
    with pytest.raises(ValueError, match=text):
        network(resolution=resolution)


def test_a_width_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"model\.generator\.width"):
        Generator(width=0)


@pytest.mark.parametrize("network", [Generator, Discriminator])
@pytest.mark.parametrize("widths", [[], [0, 4], [8] * 6])
def test_widths_that_cannot_be_are_refused_by_their_key(network, widths):
    with pytest.raises(ValueError, match=rf"model\.{network.__name__.lower()}\.widths"):
        network(resolution=32, widths=widths)


def test_a_table_of_widths_begins_where_its_length_says():
    generator = Generator(resolution=28, channels=1, latent_dim=5, widths=[9, 6])
    assert list(generator.layers) == ["7x7/0", "14x14/0"]
    assert generator(torch.randn(3, 5)).shape == (3, 1, 28, 28)
