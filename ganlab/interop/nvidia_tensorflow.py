"""ProGAN, StyleGAN and StyleGAN2 as NVIDIA's TensorFlow repositories pickle them, without it.

A `.pkl` of three networks, `G`, `D` and the averaged `Gs`. Each is an object of `tfutil.Network` or
`dnnlib.tflib.network.Network` whose state lists `variables`, names and arrays, its own and those of
its `components` (mapping, synthesis); the source text beside them is never run. genforce's files
are these variables under other names and in torch's order of axes, and are read as such: a kernel
is (height, width, in, out) here, a dense weight (in, out).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganlab.interop import genforce_progressive, genforce_stylegan2
from ganlab.interop.foreign import ForeignFile
from ganlab.interop.persistent import attributes_of
from ganlab.storage.pickles import Record

TITLE = "NVIDIA's TensorFlow ProGAN, StyleGAN or StyleGAN2"
NETWORK = re.compile(r"(\w+\.)*(tfutil|network|tflib)\.Network")
TOLD = {  # arguments that no variable says -> as genforce_progressive knows them
    "fused_scale": "fused_scale",
    "mbstd_group_size": "group_size",
}
State = dict[str, Tensor]
Rename = Callable[[str], str | None]  # their name of a variable -> genforce's


def variables(network: Any) -> State:
    """All variables of a network and its components; those of a component after its name."""
    state = attributes_of(network)
    found: State = {}
    for pair in state.get("variables") or ():
        if isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str):
            found[pair[0]] = torch.as_tensor(np.asarray(pair[1], dtype=np.float32))
    components = state.get("components")
    for name, inner in (components if isinstance(components, dict) else {}).items():
        found |= {f"{name}/{key}": value for key, value in variables(inner).items()}
    return found


def networks(content: Any) -> list[Record]:
    """G, D and Gs, or nothing where the content is something else."""
    if not isinstance(content, tuple | list) or len(content) != 3:
        return []
    return [each for each in content if isinstance(each, Record) and NETWORK.fullmatch(each.name)]


def recognised(content: object) -> bool:
    """Whether it is three networks of variables."""
    return len(networks(content)) == 3


def checkpoint(file: ForeignFile) -> dict[str, Any]:
    """The averaged generator and the discriminator.

    Raises:
        ValueError: networks of another kind, or a variable that is missing, unknown or of another
            shape; names it as genforce does.
    """
    _, critic, smoothed = networks(file.content)
    g, d = variables(smoothed), variables(critic)
    if "synthesis/4x4/Const/const" in g and "synthesis/4x4/Conv/mod_weight" in g:
        return stylegan2(file, g, d)
    told = {ours: options(critic)[n] for n, ours in TOLD.items() if n in options(critic)}
    if "4x4/Dense/weight" in g:
        return pggan(file, g, d, {"group_size": 4} | told)
    if "synthesis/4x4/Const/const" in g or "synthesis/4x4/Dense/weight" in g:
        return stylegan(file, g, d, told)
    raise file.wrong("has networks of TensorFlow that are no ProGAN, StyleGAN or StyleGAN2")


def options(network: Record) -> Mapping[str, Any]:
    """What a network was built with."""
    found = attributes_of(network).get("static_kwargs")
    return found if isinstance(found, Mapping) else {}


def pggan(file: ForeignFile, g: State, d: State, told: Mapping[str, Any]) -> dict[str, Any]:
    """ProGAN; its labels join the latent before the only normalization, as nowhere else."""
    if d["4x4/Dense1/weight"].shape[1] > 1:
        raise file.wrong("is a ProGAN with labels, which TensorFlow's normalizes otherwise")
    title = "NVIDIA's TensorFlow ProGAN"
    fused = "8x8/Conv0_up/weight" in g
    state = renamed(g, pggan_name(levels(g, "ToRGB_lod")))
    state["layer0.weight"] = first_layer(g["4x4/Dense/weight"])
    critic = renamed(d, discriminator_name(levels(d, "FromRGB_lod")))
    told = {**told, "fused_scale": fused, "num_labels": 0}
    return genforce_progressive.read(file, title, state, critic, told)


def stylegan(file: ForeignFile, g: State, d: State, told: Mapping[str, Any]) -> dict[str, Any]:
    """StyleGAN."""
    title = "NVIDIA's TensorFlow StyleGAN"
    state = renamed(g, stylegan_name(levels(g, "synthesis/ToRGB_lod")))
    if "synthesis/4x4/Dense/weight" in g:
        state["synthesis.layer0.weight"] = first_layer(g["synthesis/4x4/Dense/weight"])
    critic = renamed(d, discriminator_name(levels(d, "FromRGB_lod")))
    return genforce_progressive.read(file, title, state, critic, told)


def stylegan2(file: ForeignFile, g: State, d: State) -> dict[str, Any]:
    """StyleGAN2, by the names of genforce's own reader."""
    state = renamed(g, stylegan2_name)
    sizes = [int(name.split("x")[0]) for name in d if re.match(r"\d+x\d+/", name)]
    critic = renamed(d, lambda name: stylegan2_discriminator_name(name, max(sizes)))
    content = {"generator_smooth": state, "discriminator": critic}
    found = genforce_stylegan2.checkpoint(replace(file, content=content))
    found["recipe"]["source"]["format"] = "NVIDIA's TensorFlow StyleGAN2"
    return found


def renamed(state: State, rename: Rename) -> State:
    """By genforce's names and in torch's order of axes; what has no name there keeps its own."""
    named = {rename(name) or name: value for name, value in state.items()}
    return {name: transposed(name, value) for name, value in named.items()}


