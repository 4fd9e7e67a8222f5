"""StyleGAN layer by layer, with no hook and no `synthesize`; small generators to walk through."""

import numpy as np
import torch
from torch.nn import functional as F

from ganlab.networks import stylegan
from ganlab.nn.norm import InstanceNorm, PixelInstanceNorm

PLANTED = ("8x8/1", 5)  # layer and unit whose style scales it far above the rest


def keep(name, maps):
    return maps


@torch.no_grad()
def walk(generator, latents, edit=keep, planes=None):
    """Layer -> (activation, normalized, styled), and the image.

    `edit(name, styled)` may replace what leaves a layer's style; planes: layer -> noise (H, W),
    None = the fixed ones.
    """
    styles = generator.mapping(latents)  # the same for every layer
    x, found = generator.const.expand(len(latents), -1, -1, -1), {}
    for size, block in generator.blocks.items():
        for i, layer in enumerate(block):
            name = f"{size}/{i}"
            x = layer.convolution(x)
            if layer.noise is not None:
                plane = layer.noise.noise_const if planes is None else planes[name]
                x = x + layer.noise.strength[:, None, None] * plane
            active = F.leaky_relu(x + layer.bias[:, None, None], 0.2)
            normal = layer.norm(active)
            scale, shift = layer.style.affine(styles)[:, :, None, None].chunk(2, dim=1)
            x = edit(name, normal * (scale + 1) + shift)
            found[name] = (active, normal, x)
    return found, generator.to_image[-1](x)


def without(layer, units):
    """The edit that clears these channels of one layer."""

    def edit(name, maps):
        maps = maps.clone()
        if name == layer:
            maps[:, list(units)] = 0
        return maps

    return edit


def peak_of(maps):
    """y, x of the largest root mean square over channels, as shares of the sides, by numpy."""
    energy = np.sqrt((maps.numpy().astype(np.float64) ** 2).mean(0))  # (C, H, W) -> (H, W)
    y, x = np.unravel_index(energy.argmax(), energy.shape)
    return (y + 0.5) / energy.shape[0], (x + 0.5) / energy.shape[1]


def strongest(maps, place, num=1):
    """Channels of largest magnitude at a place, by numpy."""
    values = np.abs(maps.numpy()[:, int(place[0] * maps.shape[1]), int(place[1] * maps.shape[2])])
    return np.argsort(-values, kind="stable")[:num].tolist()


def as_stored(image):
    """(C, H, W) in [-1, 1] -> uint8."""
    return ((image.clamp(-1, 1) + 1) * 127.5).round().numpy().astype(np.uint8)


def planted(norm=InstanceNorm, noise=True, resolution=32, channels=1):
    """A small StyleGAN with noise and PIN's rho that do something, and one unit that spikes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        options = {"width": 4, "max_width": 12, "mapping_layers": 2, "noise": noise, "norm": norm}
        generator = stylegan.Generator(resolution, channels, 8, 8, **options)
        for name, parameter in generator.named_parameters():
            if name.endswith("strength"):
                torch.nn.init.normal_(parameter, 0, 0.3)
            if name.endswith("rho"):
                torch.nn.init.uniform_(parameter)
            if name.endswith("affine.bias"):
                torch.nn.init.normal_(parameter, 0, 0.2)
        for layer in generator.to_image:  # untrained images are 20 times too bright
            layer.weight.data.mul_(0.05)
        size, position = PLANTED[0].split("/")
        affine = generator.blocks[size][int(position)].style.affine
        affine.bias.data[PLANTED[1]] = 30.0
    return generator.eval()


def planted_pin():
    return planted(PixelInstanceNorm)
