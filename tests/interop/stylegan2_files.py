"""StyleGAN2 files of other projects, key for key and shape for shape, of random numbers.

A builder returns the state dict of a file and, for `stylegan2_oracle`, the same numbers by place,
in one convention: what the project's code does to a tensor before it acts is done here.
"""

import pickle
import sys
import types
from contextlib import contextmanager

import torch
from stylegan2_oracle import FIR, Dense, Styled

Z, W, COLOURS = 6, 5, 3
WIDTHS = {4: 12, 8: 10, 16: 7, 32: 4}  # no doubling: what a floor of divisions leaves


class Random(dict):
    """A state dict; a call adds a tensor of random numbers, none of them 0 or 1."""

    def __init__(self, seed):
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, name, *shape, around=0.0, scale=1.0):
        self[name] = torch.randn(shape, generator=self.generator) * scale + around
        return self[name]

    def dense(self, name, out, *incoming, speed=1.0, bias=True):
        weight = self(f"{name}.weight", out, *incoming, scale=1 / speed)
        return Dense(weight, self(f"{name}.bias", out) if bias else None, speed)


def sizes(resolution):
    return [size for size in (4, 8, 16, 32) if size <= resolution]


def nvidia_generator(resolution=16, labels=0, architecture="skip", layers=2, noise=True, hidden=W):
    file = Random(1)
    incoming = Z + (4 if labels else 0)
    net = {"embed": file.dense("mapping.embed", 4, labels) if labels else None}
    widths = [incoming, *[hidden] * (layers - 1), W]
    net["mapping"] = [
        file.dense(f"mapping.fc{i}", widths[i + 1], widths[i], speed=0.01) for i in range(layers)
    ]
    net["mean"] = file("mapping.w_avg", W)
    net["const"] = file("synthesis.b4.const", WIDTHS[4], 4, 4)
    for size in sizes(resolution):
        block = f"synthesis.b{size}"
        file[f"{block}.resample_filter"] = FIR
        for n in (1,) if size == 4 else (0, 1):
            into, out, name = WIDTHS[size if n else size // 2], WIDTHS[size], f"{block}.conv{n}"
            weight = file(f"{name}.weight", out, into, 3, 3)
            rest = [file(f"{name}.affine.weight", into, W)]
            rest += [file(f"{name}.affine.bias", into, around=1.0), file(f"{name}.bias", out)]
            if noise:
                rest += [file(f"{name}.noise_strength"), file(f"{name}.noise_const", size, size)]
            file[f"{name}.resample_filter"] = FIR
            net["conv", size, n] = Styled(weight if n else weight.flip(2, 3), *rest)
        if architecture == "resnet" and size > 4:
            net["skip", size] = file(f"{block}.skip.weight", WIDTHS[size], WIDTHS[size // 2], 1, 1)
            file[f"{block}.skip.resample_filter"] = FIR
        if architecture == "skip" or size == resolution:
            name, into = f"{block}.torgb", WIDTHS[size]
            rest = [file(f"{name}.affine.weight", into, W)]
            rest += [file(f"{name}.affine.bias", into, around=1.0), file(f"{name}.bias", COLOURS)]
            net["image", size] = Styled(file(f"{name}.weight", COLOURS, into, 1, 1), *rest)
    return dict(file), net


def nvidia_discriminator(resolution=16, labels=0, architecture="resnet", channels=1, width=9):
    file, net = Random(2), {}
    for size in sizes(resolution)[::-1]:
        block, out = f"b{size}", WIDTHS[size]
        if architecture == "skip" or size == resolution:
            net["from", size] = file.dense(f"{block}.fromrgb", out, COLOURS, 1, 1)
            file[f"{block}.fromrgb.resample_filter"] = FIR
        if size == 4:
            continue
        file[f"{block}.resample_filter"] = FIR
        net["conv0", size] = file.dense(f"{block}.conv0", out, out, 3, 3)
        net["conv1", size] = file.dense(f"{block}.conv1", WIDTHS[size // 2], out, 3, 3)
        for part in ("conv0", "conv1", *(["skip"] if architecture == "resnet" else [])):
            file[f"{block}.{part}.resample_filter"] = FIR
        if architecture == "resnet":
            net["skip", size] = file(f"{block}.skip.weight", WIDTHS[size // 2], out, 1, 1)
    last = WIDTHS[4]
    net["last"] = file.dense("b4.conv", last, last + channels, 3, 3)
    file["b4.conv.resample_filter"] = FIR
    net["dense"] = file.dense("b4.fc", last, last * 16)
    net["out"] = file.dense("b4.out", width if labels else 1, last)
    if labels:
        net["embed"] = file.dense("mapping.embed", 4, labels)
        net["mapping"] = [
            file.dense("mapping.fc0", 8, 4, speed=0.01),
            file.dense("mapping.fc1", width, 8, speed=0.01),
        ]
    return dict(file), net


def rosinality_generator(resolution=16, layers=3):
    file, net = Random(3), {}
    net["const"] = file("input.input", 1, WIDTHS[4], 4, 4)[0]
    net["mapping"] = [file.dense(f"style.{i + 1}", W, W, speed=0.01) for i in range(layers)]
    for i, size in enumerate(sizes(resolution)):
        for n in (1,) if size == 4 else (0, 1):
            into, out = WIDTHS[size if n else size // 2], WIDTHS[size]
            name = "conv1" if size == 4 else f"convs.{2 * i - 2 + n}"
            weight = file(f"{name}.conv.weight", 1, out, into, 3, 3)[0]
            rest = [file(f"{name}.conv.modulation.weight", into, W)]
            rest += [file(f"{name}.conv.modulation.bias", into, around=1.0)]
            rest += [file(f"{name}.activate.bias", out), file(f"{name}.noise.weight", 1)]
            noise = f"noises.noise_{2 * i - 1 + n if i else 0}"
            rest += [file(noise, 1, 1, size, size)[0, 0]]
            if n == 0:
                file[f"{name}.conv.blur.kernel"] = FIR * 4
            net["conv", size, n] = Styled(weight if n else weight.flip(2, 3), *rest)
        name, into = ("to_rgb1" if i == 0 else f"to_rgbs.{i - 1}"), WIDTHS[size]
        rest = [file(f"{name}.conv.modulation.weight", into, W)]
        rest += [file(f"{name}.conv.modulation.bias", into, around=1.0)]
        rest += [file(f"{name}.bias", 1, COLOURS, 1, 1).flatten()]
        net["image", size] = Styled(file(f"{name}.conv.weight", 1, COLOURS, into, 1, 1)[0], *rest)
        if i:
            file[f"{name}.upsample.kernel"] = FIR * 4
    return dict(file), net


def rosinality_discriminator(resolution=16):
    file, net = Random(4), {}

    def layer(name, first, out, *into):
        weight = file(f"{name}.{first}.weight", out, *into)
        return Dense(weight, file(f"{name}.{first + 1}.bias", out))

    net["from", resolution] = layer("convs.0", 0, WIDTHS[resolution], COLOURS, 1, 1)
    for i, size in enumerate(sizes(resolution)[:0:-1], 1):
        into, out = WIDTHS[size], WIDTHS[size // 2]
        net["conv0", size] = layer(f"convs.{i}.conv1", 0, into, into, 3, 3)
        net["conv1", size] = layer(f"convs.{i}.conv2", 1, out, into, 3, 3)
        net["skip", size] = file(f"convs.{i}.skip.1.weight", out, into, 1, 1)
        file[f"convs.{i}.conv2.0.kernel"] = file[f"convs.{i}.skip.0.kernel"] = FIR
    net["last"] = layer("final_conv", 0, WIDTHS[4], WIDTHS[4] + 1, 3, 3)
    net["dense"] = file.dense("final_linear.0", WIDTHS[4], WIDTHS[4] * 16)
    net["out"] = file.dense("final_linear.1", 1, WIDTHS[4])
    return dict(file), net


def genforce_generator(
    resolution=16, labels=0, hammer=False, architecture="skip", layers=2, ada=False
):
    """TensorFlow's tensors in genforce: turned, and styles around 0; NVIDIA's in Hammer."""
    file, net = Random(5), {}
    if labels and (hammer or ada):
        embedded = "mapping.embedding" if hammer else "mapping.LabelEmbed"
        net["embed"] = file.dense(embedded, 4, labels)
    elif labels:
        net["rows"] = file("mapping.label_weight", labels, Z)
    incoming = Z + (0 if not labels else 4 if hammer or ada else Z)
    net["mapping"] = [
        file.dense(f"mapping.dense{i}", W, incoming if i == 0 else W, speed=0.01)
        for i in range(layers)
    ]
    net["mean"] = file("w_avg" if hammer else "truncation.w_avg", W)
    net["const"] = file("synthesis.early_layer.const", 1, WIDTHS[4], 4, 4)[0]
    leaf, kernel = ("filter", FIR) if hammer else ("filter.kernel", FIR[None, None] * 4)
    one = 0.0 if hammer else 1.0

    def layer(name, out, into, kernel_size):
        weight = file(f"{name}.weight", out, into, kernel_size, kernel_size)
        style = file(f"{name}.style.weight", into, W)
        bias = file(f"{name}.style.bias", into, around=1 - one) + one
        return weight, style, bias, file(f"{name}.bias", out)

    for b, size in enumerate(sizes(resolution)):
        for n in (1,) if size == 4 else (0, 1):
            name = f"synthesis.layer{2 * b - 1 + n}"
            weight, *rest = layer(name, WIDTHS[size], WIDTHS[size if n else size // 2], 3)
            rest += [file(f"{name}.noise_strength")]
            rest += [file(f"{name}.noise", 1, 1, size, size)[0, 0]]
            if n == 0:
                file[f"{name}.{leaf}"] = kernel
            turned = n == 0 and hammer
            net["conv", size, n] = Styled(weight.flip(2, 3) if turned else weight, *rest)
        if architecture == "resnet" and size > 4:
            name = f"synthesis.residual{b}"
            net["skip", size] = file(f"{name}.weight", WIDTHS[size], WIDTHS[size // 2], 1, 1)
            file[f"{name}.{leaf}"] = kernel
        if architecture == "skip" or size == resolution:
            net["image", size] = Styled(*layer(f"synthesis.output{b}", COLOURS, WIDTHS[size], 1))
    if architecture == "skip":
        file["synthesis.filter" if hammer else "synthesis.upsample.kernel"] = kernel
    return dict(file), net


def genforce_discriminator(resolution=16, labels=0, hammer=False, architecture="resnet", ada=False):
    """The last dense layer of genforce's has the width that 2x2 maps would have."""
    file, net = Random(6), {}
    leaf, kernel = ("filter", FIR) if hammer else ("filter.kernel", FIR[None, None])
    for i, size in enumerate(sizes(resolution)[::-1]):
        if i == 0 or architecture == "skip":
            net["from", size] = file.dense(f"input{i}", WIDTHS[size], COLOURS, 1, 1)
        if size == 4:
            continue
        into, out = WIDTHS[size], WIDTHS[size // 2]
        net["conv0", size] = file.dense(f"layer{2 * i}", into, into, 3, 3)
        net["conv1", size] = file.dense(f"layer{2 * i + 1}", out, into, 3, 3)
        file[f"layer{2 * i + 1}.{leaf}"] = kernel
        if architecture == "resnet":
            name = f"residual{i}" if hammer else f"skip_layer{i}"
            net["skip", size] = file(f"{name}.weight", out, into, 1, 1)
            file[f"{name}.{leaf}"] = kernel
    last, width = 2 * len(sizes(resolution)) - 2, WIDTHS[4] if hammer else 2 * WIDTHS[4]
    net["last"] = file.dense(f"layer{last}", WIDTHS[4], WIDTHS[4] + 1, 3, 3)
    net["dense"] = file.dense(f"layer{last + 1}", width, WIDTHS[4] * 16)
    projects = hammer or ada
    outputs = (8 if projects else labels) if labels else 1
    net["out"] = file.dense("output" if hammer else f"layer{last + 2}", outputs, width)
    if projects and labels:
        embedded = "embedding" if hammer else "LabelEmbed"
        net["embed"], net["mapping"] = file.dense(embedded, 8, labels), []
    if architecture == "skip":
        file["filter" if hammer else "downsample.kernel"] = kernel
    return dict(file), net


class Persistent:
    """Pickles as NVIDIA's objects do: one call with a dict of source, class and state."""

    def __init__(self, name, state, source):
        self.meta = {
            "type": "class",
            "version": 6,
            "module_src": source,
            "class_name": name,
            "state": state,
        }

    def __reduce__(self):
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)


@contextmanager
def torch_utils():
    """Modules of these names while files are written."""
    module = types.ModuleType("torch_utils.persistence")

    def _reconstruct_persistent_obj(meta):
        raise AssertionError("nothing of a file is run")

    _reconstruct_persistent_obj.__module__ = module.__name__
    _reconstruct_persistent_obj.__qualname__ = _reconstruct_persistent_obj.__name__
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj
    sys.modules |= {"torch_utils": types.ModuleType("torch_utils"), module.__name__: module}
    try:
        yield
    finally:
        del sys.modules["torch_utils"], sys.modules[module.__name__]


def persistent(name, state, options, source="", frozen=()):
    """A network as a tree of modules; parameters named in `frozen` are buffers."""
    root = {"_parameters": {}, "_buffers": {}, "_modules": {}, "training": False}
    for key, value in state.items():
        *path, leaf = key.split(".")
        node = root
        for part in path:
            fresh = {"_parameters": {}, "_buffers": {}, "_modules": {}}
            module = node["_modules"].setdefault(part, Persistent("Layer", fresh, source))
            node = module.meta["state"]
        buffer = key in frozen or leaf in ("resample_filter", "noise_const", "w_avg")
        node["_buffers" if buffer else "_parameters"][leaf] = (
            value if buffer else torch.nn.Parameter(value)
        )
    root |= {"_init_args": (), "_init_kwargs": options}
    return Persistent(name, root, source)


def write_nvidia(path, **networks):
    with torch_utils():
        path.write_bytes(pickle.dumps({**networks, "augment_pipe": None}))
    return path
