"""genforce's PGGAN and StyleGAN: states drawn at random, and what the authors make of them.

Written from the conventions of their files, one formula after the other, apart from any network of
the package. `fused` says from which resolution on enlarging and convolution are one operation.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

NEVER = 2**20


def normed(x: Tensor) -> Tensor:
    """Over channels, before a convolution."""
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def scaled(weight: Tensor, gain: float = 2**0.5) -> Tensor:
    """N(0, 1) as stored, at its size at run time."""
    return weight * gain / weight[0].numel() ** 0.5


def doubled(x: Tensor) -> Tensor:
    """Pixels repeated."""
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def fused_up(x: Tensor, weight: Tensor) -> Tensor:
    """A transposed convolution with (in, out, 4, 4), four shifted copies of (in, out, 3, 3)."""
    w = F.pad(weight, (1, 1, 1, 1))
    w = w[:, :, 1:, 1:] + w[:, :, :-1, 1:] + w[:, :, 1:, :-1] + w[:, :, :-1, :-1]
    return F.conv_transpose2d(x, w, stride=2, padding=1)


def fused_down(x: Tensor, weight: Tensor) -> Tensor:
    """A strided convolution, likewise, and a quarter of it."""
    w = F.pad(weight, (1, 1, 1, 1)) * 0.25
    w = w[:, :, 1:, 1:] + w[:, :, :-1, 1:] + w[:, :, 1:, :-1] + w[:, :, :-1, :-1]
    return F.conv2d(x, w, stride=2, padding=1)


def blurred(x: Tensor) -> Tensor:
    """[1, 2, 1] in both directions."""
    line = torch.tensor([1.0, 2.0, 1.0]) / 4
    kernel = torch.outer(line, line).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(x, kernel, padding=1, groups=x.shape[1])


def widths(resolution: int, base: int, most: int) -> list[int]:
    """Channels at 4x4, 8x8, ... and so on."""
    return [min(base // 2**power, most) for power in range(2, resolution.bit_length())]


class Drawn(dict):
    """A state whose tensors are drawn, none of them zero or one."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng = torch.Generator().manual_seed(seed)

    def add(self, name: str, *shape: int, size: float = 1.0) -> None:
        self[name] = torch.randn(shape, generator=self.rng) * size

    def both(self, name: str, *shape: int, bias: float = 0.3) -> None:
        self.add(f"{name}.weight", *shape)
        self.add(f"{name}.bias", shape[0], size=bias)


def pggan_generator(resolution=32, z=6, labels=0, fused=False, base=256, most=16, lod=0.0, seed=0):
    state, wide = Drawn(seed), widths(resolution, base, most)
    state["lod"] = torch.tensor(lod)
    incoming = z + labels
    for b, outgoing in enumerate(wide):
        state.both(f"layer{2 * b}", outgoing, incoming, *((3, 3) if b else (4, 4)))
        if fused and b:
            state[f"layer{2 * b}.weight"] = state[f"layer{2 * b}.weight"].transpose(0, 1)
        state.both(f"layer{2 * b + 1}", outgoing, outgoing, 3, 3)
        state.both(f"output{b}", 3, outgoing, 1, 1)
        incoming = outgoing
    return state


def pggan_images(state, z, label=None, fused=False, tanh=False):
    """Every convolution takes normalized maps, that to the image too."""
    x, lod, top = (
        normed(z),
        float(state["lod"]),
        sum(n.startswith("output") for n in state) // 2 - 1,
    )
    x = (x if label is None else torch.cat([x, label], dim=1))[:, :, None, None]
    images = []
    for b in range(top + 1):
        w, bias = state[f"layer{2 * b}.weight"], state[f"layer{2 * b}.bias"][:, None, None]
        if b and fused:
            w = w * 2**0.5 / (9 * w.shape[0]) ** 0.5
            x = fused_up(normed(x), w)
        else:
            x = doubled(normed(x)) if b else normed(x)
            x = F.conv2d(x, scaled(w), padding=1 if b else 3)
        x = F.leaky_relu(x + bias, 0.2)
        second = f"layer{2 * b + 1}"
        x = F.conv2d(
            normed(x), scaled(state[f"{second}.weight"]), state[f"{second}.bias"], padding=1
        )
        x = F.leaky_relu(x, 0.2)
        rgb = scaled(state[f"output{b}.weight"], 1.0)
        images.append(F.conv2d(normed(x), rgb, state[f"output{b}.bias"]))
    image = faded(images, lod)
    return image.tanh() if tanh else image


