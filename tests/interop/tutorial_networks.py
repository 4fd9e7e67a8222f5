"""The PyTorch DCGAN tutorial's networks as the tutorial writes them, at any width and size."""

import torch
from torch import nn


def halvings(resolution):
    """Stages between the first 4x4 map and half the image."""
    return (resolution // 4).bit_length() - 2


def generator(nz=10, ngf=4, nc=3, resolution=64):
    """`main` of the tutorial's Generator; the widths are ngf * 8 ... ngf at 64 px."""
    width = ngf * 2 ** halvings(resolution)
    modules = [nn.ConvTranspose2d(nz, width, 4, 1, 0, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    while width > ngf:
        up = nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False)
        modules += [up, nn.BatchNorm2d(width // 2), nn.ReLU()]
        width //= 2
    modules += [nn.ConvTranspose2d(ngf, nc, 4, 2, 1, bias=False), nn.Tanh()]
    return nn.Sequential(*modules)


def discriminator(ndf=4, nc=3, resolution=64):
    """`main` of the tutorial's Discriminator, up to its sigmoid."""
    modules, width = [nn.Conv2d(nc, ndf, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)], ndf
    for _ in range(halvings(resolution)):
        down = nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False)
        modules += [down, nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2)]
        width *= 2
    return nn.Sequential(*modules, nn.Conv2d(width, 1, 4, 1, 0, bias=False))


def lively(network, seed=0):
    """Weights, norms and statistics drawn at random, so that no two parts can be confused."""
    rng = torch.Generator().manual_seed(seed)
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=rng) + 0.1)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            noise = torch.randn(module.weight.shape, generator=rng)
            module.weight.data = noise / module.weight[0].numel() ** 0.5
    return network.eval()


def state(network, prefix="main."):
    """The network's tensors as the tutorial's class names them."""
    return {prefix + name: value.clone() for name, value in network.state_dict().items()}
