"""ProGAN, StyleGAN and StyleGAN2 as NVIDIA's TensorFlow repositories pickle them, without it.

A `.pkl` of three networks, `G`, `D` and the averaged `Gs`. Each is an object of `tfutil.Network` or
`dnnlib.tflib.network.Network` whose state lists `variables`, names and arrays, its own and those of
its `components` (mapping, synthesis); the source text beside them is never run. genforce's files
are these variables under other names and in torch's order of axes, and are read as such: a kernel
is (height, width, in, out) here, a dense weight (in, out).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganlab.interop import genforce_progressive, genforce_stylegan2
from ganlab.interop.foreign import ForeignFile
from ganlab.interop.persistent import attributes_of
from ganlab.interop.stylegan2 import Part
from ganlab.storage.pickles import Record

TITLE = "NVIDIA's TensorFlow ProGAN, StyleGAN or StyleGAN2"
LEVELS = 4  # of components within components
NETWORK = re.compile(r"(\w+\.)*(tfutil|network|tflib)\.Network")
STYLEGAN2_TOLD = {  # of StyleGAN2's and StyleGAN2-ADA's -> ours
    "conv_clamp": "clamp",
    "mapping_lrmul": "mapping_lr_multiplier",
    "resample_kernel": "taps",
    "mbstd_group_size": "group_size",
}
TOLD = {  # arguments that no variable says -> as genforce_progressive knows them
    "fused_scale": "fused_scale",
    "mbstd_group_size": "group_size",
}
_STYLED = ("StyleMod/weight", "StyleMod/bias", "Noise/weight", "bias")
_MAPPED = ("mapping/Dense0/weight", "mapping/Dense0/bias", "dlatent_avg")
LAYOUTS = {
    "NVIDIA's TensorFlow ProGAN": tuple(
        f"{module}/{part}"
        for module in ("4x4/Dense", "4x4/Conv", "8x8/Conv0_up", "8x8/Conv1", "ToRGB_lod0")
        for part in ("weight", "bias")
    ),
    "NVIDIA's TensorFlow StyleGAN": (
        *("synthesis/4x4/Const/const", *(f"synthesis/4x4/Const/{part}" for part in _STYLED)),
        *("synthesis/8x8/Conv0_up/weight", "synthesis/8x8/Conv1/weight", "synthesis/noise0"),
        *("synthesis/ToRGB_lod0/weight", "synthesis/ToRGB_lod0/bias", *_MAPPED),
    ),
    "NVIDIA's TensorFlow StyleGAN2": (
        *("synthesis/4x4/Const/const", "synthesis/noise0", *_MAPPED),
        *(
            f"synthesis/{module}/{part}"
            for module in ("4x4/Conv", "8x8/Conv0_up", "8x8/Conv1", "4x4/ToRGB")
            for part in ("weight", "bias", "mod_weight", "mod_bias")
        ),
    ),
}
State = dict[str, Tensor]
Rename = Callable[[str], str | None]  # their name of a variable -> genforce's


def variables(file: ForeignFile, network: object, part: str = "") -> State:
    """All variables of a network and its components; those of a component after its name.

    Raises:
        ValueError: one that is no array of numbers, two of one name, or parts without an end.
    """
    if part.count("/") > LEVELS:
        raise file.wrong(f"has components within components: {part}")
    state = attributes_of(network)
    found: State = {}
    for name, value in pairs(state.get("variables")):
        if name in found:
            raise file.wrong(f"has two variables called {part}{name}")
        try:
            found[name] = torch.as_tensor(np.asarray(value, dtype=np.float32))
        except (TypeError, ValueError) as error:
            raise file.wrong(f"has {part}{name}, which is no array of numbers") from error
    components = state.get("components")
    for name, inner in (components if isinstance(components, dict) else {}).items():
        inside = variables(file, inner, f"{part}{name}/")
        if twice := [f"{name}/{key}" for key in inside if f"{name}/{key}" in found]:
            raise file.wrong(f"has two variables called {part}{twice[0]}")
        found |= {f"{name}/{key}": value for key, value in inside.items()}
    return found


def pairs(listed: object) -> list[tuple[str, Any]]:
    """Names and values in a list of variables; what is no such pair is none."""
    found = listed if isinstance(listed, list | tuple) else ()
    return [
        (pair[0], pair[1])
        for pair in found
        if isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str)
    ]


def names(network: object, levels: int = LEVELS) -> list[str]:
    """Those of the variables of whatever record may be a network, and of so many levels in it."""
    state = attributes_of(network)
    found = [name for name, _ in pairs(state.get("variables"))]
    components = state.get("components")
    for name, inner in (components if levels and isinstance(components, dict) else {}).items():
        found += [f"{name}/{each}" for each in names(inner, levels - 1)]
    return found


def networks(content: object) -> list[Record]:
    """G, D and Gs, or nothing where the content is something else."""
    if not isinstance(content, tuple | list) or len(content) != 3:
        return []
    return [each for each in content if isinstance(each, Record) and NETWORK.fullmatch(each.name)]


def recognises(content: object) -> bool:
    """Whether it is three networks of variables."""
    return len(networks(content)) == 3


def checkpoint(file: ForeignFile) -> dict[str, Any]:
    """The averaged generator and the discriminator.

    Raises:
        ValueError: networks of another kind, or a variable that is missing, unknown, there twice or
            of another shape; names it, mostly as genforce does.
    """
    _, critic, smoothed = networks(file.content)
    g, d = variables(file, smoothed), variables(file, critic)
    if "synthesis/4x4/Const/const" in g and "synthesis/4x4/Conv/mod_weight" in g:
        return stylegan2(file, smoothed, critic)
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
    if require_variable(file, d, "4x4/Dense1/weight", 2).shape[1] > 1:
        raise file.wrong("is a ProGAN with labels, which TensorFlow's normalizes otherwise")
    title = "NVIDIA's TensorFlow ProGAN"
    fused = "8x8/Conv0_up/weight" in g
    number = levels(g, "ToRGB_lod")
    state = rename_variables(file, g, lambda name: place(PROGRESSIVE, name, number))
    state["layer0.weight"] = first_layer(file, g, "4x4/Dense/weight")
    critic = rename_variables(file, d, lambda name: critic_name(name, number))
    told = {**told, "fused_scale": fused, "num_labels": 0}
    return genforce_progressive.read(file, title, state, critic, told)


def stylegan(file: ForeignFile, g: State, d: State, told: Mapping[str, Any]) -> dict[str, Any]:
    """StyleGAN."""
    title = "NVIDIA's TensorFlow StyleGAN"
    number = levels(g, "synthesis/ToRGB_lod")
    state = rename_variables(file, g, lambda name: stylegan_name(name, number))
    if (dense := "synthesis/4x4/Dense/weight") in g:
        state["synthesis.layer0.weight"] = first_layer(file, g, dense)
    critic = rename_variables(file, d, lambda name: critic_name(name, number))
    return genforce_progressive.read(file, title, state, critic, told)


def stylegan2(file: ForeignFile, smoothed: Record, critic: Record) -> dict[str, Any]:
    """StyleGAN2 and StyleGAN2-ADA, by the names of genforce's own reader."""
    g, d = variables(file, smoothed), variables(file, critic)
    sizes = [int(name.split("x")[0]) for name in d if re.match(r"\d+x\d+/", name)]
    if not sizes:
        raise file.wrong("has a discriminator without a variable of any resolution, as 4x4/Conv")
    number = max(sizes).bit_length() - 2  # blocks from 4x4 on
    parts = [
        Part(
            "generator_smooth", rename_variables(file, g, stylegan2_name), told_of(file, smoothed)
        ),
        Part(
            "discriminator",
            rename_variables(file, d, lambda name: critic_name(name, number)),
            told_of(file, critic),
        ),
    ]
    found = genforce_stylegan2.read(file, parts)
    found["recipe"]["source"]["format"] = "NVIDIA's TensorFlow StyleGAN2"
    return found


