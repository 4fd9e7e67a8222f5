"""Generators whose artifacts are known: one unit of one layer changed so that it spikes."""

import copy

import torch
from torch import nn
from torch.nn.functional import unfold

from ganlab.networks.stylegan import Generator
from ganlab.nn.norm import InstanceNorm
from ganlab.nn.tracing import observed, recorded
from ganlab.sampling import Sampler

SEED = 3  # of the latents


def made(norm=InstanceNorm, noise=0.2, resolution=32, seed=0, widths=None, slope=0.2, spread=0.0):
    """A random StyleGAN whose kernels, as trained ones do, weigh the middle most.

    `slope` is that of its activations below 0, `spread` the deviation of its biases: with one of
    4 many channels are rarely active, or never.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        options = {"width": 16, "max_width": 64, "widths": widths, "norm": norm}
        options |= {"mapping_layers": 2, "mapping_lr_multiplier": 1.0}
        generator = Generator(resolution, 3, 16, 16, **options)
        for name, parameter in generator.named_parameters():
            if name.endswith("noise.strength"):
                nn.init.normal_(parameter, 0, noise)
            if name.endswith("rho"):
                nn.init.uniform_(parameter)
        for layer in generator.active_layers().values():
            layer.activation.negative_slope = slope
            if spread:
                nn.init.normal_(layer.bias, 0, spread)
    side = torch.tensor([0.25, 1.0, 0.25])
    window = side[:, None] * side
    for module in generator.blocks.modules():
        weight = getattr(module, "weight", None)
        if weight is not None and weight.ndim == 4:
            weight.data *= window / window.square().mean().sqrt()
    return generator.eval()


def planted(generator, layer, unit, indices, positions, amplitude):
    """A copy in which `unit` of `layer` spikes in these images at these positions (y, x).

    Its kernel is the ridge regression of a map that is 1 at the positions and 0 elsewhere on what
    the layer is given; its bias keeps the rest below 0. Its style is constant, and such that the
    spot's magnitude over all channels is `amplitude` times that of the rest of the layer; None = it
    neither scales nor shifts.
    """
    generator = copy.deepcopy(generator)
    part = generator.active_layers()[layer]
    part.noise.strength.data[unit] = 0
    inputs = given_to(part.convolution, generator, indices)  # (N, C, H, W)
    kernel, bias = fitted(inputs, positions)
    part.convolution.weight.data[unit] = 0
    unity = part.convolution.weight.data.clone()
    unity[unit, 0, 1, 1] = 1
    part.convolution.weight.data.copy_(unity)
    probe = torch.zeros(1, inputs.shape[1], 3, 3)
    probe[0, 0, 1, 1] = 1
    runtime = part.convolution(probe)[0, unit, 1, 1]  # the equalized layer's own factor
    part.convolution.weight.data[unit] = kernel / runtime
    part.bias.data[unit] = bias
    set_style(generator, part, unit, indices, amplitude)
    return generator


def given_to(module, generator, indices):
    found = []
    with observed({"it": module}, ["it"], lambda name, received, output: found.append(received)):
        Sampler(generator, SEED).batch(indices)
    return found[0]


def fitted(inputs, positions):
    """(C, 3, 3) kernel and a bias three deviations of the rest below 0."""
    n, channels, height, width = inputs.shape
    patches = unfold(inputs, 3, padding=1).double().transpose(1, 2).reshape(-1, channels * 9)
    target = torch.zeros(n, height, width, dtype=torch.double)
    for row, (y, x) in enumerate(positions):
        target[row, y, x] = 1
    target = target.flatten()
    weighted = (patches * (1 + 20 * target)[:, None]).T
    gram = weighted @ patches
    gram += 1e-2 * gram.diagonal().mean() * torch.eye(len(gram))
    kernel = torch.linalg.solve(gram, weighted @ target)
    rest = (patches @ kernel)[target == 0].std()
    return kernel.view(channels, 3, 3).float(), float(-3 * rest)


def set_style(generator, part, unit, indices, amplitude):
    affine, channels = part.style.affine, len(part.bias)
    for row in (unit, channels + unit):
        affine.weight.data[row], affine.bias.data[row] = 0, 0
    if amplitude is None:
        return
    with recorded({"it": part.style}) as found, torch.no_grad():
        Sampler(generator, SEED).batch(indices)
    maps = found["it"]
    others = [channel for channel in range(channels) if channel != unit]
    rest = maps[:, others].square().sum(1).sqrt().flatten(1).median()  # over channels, typically
    own = maps[:, unit].flatten(1)
    middle = own.median(1).values.mean()
    scale = amplitude * rest / (own.amax(1) - middle).mean()
    affine.bias.data[unit] = scale - 1
    affine.bias.data[channels + unit] = -middle * scale


def spotted(generator, indices, positions):
    """Bright small objects: spots that the last layer paints, no higher than its other maps."""
    layer, unit = list(generator.layers)[-1], 3
    copied = planted(generator, layer, unit, indices, positions, 1.0)
    copied.to_image[-1].weight.data[:, unit] = 30.0
    return copied
