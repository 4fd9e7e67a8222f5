"""The fully connected pair: an explicit maxout, dropout where the paper has it, ranges."""

import pytest
import torch
from torch import nn

from ganlab.networks.vanilla import Discriminator, Generator, Maxout
from ganlab.nn.dropout import Dropout


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_of_the_published_mnist_networks():
    with torch.device("meta"):
        generator, discriminator = Generator(), Discriminator()
    assert count(generator) == 101 * 1200 + 1201 * 1200 + 1201 * 784
    assert count(discriminator) == 785 * 240 * 5 + 241 * 240 * 5 + 241


def test_maxout_is_the_largest_of_its_pieces():
    torch.manual_seed(0)
    maxout = Maxout(7, units=3, pieces=4, init_range=1.0)
    x = torch.randn(5, 7)
    affine = x @ maxout.affine.weight.T + maxout.affine.bias
    for n in range(5):
        for unit in range(3):
            largest = max(affine[n, 4 * unit + piece].item() for piece in range(4))
            assert maxout(x)[n, unit].item() == pytest.approx(largest)


def test_layers_are_fully_connected_relus():
    generator = Generator(resolution=8, hidden=(6, 5, 4))
    assert list(generator.layers) == ["fc/0", "fc/1", "fc/2"]
    assert all(isinstance(layer, nn.ReLU) for layer in generator.layers.values())


def test_the_generator_is_the_papers_stack():
    generator = Generator(resolution=6, channels=2, latent_dim=5, hidden=(7, 9))
    stack = nn.Sequential(
        *(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 9), nn.ReLU(), nn.Linear(9, 72), nn.Sigmoid())
    )
    stack.load_state_dict(
        dict(zip(stack.state_dict(), generator.state_dict().values(), strict=True))
    )
    latents = torch.randn(4, 5)
    in_unit_range = stack(latents).reshape(4, 2, 6, 6)
    torch.testing.assert_close((generator(latents) + 1) / 2, in_unit_range)


def test_images_stay_in_range_at_any_scale_of_weights():
    generator = Generator(resolution=8, hidden=(16,), init_range=1000.0)
    images = generator(torch.randn(8, 100))
    assert images.min() >= -1
    assert images.max() <= 1
    assert images.abs().max() > 0.99


def test_without_maxout_the_units_are_leaky():
    discriminator = Discriminator(resolution=4, hidden=(6, 5), pieces=None)
    kinds = [type(module) for module in discriminator.hidden]
    assert kinds == [
        Dropout,
        nn.Linear,
        nn.LeakyReLU,
        Dropout,
        nn.Linear,
        nn.LeakyReLU,
        Dropout,
    ]
    assert discriminator.hidden[2].negative_slope == 0.2


def test_a_dropped_pixel_is_a_black_one():
    discriminator = Discriminator(resolution=4, hidden=(6,), dropout=0.0, input_dropout=1.0)
    black = torch.full((3, 1, 4, 4), -1.0)
    white = torch.full((3, 1, 4, 4), 1.0)
    all_dropped = discriminator.train()(white)
    discriminator.eval()
    assert torch.equal(all_dropped, discriminator(black))
    assert not torch.equal(all_dropped, discriminator(white))


def test_dropout_draws_from_the_global_seed_and_only_in_training():
    discriminator = Discriminator(resolution=8, hidden=(32, 32), init_range=0.5)
    images = torch.rand(8, 1, 8, 8)

    def logits(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return discriminator(images)

    assert torch.equal(logits(0), logits(0))
    assert not torch.equal(logits(0), logits(1))
    discriminator.eval()
    assert torch.equal(logits(0), logits(1))


def test_dropout_keeps_the_published_shares():
    rates = [m.p for m in Discriminator().modules() if isinstance(m, Dropout)]
    assert rates == [0.2, 0.5, 0.5]


def test_initial_weights_are_uniform():
    torch.manual_seed(0)
    for network, bound in ((Generator(), 0.05), (Discriminator(), 0.005)):
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                assert not parameter.any()
            else:
                assert parameter.abs().max() <= bound
                expected = bound / 3**0.5
                assert parameter.std().item() == pytest.approx(
                    expected, rel=5 / parameter.numel() ** 0.5
                )


@pytest.mark.parametrize(
    ("network", "key"), [(Generator, "generator"), (Discriminator, "discriminator")]
)
@pytest.mark.parametrize("hidden", [(), (10, 0)])
def test_hidden_layers_must_have_units(network, key, hidden):
    with pytest.raises(ValueError, match=rf"model\.{key}\.hidden must list widths of at least 1"):
        network(hidden=hidden)


def test_an_unknown_prior_is_refused():
    with pytest.raises(ValueError, match=r"model\.generator\.prior"):
        Generator(prior="cauchy")
