import torch
from torch import nn

from ganlab.systems.nonfinite import bad_output, bad_parameter, diagnose


def networks():
    generator = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5))
    discriminator = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 1))
    return generator, discriminator


def test_names_the_poisoned_parameter():
    generator, discriminator = networks()
    with torch.no_grad():
        discriminator[2].bias[0] = float("nan")
    assert bad_parameter({"G": generator, "D": discriminator}) == "D.2.bias"
    assert "discriminator.2.bias" in diagnose(
        generator, discriminator, torch.randn(2, 3), torch.randn(2, 5)
    )


def test_names_the_first_module_whose_output_overflows():
    generator, _ = networks()
    with torch.no_grad():
        generator[2].weight.fill_(3e38)
    generator[0].bias.data.fill_(10.0)
    assert bad_output("generator", generator, torch.zeros(2, 3)) == "generator.2"


def test_blames_the_data_when_the_data_is_bad():
    generator, discriminator = networks()
    real = torch.full((2, 5), float("inf"))
    assert "real images" in diagnose(generator, discriminator, torch.randn(2, 3), real)


def test_finds_nothing_in_healthy_networks():
    generator, discriminator = networks()
    assert bad_parameter({"generator": generator, "discriminator": discriminator}) is None
    assert "overflowed" in diagnose(generator, discriminator, torch.randn(2, 3), torch.randn(2, 5))