def faded(images: list[Tensor], lod: float) -> Tensor:
    """The image at a stage of growth."""
    whole, old = int(lod), lod - int(lod)
    image = images[len(images) - 1 - whole]
    return image if not old else (1 - old) * image + old * doubled(images[len(images) - 2 - whole])


def deviation(x: Tensor, group_size: int) -> Tensor:
    """One channel more: sample n is compared with n + N / G and so on."""
    N, C, H, W = x.shape
    G = min(group_size, N)
    y = x.view(G, -1, C, H, W)
    std = ((y - y.mean(0)).square().mean(0) + 1e-8).sqrt().mean((1, 2, 3))  # (N / G,)
    return torch.cat([x, std.repeat(G)[:, None, None, None].expand(N, 1, H, W)], dim=1)


def pggan_discriminator(resolution=32, labels=0, base=256, most=16, group_size=16, lod=0.0, seed=1):
    state, wide = Drawn(seed), widths(resolution, base, most)
    state["lod"] = torch.tensor(lod)
    top = len(wide) - 1
    for i in range(top + 1):
        here, below = wide[top - i], wide[top - i - 1] if i < top else min(base // 2, most)
        state.both(f"input{i}", here, 3, 1, 1)
        extra = int(i == top and group_size > 1)
        state.both(f"layer{2 * i}", here, here + extra, 3, 3)
        if i < top:
            state.both(f"layer{2 * i + 1}", below, here, 3, 3)
        else:
            state.both(f"layer{2 * i + 1}", below, here * 16)
            state.both(f"layer{2 * i + 2}", 1 + labels, below)
    return state


def score(state, images, group_size, halve, lod=0.0):
    """Logits; `halve` is what a layer before a smaller size does, (x, weight, bias, size) -> x."""
    top = sum(name.startswith("input") for name in state) // 2 - 1
    whole, old = int(lod), lod - int(lod)
    images = F.avg_pool2d(images, 2**whole)

    def read(i, image):
        w = scaled(state[f"input{i}.weight"])
        return F.leaky_relu(F.conv2d(image, w, state[f"input{i}.bias"]), 0.2)

    x = read(whole, images)
    for i in range(whole, top + 1):
        if old and i == whole + 1:
            x = (1 - old) * x + old * read(i, F.avg_pool2d(images, 2))
        x = deviation(x, group_size) if i == top and group_size > 1 else x
        first, second = f"layer{2 * i}", f"layer{2 * i + 1}"
        x = F.conv2d(x, scaled(state[f"{first}.weight"]), state[f"{first}.bias"], padding=1)
        x = F.leaky_relu(x, 0.2)
        w, bias = scaled(state[f"{second}.weight"]), state[f"{second}.bias"]
        if i < top:
            x = halve(x, w, bias, x.shape[-1])
        else:
            x = F.leaky_relu(F.linear(x.flatten(1), w, bias), 0.2)
    last = f"layer{2 * top + 2}"
    return F.linear(x, scaled(state[f"{last}.weight"], 1.0), state[f"{last}.bias"])


def pggan_scores(state, images, fused=False, group_size=16):
    """(N, 1 + labels)."""

    def halve(x, w, bias, _):
        if fused:
            return F.leaky_relu(fused_down(x, w) + bias[:, None, None], 0.2)
        return F.avg_pool2d(F.leaky_relu(F.conv2d(x, w, bias, padding=1), 0.2), 2)

    return score(state, images, group_size, halve, float(state["lod"]))


def stylegan_generator(
    resolution=32, z=6, w=5, labels=0, layers=3, hidden=7, repeat=True, const=True, per="pixel",
    base=256, most=16, lod=0.0, seed=2,
):  # fmt: skip
    state, wide = Drawn(seed), widths(resolution, base, most)
    count = 2 * len(wide)
    sizes = [z * (2 if labels else 1)] + [hidden] * (layers - 1) + [w if repeat else w * count]
    for i in range(layers):
        state.add(f"mapping.dense{i}.weight", sizes[i + 1], sizes[i], size=100.0)
        state.add(f"mapping.dense{i}.bias", sizes[i + 1], size=20.0)
    if labels:
        state.add("mapping.label_weight", labels, z)
    state.add("truncation.w_avg", sizes[-1], size=0.3)
    state["synthesis.lod"] = torch.tensor(lod)
    for b, outgoing in enumerate(wide):
        for n, incoming in ((2 * b, wide[max(b - 1, 0)]), (2 * b + 1, outgoing)):
            layer, size = f"synthesis.layer{n}", 4 * 2**b
            if n == 0 and const:
                state.add(f"{layer}.const", 1, outgoing, 4, 4)
            else:
                k = (4, 4) if n == 0 else (3, 3)
                state.add(f"{layer}.weight", outgoing, incoming if n else w, *k)
            state.add(f"{layer}.bias", outgoing, size=0.3)
            pixel = per == "pixel"
            state.add(f"{layer}.apply_noise.weight", *([outgoing] if pixel else [size, size]))
            noise = (1, 1, size, size) if pixel else (1, outgoing, 1, 1)
            state.add(f"{layer}.apply_noise.noise", *noise)
            state.both(f"{layer}.style", 2 * outgoing, w)
            if b and n == 2 * b:
                line = torch.tensor([1.0, 2.0, 1.0]) / 4
                kernel = torch.outer(line, line).expand(outgoing, 1, 3, 3).clone()
                state[f"{layer}.blur.kernel"] = kernel
        state.both(f"synthesis.output{b}", 3, outgoing, 1, 1)
    return state


def stylegan_styles(state, z, label=None):
    """(N, L, W)."""
    x = z if label is None else torch.cat([z, label @ state["mapping.label_weight"]], dim=1)
    x, i = normed(x), 0
    while f"mapping.dense{i}.weight" in state:
        weight, bias = state[f"mapping.dense{i}.weight"], state[f"mapping.dense{i}.bias"]
        x = F.leaky_relu(F.linear(x, 0.01 * scaled(weight), 0.01 * bias), 0.2)
        i += 1
    width = state["synthesis.layer0.style.weight"].shape[1]
    layers = 2 * sum(n.startswith("synthesis.output") for n in state) // 2
    return x.view(len(z), -1, width).expand(-1, layers, -1)


def stylegan_images(state, styles, fused=128):
    """Each layer: convolution, blur, noise, bias, activation, instance norm, style."""
    top = sum(n.startswith("synthesis.output") for n in state) // 2 - 1
    x, images = None, []
    for n in range(2 * top + 2):
        layer, b = f"synthesis.layer{n}", n // 2
        w = state.get(f"{layer}.weight")
        if w is None:
            x = state[f"{layer}.const"].expand(len(styles), -1, -1, -1)
        elif n == 0:
            x = F.conv2d(styles[:, 0, :, None, None], scaled(w), padding=3)
        elif n % 2:
            x = F.conv2d(x, scaled(w), padding=1)
        elif 4 * 2**b >= fused:
            x = blurred(fused_up(x, scaled(w).transpose(0, 1)))
        else:
            x = blurred(F.conv2d(doubled(x), scaled(w), padding=1))
        strength = state[f"{layer}.apply_noise.weight"]
        strength = strength[:, None, None] if strength.ndim == 1 else strength
        x = x + state[f"{layer}.apply_noise.noise"] * strength
        x = F.leaky_relu(x + state[f"{layer}.bias"][:, None, None], 0.2)
        x = x - x.mean((2, 3), keepdim=True)
        x = x / (x.square().mean((2, 3), keepdim=True) + 1e-8).sqrt()
        weight, bias = scaled(state[f"{layer}.style.weight"], 1.0), state[f"{layer}.style.bias"]
        scale, shift = F.linear(styles[:, n], weight, bias).view(len(x), 2, -1, 1, 1).unbind(1)
        x = x * (scale + 1) + shift
        if n % 2:
            rgb = scaled(state[f"synthesis.output{b}.weight"], 1.0)
            images.append(F.conv2d(x, rgb, state[f"synthesis.output{b}.bias"]))
    return faded(images, float(state["synthesis.lod"]))


def stylegan_discriminator(resolution=32, labels=0, base=256, most=16, lod=0.0, seed=3):
    state = pggan_discriminator(resolution, max(labels, 1) - 1, base, most, 4, lod, seed)
    line = torch.tensor([1.0, 2.0, 1.0]) / 4
    for i, wide in enumerate(widths(resolution, base, most)[:0:-1]):
        kernel = torch.outer(line, line).expand(wide, 1, 3, 3).clone()
        state[f"layer{2 * i + 1}.blur.kernel"] = kernel
    return state


def stylegan_scores(state, images, label=None, fused=128):
    """(N,)."""

    def halve(x, w, bias, size):
        x = blurred(x)
        x = fused_down(x, w) if size >= fused else F.avg_pool2d(F.conv2d(x, w, padding=1), 2)
        return F.leaky_relu(x + bias[:, None, None], 0.2)

    logits = score(state, images, 4, halve, float(state["lod"]))
    return logits[:, 0] if label is None else (logits * label).sum(dim=1)