def told_of(file: ForeignFile, network: Record) -> dict[str, Any]:
    """Our options of a StyleGAN2, of what it was built with.

    Raises:
        ValueError: another activation than is built here.
    """
    given = options(network)
    for key in ("nonlinearity", "mapping_nonlinearity"):
        if given.get(key, "lrelu") != "lrelu":
            raise file.wrong(f"has a network with {key}={given[key]!r}; lrelu is built here")
    return genforce_stylegan2.renamed(given, STYLEGAN2_TOLD)


def require_variable(file: ForeignFile, state: State, name: str, ndim: int) -> Tensor:
    """A variable with so many axes; raises ValueError where there is none."""
    if name not in state or state[name].ndim != ndim:
        shape = f" of {ndim} axes, but of {tuple(state[name].shape)}" if name in state else ""
        raise file.wrong(f"lacks the variable {name}{shape}")
    return state[name]


def rename_variables(file: ForeignFile, state: State, rename: Rename) -> State:
    """By genforce's names and in torch's order of axes; what has no name there keeps its own.

    Raises:
        ValueError: two variables have one name there.
    """
    before: dict[str, str] = {}
    for name in state:
        there = rename(name) or name
        if there in before:
            raise file.wrong(f"has both {before[there]} and {name}, which are one layer's")
        before[there] = name
    return {there: transpose(there, state[name]) for there, name in before.items()}