def transposed(name: str, value: Tensor) -> Tensor:
    """(height, width, in, out) -> (out, in, height, width); (in, out) -> (out, in)."""
    if not name.endswith("weight") or name.endswith("label_weight"):
        return value
    if value.ndim == 4:
        return value.permute(3, 2, 0, 1).contiguous()
    return value.T.contiguous() if value.ndim == 2 and ".apply_noise." not in name else value


def first_layer(weight: Tensor) -> Tensor:
    """A dense layer to C maps of 4x4 as a padded convolution: (Z, 16 C) -> (C, Z, 4, 4)."""
    maps = weight.reshape(weight.shape[0], -1, 4, 4)
    return maps.permute(1, 0, 2, 3).flip(2, 3).contiguous()


def levels(state: State, prefix: str) -> int:
    """Resolutions, each of which has a layer of this name."""
    return sum(name.startswith(prefix) and name.endswith("/weight") for name in state)


def numbered(name: str, number: int) -> tuple[int, str, str] | None:
    """`16x16/Conv0_up/weight` -> block of that size, module, the rest; lod names -> block too."""
    if found := re.fullmatch(r"(\d+)x\1/(\w+?)(?:_up|_down)?/(.+)", name):
        return int(found[1]).bit_length() - 3, found[2], found[3]
    if found := re.fullmatch(r"(ToRGB|FromRGB)_lod(\d+)/(.+)", name):
        return number - 1 - int(found[2]), found[1], found[3]
    return None


def pggan_name(number: int) -> Rename:
    """Of a ProGAN's generator."""

    def rename(name: str) -> str | None:
        match numbered(name, number):
            case (b, "ToRGB", part):
                return f"output{b}.{part}"
            case (b, "Conv1" | "Conv", part):
                return f"layer{2 * b + 1}.{part}"
            case (b, "Conv0" | "Dense", part):
                return f"layer{2 * b}.{part}"
        return None

    return rename


def discriminator_name(number: int) -> Rename:
    """Of the discriminator of a ProGAN or a StyleGAN, whose blocks are counted from the finest."""

    def rename(name: str) -> str | None:
        match numbered(name, number):
            case (b, "FromRGB", part):
                return f"input{number - 1 - b}.{part}"
            case (b, "Conv0" | "Conv", part):
                return f"layer{2 * (number - 1 - b)}.{part}"
            case (b, "Conv1" | "Dense0", part):
                return f"layer{2 * (number - 1 - b) + 1}.{part}"
            case (b, "Dense1", part):
                return f"layer{2 * (number - 1 - b) + 2}.{part}"
        return None

    return rename


MAPPING = {"LabelConcat/weight": "label_weight"}
LAYER = {
    "StyleMod/weight": "style.weight",
    "StyleMod/bias": "style.bias",
    "Noise/weight": "apply_noise.weight",
    "mod_weight": "style.weight",
    "mod_bias": "style.bias",
}


def mapping_name(name: str) -> str:
    """Of a layer of a mapping network."""
    dense = re.fullmatch(r"Dense(\d+)/(weight|bias)", name)
    inner = f"dense{dense[1]}.{dense[2]}" if dense else MAPPING.get(name, name)
    return f"mapping.{inner}"


def stylegan_name(number: int) -> Rename:
    """Of a StyleGAN's generator."""

    def rename(name: str) -> str | None:
        if name == "dlatent_avg":
            return "truncation.w_avg"
        part, _, rest = name.partition("/")
        if part == "mapping":
            return mapping_name(rest)
        if found := re.fullmatch(r"noise(\d+)", rest):
            return f"synthesis.layer{found[1]}.apply_noise.noise"
        match numbered(rest, number):
            case (b, "ToRGB", leaf):
                return f"synthesis.output{b}.{leaf}"
            case (b, "Conv1" | "Conv", leaf):
                return f"synthesis.layer{2 * b + 1}.{LAYER.get(leaf, leaf)}"
            case (b, "Conv0" | "Const" | "Dense", leaf):
                return f"synthesis.layer{2 * b}.{LAYER.get(leaf, leaf)}"
        return "synthesis.lod" if rest == "lod" else None

    return rename


def stylegan2_name(name: str) -> str | None:
    """Of a StyleGAN2's generator: the constant is no layer, and each block has an image."""
    if name == "dlatent_avg":
        return "truncation.w_avg"
    part, _, rest = name.partition("/")
    if part == "mapping":
        return mapping_name(rest)
    if found := re.fullmatch(r"noise(\d+)", rest):
        return f"synthesis.layer{found[1]}.noise"
    match numbered(rest, 0):
        case (b, "ToRGB", leaf):
            return f"synthesis.output{b}.{LAYER.get(leaf, leaf)}"
        case (b, "Conv1" | "Conv", leaf):
            return f"synthesis.layer{2 * b}.{LAYER.get(leaf, leaf)}"
        case (b, "Conv0", leaf):
            return f"synthesis.layer{2 * b - 1}.{LAYER.get(leaf, leaf)}"
        case (0, "Const", "const"):
            return "synthesis.early_layer.const"
    return None


def stylegan2_discriminator_name(name: str, resolution: int) -> str | None:
    """Of a StyleGAN2's discriminator."""
    top = resolution.bit_length() - 3
    if found := re.fullmatch(r"Output/(weight|bias)", name):
        return f"layer{2 * top + 2}.{found[1]}"
    match numbered(name, 0):
        case (b, "FromRGB", leaf):
            return f"input{top - b}.{leaf}"
        case (b, "Conv0" | "Conv", leaf):
            return f"layer{2 * (top - b)}.{leaf}"
        case (b, "Conv1" | "Dense0", leaf):
            return f"layer{2 * (top - b) + 1}.{leaf}"
        case (b, "Skip", leaf):
            return f"skip_layer{top - b}.{leaf}"
    return None
