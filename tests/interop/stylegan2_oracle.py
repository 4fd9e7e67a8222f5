"""StyleGAN2 once more, in the plainest way: every sample's weights, zeros put in, filters by hand.

It imports nothing of the package. A network is a dict of parts by place: `("conv", size, n)`,
`("image", size)`, `("skip", size)`, `("from", size)` and names such as `"const"` and `"dense"`.
"""

from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv2d, leaky_relu, pad

LINE = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
FIR = torch.outer(LINE, LINE)


class Styled(NamedTuple):
    """A modulated convolution."""

    weight: Tensor  # (O, I, k, k), a correlation with maps between which zeros were put
    style_weight: Tensor  # (I, W)
    style_bias: Tensor  # (I,), around 1
    bias: Tensor  # (O,)
    strength: Tensor = torch.zeros(())
    noise: Tensor = torch.zeros(1, 1)


class Dense(NamedTuple):
    """A dense layer, or a convolution."""

    weight: Tensor
    bias: Tensor | None
    speed: float = 1.0


def filtered(x: Tensor, before: int, after: int, gain: float = 1.0) -> Tensor:
    kernel = FIR[None, None].expand(x.shape[1], 1, 4, 4) * gain
    return conv2d(pad(x, (before, after, before, after)), kernel, groups=x.shape[1])


def with_zeros(x: Tensor) -> Tensor:
    out = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    out[:, :, ::2, ::2] = x
    return out


def enlarged(x: Tensor) -> Tensor:
    return filtered(with_zeros(x), 2, 1, 4)


def halved(x: Tensor) -> Tensor:
    return filtered(x, 1, 1)[:, :, ::2, ::2]


def activated(x: Tensor, gain: float = 1.0, clamp: float | None = None) -> Tensor:
    x = leaky_relu(x, 0.2) * sqrt(2) * gain
    return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)


def normalized(x: Tensor) -> Tensor:
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def dense(x: Tensor, layer: Dense) -> Tensor:
    weight = layer.weight * layer.speed / sqrt(layer.weight.shape[1])
    return x @ weight.T + (0 if layer.bias is None else layer.bias * layer.speed)


def convolved(x: Tensor, layer: Dense, **options: int) -> Tensor:
    fan_in = layer.weight[0].numel()
    return conv2d(x, layer.weight / sqrt(fan_in), layer.bias, **options)


def styled(x: Tensor, layer: Styled, style: Tensor, up: bool, demodulate: bool) -> Tensor:
    scales = dense(style, Dense(layer.style_weight, layer.style_bias))
    weights = layer.weight / sqrt(layer.weight[0].numel()) * scales[:, None, :, None, None]
    if demodulate:
        weights = weights / (weights.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
    if up:
        x = pad(with_zeros(x)[:, :, :-1, :-1], (2, 2, 2, 2))
    padding = 0 if up else layer.weight.shape[-1] // 2
    each = [
        conv2d(one[None], weight, padding=padding) for one, weight in zip(x, weights, strict=True)
    ]
    x = torch.cat(each)
    return filtered(x, 1, 1, 4) if up else x


def images(
    net: dict, style: Tensor, architecture: str = "skip", clamp: float | None = None
) -> Tensor:
    """(N, L, W) -> (N, C, H, W)."""
    x, image, row = net["const"].expand(len(style), -1, -1, -1), None, 0
    sizes = sorted(key[1] for key in net if key[0] == "conv" and key[2] == 1)
    for size in sizes:
        residual = architecture == "resnet" and size > 4
        short = None
        if residual:
            short = enlarged(convolved(x, Dense(net["skip", size], None))) * sqrt(0.5)
        for n in (1,) if size == 4 else (0, 1):
            layer = net["conv", size, n]
            x = styled(x, layer, style[:, row], n == 0, True) + layer.strength * layer.noise
            gain = sqrt(0.5) if residual and n == 1 else 1.0
            x, row = activated(x + layer.bias[:, None, None], gain, clamp), row + 1
        x = x if short is None else x + short
        image = None if image is None else enlarged(image)
        if architecture == "skip" or size == sizes[-1]:
            layer = net["image", size]
            own = styled(x, layer, style[:, row], False, False) + layer.bias[:, None, None]
            own = own if clamp is None else own.clamp(-clamp, clamp)
            image = own if image is None else image + own
    return image


def mapped(layers: list[Dense], x: Tensor) -> Tensor:
    for layer in layers:
        x = activated(dense(x, layer))
    return x


def deviation(x: Tensor, group: int, channels: int) -> Tensor:
    N, _, H, W = x.shape
    maps = torch.empty(N, channels, H, W)
    groups = N // group
    for g in range(groups):
        members = list(range(g, N, groups))
        for c, part in enumerate(x[members].chunk(channels, dim=1)):
            maps[members, c] = (part.var(dim=0, correction=0) + 1e-8).sqrt().mean()
    return torch.cat([x, maps], dim=1)


def features(
    net: dict,
    x: Tensor,
    architecture: str = "resnet",
    clamp: float | None = None,
    group: int = 4,
    channels: int = 1,
    clamp_last: bool = False,  # whether the image at 4x4 is clamped, in a skip architecture
) -> Tensor:
    """(N, C, H, W) -> what the last dense layer answers."""
    sizes = sorted((key[1] for key in net if key[0] == "conv0"), reverse=True)
    image, first = x, (sizes or [4])[0]
    x = activated(convolved(image, net["from", first]), 1, clamp)
    for size in sizes:
        gain = sqrt(0.5) if architecture == "resnet" else 1.0
        short = None
        if architecture == "resnet":
            short = convolved(halved(x), Dense(net["skip", size], None)) * gain
        x = activated(convolved(x, net["conv0", size], padding=1), 1, clamp)
        x = activated(convolved(filtered(x, 2, 2), net["conv1", size], stride=2), gain, clamp)
        x = x if short is None else x + short
        if architecture == "skip":
            image = halved(image)
            limit = clamp if size > 8 or clamp_last else None
            x = x + activated(convolved(image, net["from", size // 2]), 1, limit)
    x = deviation(x, group, channels) if channels else x
    x = activated(convolved(x, net["last"], padding=1), 1, clamp)
    return dense(activated(dense(x.flatten(1), net["dense"])), net["out"])