def transpose(name: str, value: Tensor) -> Tensor:
    """(height, width, in, out) -> (out, in, height, width); (in, out) -> (out, in)."""
    if not name.endswith("weight") or name.endswith("label_weight"):
        return value
    if value.ndim == 4:
        return value.permute(3, 2, 0, 1).contiguous()
    return value.T.contiguous() if value.ndim == 2 and ".apply_noise." not in name else value


def first_layer(file: ForeignFile, state: State, name: str) -> Tensor:
    """A dense layer to C maps of 4x4 as a padded convolution: (Z, 16 C) -> (C, Z, 4, 4)."""
    weight = require_variable(file, state, name, 2)
    if weight.shape[1] % 16:
        raise file.wrong(f"has {name} of {tuple(weight.shape)}, which is no layer to maps of 4x4")
    maps = weight.reshape(weight.shape[0], -1, 4, 4)
    return maps.permute(1, 0, 2, 3).flip(2, 3).contiguous()


def levels(state: State, prefix: str) -> int:
    """Resolutions, each of which has a layer of this name."""
    return sum(name.startswith(prefix) and name.endswith("/weight") for name in state)


def split_name(name: str, number: int) -> tuple[int, str, str] | None:
    """`16x16/Conv0_up/weight` -> block of that size, module, the rest; lod names -> block too."""
    if found := re.fullmatch(r"(\d+)x\1/(\w+?)(?:_up|_down)?/(.+)", name):
        return int(found[1]).bit_length() - 3, found[2], found[3]
    if found := re.fullmatch(r"(ToRGB|FromRGB)_lod(\d+)/(.+)", name):
        return number - 1 - int(found[2]), found[1], found[3]
    return None


Places = Mapping[str, tuple[str, int, int]]  # module -> kind of layer, how many a block, the first
PROGRESSIVE: Places = {
    "ToRGB": ("output", 1, 0),
    **dict.fromkeys(("Conv0", "Dense", "Const"), ("layer", 2, 0)),
    **dict.fromkeys(("Conv1", "Conv"), ("layer", 2, 1)),
}
STYLEGAN2: Places = {
    "ToRGB": ("output", 1, 0),
    "Conv0": ("layer", 2, -1),
    **dict.fromkeys(("Conv1", "Conv"), ("layer", 2, 0)),
}
CRITIC: Places = {
    "FromRGB": ("input", 1, 0),
    "Skip": ("skip_layer", 1, 0),
    **dict.fromkeys(("Conv0", "Conv"), ("layer", 2, 0)),
    **dict.fromkeys(("Conv1", "Dense0"), ("layer", 2, 1)),
    "Dense1": ("layer", 2, 2),
}
MAPPING = {
    "LabelConcat/weight": "label_weight",
    "LabelEmbed/weight": "LabelEmbed.weight",
    "LabelEmbed/bias": "LabelEmbed.bias",
}
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


def place(places: Places, name: str, number: int, finest_first: bool = False) -> str | None:
    """genforce's name of a variable in a block; None where there is no such module."""
    found = split_name(name, number)
    if found is None or found[1] not in places:
        return None
    (kind, step, first), block = places[found[1]], found[0]
    if finest_first:
        block = number - 1 - block
    return f"{kind}{step * block + first}.{LAYER.get(found[2], found[2])}"


def generator_name(name: str, places: Places, number: int) -> str | None:
    """Of a StyleGAN's or StyleGAN2's generator."""
    if name == "dlatent_avg":
        return "truncation.w_avg"
    part, _, rest = name.partition("/")
    if part == "mapping":
        return mapping_name(rest)
    placed = place(places, rest, number)
    return f"synthesis.{placed}" if placed else None


def stylegan_name(name: str, number: int) -> str | None:
    """Of a StyleGAN's generator."""
    if found := re.fullmatch(r"synthesis/noise(\d+)", name):
        return f"synthesis.layer{found[1]}.apply_noise.noise"
    return "synthesis.lod" if name == "synthesis/lod" else generator_name(name, PROGRESSIVE, number)


def stylegan2_name(name: str) -> str | None:
    """Of a StyleGAN2's generator: the constant is no layer, and each block has an image."""
    if found := re.fullmatch(r"synthesis/noise(\d+)", name):
        return f"synthesis.layer{found[1]}.noise"
    if name == "synthesis/4x4/Const/const":
        return "synthesis.early_layer.const"
    return generator_name(name, STYLEGAN2, 0)


def critic_name(name: str, number: int) -> str | None:
    """Of a discriminator, whose blocks are counted from the finest."""
    if found := re.fullmatch(r"Output/(weight|bias)", name):
        return f"layer{2 * number}.{found[1]}"
    if found := re.fullmatch(r"(LabelEmbed|Mapping\d+)/(weight|bias)", name):
        return f"{found[1].replace('Mapping', 'mapping')}.{found[2]}"
    return place(CRITIC, name, number, finest_first=True)
