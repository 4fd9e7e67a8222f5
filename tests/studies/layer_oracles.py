"""Generators whose layers are called one by one: no hook, no `forward`, no code of the studies.

`walk(generator, latents)` gives what each activation module receives and returns, and the image.
An `edit(name, maps)` may replace what a layer returns before the next one sees it.
"""

import torch

from ganlab.networks import dcgan, progan, stylegan2
from ganlab.networks.base import Condition
from ganlab.nn.modulation import modulated_conv2d
from ganlab.nn.randomness import keyed_generator
from ganlab.nn.resample import upsample2x, upsample_nearest


def keep(name, maps):
    return maps


@torch.no_grad()
def walk(generator, latents, edit=keep, condition=None, noise=None):
    """(received, returned, image); noise: layer -> (N, 1, H, W), None = the fixed planes."""
    steps = {dcgan: walk_dcgan, progan: walk_progan, stylegan2: walk_stylegan2}
    received, returned = {}, {}

    def fire(name, activation, x):
        received[name] = x.clone()
        returned[name] = edit(name, activation(x))
        return returned[name]

    for module, step in steps.items():
        if isinstance(generator, module.Generator):
            return received, returned, step(generator, latents, fire, condition, noise)
    raise TypeError(type(generator))


def walk_dcgan(generator, latents, fire, condition, noise):
    x = latents[:, :, None, None]
    for name, stage in generator.stages.items():
        x = fire(f"{name}/0", stage.activation, stage.norm(stage.convolution(x)))
    return generator.to_image(x).tanh()


def walk_progan(generator, latents, fire, condition, noise):
    x = generator.normalize(latents[:, :, None, None])
    for level, block in enumerate(generator.blocks):
        x = upsample_nearest(x) if level else x
        for i, layer in enumerate(block):
            name = f"{4 * 2**level}x{4 * 2**level}/{i}"
            x = layer.norm(fire(name, layer.activation, layer.convolution(x)))
    return generator.to_image[-1](x)


def walk_stylegan2(generator, latents, fire, condition, noise):
    style = generator.map(latents, condition)[:, 0]  # (N, W), the same for every layer
    x, image = generator.const.expand(len(latents), -1, -1, -1), None
    for size, block in generator.blocks.items():
        for i, layer in enumerate(block.convs):
            weight, _ = layer.conv.scaled()
            kernel = layer.kernel if layer.up else None
            x = modulated_conv2d(x, weight, layer.affine(style), up_kernel=kernel)
            plane = layer.noise_const if noise is None else noise[f"{size}/{i}"]
            x = x + layer.noise_strength * plane + layer.bias[:, None, None]
            x = fire(f"{size}/{i}", layer.activation, x)
        own = block.to_image(x, style)
        image = own if image is None else upsample2x(image, block.kernel) + own
    return image


def randomized(generator, seed=0):
    """Weights and biases that make some neurons rare, some common, one channel a layer dead."""
    rng = keyed_generator("oracle networks", seed)
    for name, parameter in generator.named_parameters():
        scale = 0.5 if parameter.ndim < 2 else 1.0
        scale = 0.1 if name.endswith("noise_strength") else scale
        values = torch.randn(parameter.shape, generator=rng) * scale
        is_norm = "norm.weight" in name or "affine" in name
        parameter.data.copy_(values.abs() + 0.5 if is_norm else values)
    for module in generator.modules():
        if hasattr(module, "running_mean"):
            module.running_mean.normal_(generator=rng)
            module.running_var.uniform_(0.5, 2.0, generator=rng)
    for layer, weight in addends(generator):
        weight.data[0], layer.data[0] = 0.0, -1.0  # dead
    return generator.eval()


def addends(generator):
    """What is added right before each activation, and the weights it is added to."""
    if isinstance(generator, dcgan.Generator):
        return [(stage.norm.bias, stage.norm.weight) for stage in generator.stages.values()]
    if isinstance(generator, progan.Generator):
        layers = [layer.convolution for block in generator.blocks for layer in block]
        return [(layer.bias, layer.weight) for layer in layers]
    layers = [layer for block in generator.blocks.values() for layer in block.convs]
    return [(layer.bias, layer.conv.weight) for layer in layers]


def small(kind):
    """One of the three networks, small; `labels` is a StyleGAN2 of three classes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "dcgan":
            generator = dcgan.Generator(resolution=32, channels=1, latent_dim=6, width=2)
        elif kind == "progan":
            generator = progan.Generator(16, 1, latent_dim=6, width=4, max_width=8)
        else:
            labels = 3 if kind == "labels" else 0
            styles = {"style_dim": 6, "mapping_layers": 2, "mapping_lr_multiplier": 1.0}
            generator = stylegan2.Generator(
                16, 1, latent_dim=6, width=4, max_width=8, num_labels=labels, **styles
            )
    return randomized(generator)


def labels_at(indices):
    """Latent i is of class i mod 3."""
    return Condition(label=torch.tensor(list(indices)) % 3)


KINDS = ("dcgan", "progan", "stylegan2", "labels")


def condition_of(kind):
    return labels_at if kind == "labels" else None
