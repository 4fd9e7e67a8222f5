"""ProGAN and StyleGAN as genforce and its successor Hammer keep them: `.pth` of the zoo or of runs.

Layers are counted from the latent in a generator, from the image in a discriminator; `lod` says
how many resolutions are still to grow. A pixel norm stands before each convolution there and after
it here, which is the same. A convolution that enlarges may be fused with the enlarging: its weight
then is turned by 180 degrees against that of a convolution after it, and nothing in StyleGAN's
state says so: the authors fuse from 128 px on. `fused_scale` (true, false or auto), `num_labels`
and `final_tanh` beside the networks say what no tensor does; Hammer's files have the arguments of
their constructors.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ganlab.checks.ranges import text_of
from ganlab.interop.foreign import ForeignFile, checkpoint_of, with_prefix
from ganlab.interop.genforce_stylegan2 import arguments_of, models, renamed
from ganlab.interop.matching import State, Translated, match_network
from ganlab.networks import progan, stylegan
from ganlab.nn.resample import fir_kernel

TITLE = "genforce's PGGAN or StyleGAN"
FUSED_FROM = 128  # px, with fused_scale=auto
GENERATORS = ("generator_smooth", "generator")
ARGUMENTS = {  # of Hammer's constructors -> what may stand beside the networks
    **{name: name for name in ("fused_scale", "fused_scale_res", "final_tanh")},
    "label_dim": "num_labels",
    "mbstd_groups": "group_size",
}
HAMMER = {"w_avg": "truncation.w_avg", "mapping.embedding": "mapping.label_weight"}
LEAVES = {
    "noise": "apply_noise.noise",
    "noise_strength": "apply_noise.weight",
    "filter": "blur.kernel",
}
Names = dict[str, str]  # our name of a tensor -> theirs
PARTS = ("weight", "bias")


def generator_of(content: object) -> str | None:
    """The key of the generator to use: the smoothed one where there is one."""
    found = models(content)
    return next((key for key in GENERATORS if key in found and family(found[key])), None)


def family(state: Mapping[str, Any]) -> str | None:
    """`progan` or `stylegan`, by the names in a generator's state."""
    if {"layer0.weight", "layer1.weight", "output0.weight"} <= state.keys():
        return "progan"
    styled = {"mapping.dense0.weight", "synthesis.layer0.style.weight", "synthesis.lod"}
    return "stylegan" if styled <= state.keys() else None


def recognises(content: object) -> bool:
    """Whether there is a generator with `layer0` and `output0`, or with styles and a `lod`."""
    return generator_of(content) is not None


def checkpoint(file: ForeignFile) -> dict[str, Any]:
    """The smoothed generator, and the discriminator where the file has one.

    Raises:
        ValueError: a tensor that is missing, unknown or of another shape; names it.
    """
    found, name = models(file.content), generator_of(file.content) or ""
    told = {**arguments_of(file.content, "discriminator"), **arguments_of(file.content, name)}
    told = {**renamed(told, ARGUMENTS), **file.content}
    critic = found.get("discriminator")
    return read(file, TITLE, of_hammer(found[name]), critic and of_hammer(critic), told)


def of_hammer(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state of Hammer's by genforce's names and in its shapes; one of genforce's as it is."""
    renamed_modules = {"output": f"layer{2 * count(state, 'input{}.weight')}"}
    named: dict[str, Any] = {}
    for name, value in state.items():
        module, _, leaf = name.rpartition(".")
        if leaf == "noise_strength" and isinstance(value, Tensor) and value.ndim == 4:
            value = value[0, 0] if value.shape[1] == 1 else value.flatten()  # by place, by channel
        known = {} if module.endswith("apply_noise") else LEAVES
        theirs = f"{renamed_modules.get(module, module)}.{known.get(leaf, leaf)}"
        named[HAMMER.get(name, theirs.removeprefix("."))] = value
    return named


def read(
    file: ForeignFile,
    title: str,
    generator: Mapping[str, Any],
    discriminator: Mapping[str, Any] | None,
    told: Mapping[str, Any],  # what no tensor says: fused_scale, num_labels, final_tanh, group_size
) -> dict[str, Any]:
    """A checkpoint of two states.

    Raises:
        ValueError: a tensor that is missing, unknown or of another shape; names it.
    """
    if (kind := family(generator)) is None:
        raise file.wrong(f"lacks layers of the coarsest maps of {title}")
    makers = MAKERS[kind]
    if kind == "stylegan" and told.get("final_tanh"):
        raise file.wrong("says final_tanh=true, with which a StyleGAN is not built here")
    mine = file.tensors(generator, "generator")
    critic = None if discriminator is None else file.tensors(discriminator, "discriminator")
    if kind == "progan":
        told = {
            **told,
            "num_labels": labels_of(file, critic, told),
            "fused_scale": has_fused_layers(file, mine, told),
        }
    node, weights = translate(file, title, mine, told, makers[0])
    state = with_prefix("generator_ema", weights)
    if critic is None:
        return checkpoint_of(file, title, node, None, state)
    other, weights = translate(file, title, critic, told, makers[1])
    state |= with_prefix("discriminator", weights)
    return checkpoint_of(file, title, node, other, state)


Make = Callable[[State, Mapping[str, Any]], tuple[Names, Translated]]


def translate(
    file: ForeignFile, title: str, state: State, told: Mapping[str, Any], make: Make
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Config and state of one network."""
    try:
        names, found = make(state, told)
    except KeyError as error:
        raise file.wrong(f"lacks {error.args[0]} of {title}") from error
    except (IndexError, RuntimeError) as error:
        raise file.wrong(f"has tensors that do not fit each other: {error}") from error
    kernels = {name: value for name, value in state.items() if name.endswith("blur.kernel")}
    blur = fir_kernel((1, 2, 1))
    for name, value in kernels.items():
        if value.shape[1:] != (1, 3, 3) or not torch.allclose(value, blur.expand_as(value)):
            raise file.wrong(f"has another filter in {name} than [1, 2, 1]")
    known = {*names.values(), *kernels, "lod", "synthesis.lod"}
    return match_network(file, title, found, [name for name in state if name not in known])


def labels_of(file: ForeignFile, discriminator: State | None, told: Mapping[str, Any]) -> int:
    """Classes of a ProGAN, of which its discriminator has a logit each.

    Raises:
        ValueError: the file says another number of them than a whole one.
    """
    if discriminator is not None and "lod" in discriminator:
        layers = count(discriminator, "layer{}.weight")
        last = discriminator.get(f"layer{layers - 1}.weight", torch.empty(1))
        return last.shape[0] - 1 if last.ndim else 0
    number = told.get("num_labels", 0)
    if type(number) is not int or number < 0:
        raise file.wrong(f"says num_labels={text_of(number)}, which should be a whole number")
    return number


def has_fused_layers(file: ForeignFile, state: State, told: Mapping[str, Any]) -> bool:
    """Whether a ProGAN's weights of enlarging layers are (in, out, 3, 3) and turned.

    Raises:
        ValueError: a layer is missing.
    """
    for b in range(1, count(state, "output{}.weight")):
        layers = [f"layer{2 * b + step}.weight" for step in (-1, 0, 1)]
        if missing := [name for name in layers if not state.get(name, torch.empty(())).ndim]:
            raise file.wrong(f"lacks {missing[0]} of {TITLE}")
        incoming, both, outgoing = (state[name].shape[0] for name in layers)
        if outgoing != incoming:
            return both == incoming
    return told.get("fused_scale") is True


def count(state: Mapping[str, Any], pattern: str) -> int:
    """How many names of a numbered kind there are."""
    return next(i for i in range(len(state) + 1) if pattern.format(i) not in state)


def weight_and_bias(ours: str, theirs: str) -> Names:
    """Weight and bias of a module."""
    return {f"{ours}.{part}": f"{theirs}.{part}" for part in PARTS}


def stage(state: Mapping[str, Tensor], name: str, levels: int) -> dict[str, Any]:
    """How far a network has grown: lod 0 = all levels, 1.25 = the last but one, a quarter old."""
    given = state.get(name, torch.zeros(()))
    if given.numel() != 1 or not bool(torch.isfinite(given).all()):
        raise IndexError(f"{name} of shape {list(given.shape)} is no number")
    lod = float(given)
    finest = levels - 1 - int(lod)
    if not 0 <= finest < levels:
        raise IndexError(f"{name} is {lod} and there are {levels} resolutions")
    return {"level": finest, "alpha": 1.0 - (lod - int(lod)) if finest else 1.0}


def sizes(levels: int) -> list[int]:
    """Px of the maps, coarse to fine."""
    return [4 * 2**level for level in range(levels)]


def progan_generator(state: State, told: Mapping[str, Any]) -> tuple[Names, Translated]:
    """`layer{2b}`, `layer{2b + 1}` and `output{b}` of the b-th resolution."""
    levels, names = count(state, "output{}.weight"), Names()
    for b in range(levels):
        for position in (0, 1):
            names |= weight_and_bias(
                f"blocks.{b}.{position}.convolution", f"layer{2 * b + position}"
            )
        names |= weight_and_bias(f"to_image.{b}", f"output{b}")
    weights = {mine: state[name] for mine, name in names.items() if name in state}
    if told["fused_scale"]:
        for b in range(1, levels):
            name = f"blocks.{b}.0.convolution.weight"
            weights[name] = weights[name].transpose(0, 1).flip(2, 3)
    labels = told["num_labels"]
    options = {
        "resolution": sizes(levels)[-1],
        "channels": state["output0.weight"].shape[0],
        "latent_dim": state["layer0.weight"].shape[1] - labels,
        "widths": widths(state, "layer{}.weight", [2 * b + 1 for b in range(levels)]),
        "num_labels": labels,
        "tanh": told.get("final_tanh", False),
    }
    grown = stage(state, "lod", levels)
    return names, Translated(progan.Generator, options, weights, names, grown)


def widths(state: State, pattern: str, numbers: list[int]) -> dict[int, int]:
    """Size -> channels that the layers of these numbers put out."""
    return {
        size: state[pattern.format(number)].shape[0]
        for size, number in zip(sizes(len(numbers)), numbers, strict=True)
    }


def progan_discriminator(state: State, told: Mapping[str, Any]) -> tuple[Names, Translated]:
    """`input{i}`, `layer{2i}` and `layer{2i + 1}` of the i-th resolution from the finest."""
    levels, names = count(state, "input{}.weight"), Names()
    for level in range(levels):
        i, first = levels - 1 - level, int(level == 0)  # the deviation comes before at 4x4
        names |= weight_and_bias(f"from_image.{level}.convolution", f"input{i}")
        for position in (0, 1):
            ours = f"blocks.{level}.{first + position}.convolution"
            names |= weight_and_bias(ours, f"layer{2 * i + position}")
    names |= weight_and_bias("to_logit", f"layer{2 * levels}")
    options = discriminator_options(state, levels, told.get("group_size", 16))
    options |= {"num_labels": told["num_labels"], "average_first": bool(told["fused_scale"])}
    weights = as_convolutions(state, names, levels)
    grown = stage(state, "lod", levels)
    return names, Translated(progan.Discriminator, options, weights, names, grown)


def discriminator_options(state: State, levels: int, group_size: int) -> dict[str, Any]:
    """What both discriminators are built with."""
    first = f"layer{2 * (levels - 1)}.weight"
    deviation = state[first].shape[1] - state[first].shape[0]
    return {
        "resolution": sizes(levels)[-1],
        "channels": state["input0.weight"].shape[1],
        "widths": widths(state, "input{}.weight", list(range(levels))[::-1]),
        "dense_width": state[f"layer{2 * levels - 1}.weight"].shape[0],
        "group_size": group_size if deviation else 0,
    }


def as_convolutions(state: State, names: Names, levels: int) -> State:
    """By our names, dense layers as convolutions of a 4x4 and of a 1x1 map."""
    dense, last = f"layer{2 * levels - 1}.weight", f"layer{2 * levels}.weight"
    shaped = {
        **state,
        dense: state[dense].view(state[dense].shape[0], -1, 4, 4),
        last: state[last][:, :, None, None],
    }
    return {mine: shaped[name] for mine, name in names.items() if name in shaped}


def stylegan_generator(state: State, told: Mapping[str, Any]) -> tuple[Names, Translated]:
    """A mapping of dense layers; two layers and an output a resolution."""
    levels = count(state, "synthesis.output{}.weight")
    layers = count(state, "mapping.dense{}.weight")
    constant = "synthesis.layer0.const" in state
    names = stylegan_names(levels, layers, constant)
    if "mapping.label_weight" in state:
        names["mapping.embed.weight"] = "mapping.label_weight"
    style_dim = state["synthesis.layer0.style.weight"].shape[1]
    average, dense = state["truncation.w_avg"], state["mapping.dense0.weight"]
    labels = len(state.get("mapping.label_weight", ()))
    weights = {mine: state[name] for mine, name in names.items() if name in state}
    weights = {mine: inward(mine, value, fused_from(told)) for mine, value in weights.items()}
    weights["mean_style"] = average.view(-1, style_dim).expand(2 * levels, -1).clone()
    options = {
        "resolution": sizes(levels)[-1],
        "channels": state["synthesis.output0.weight"].shape[0],
        "latent_dim": dense.shape[1] // (2 if labels else 1),
        "style_dim": style_dim,
        "widths": widths(state, "synthesis.layer{}.weight", [2 * b + 1 for b in range(levels)]),
        "mapping_layers": layers,
        "hidden_dim": dense.shape[0] if layers > 1 else None,
        "input": "const" if constant else "style",
        "num_labels": labels,
        "repeat_w": average.numel() == style_dim,
        "noise_per": "pixel"
        if state["synthesis.layer0.apply_noise.weight"].ndim == 1
        else "channel",
    }
    grown = stage(state, "synthesis.lod", levels)
    return names, Translated(stylegan.Generator, options, weights, names, grown)


def stylegan_names(levels: int, layers: int, constant: bool) -> Names:
    """Our names and theirs."""
    first = {"const": "synthesis.layer0.const"}
    names = first if constant else {"dense.weight": "synthesis.layer0.weight"}
    names["mean_style"] = "truncation.w_avg"
    for i in range(layers):
        names |= weight_and_bias(f"mapping.layers.{2 * i}", f"mapping.dense{i}")
    for b, size in enumerate(sizes(levels)):
        names |= weight_and_bias(f"to_image.{b}", f"synthesis.output{b}")
        for position in (0, 1):
            ours = f"blocks.{size}x{size}.{position}"
            theirs = f"synthesis.layer{2 * b + position}"
            names |= weight_and_bias(f"{ours}.style.affine", f"{theirs}.style")
            names[f"{ours}.bias"] = f"{theirs}.bias"
            names[f"{ours}.noise.strength"] = f"{theirs}.apply_noise.weight"
            names[f"{ours}.noise.noise_const"] = f"{theirs}.apply_noise.noise"
            if b or position:
                inner = "convolution" if position else "convolution.1"
                names[f"{ours}.{inner}.weight"] = f"{theirs}.weight"
    return names


def fused_from(told: Mapping[str, Any]) -> int:
    """Px from which on enlarging convolutions are fused."""
    given, automatic = told.get("fused_scale"), told.get("fused_scale_res")
    if isinstance(given, bool):
        return 0 if given else 2**30
    return automatic if isinstance(automatic, int) else FUSED_FROM


def inward(name: str, value: Tensor, fused_px: int) -> Tensor:
    """Their values of a StyleGAN's generator in our shapes and by our conventions."""
    if name.endswith(".convolution.1.weight") and int(name.split(".")[1].split("x")[0]) >= fused_px:
        return value.flip(2, 3)
    if name.endswith(".noise_const"):
        return value[0, 0] if value.shape[1] == 1 else value[0]
    if name == "mapping.embed.weight":
        return value.T
    return value[0] if name == "const" else value


def stylegan_discriminator(state: State, told: Mapping[str, Any]) -> tuple[Names, Translated]:
    """As ProGAN's; the bias of a halving layer is added after averaging."""
    levels, names = count(state, "input{}.weight"), Names()
    for level in range(levels):
        i = levels - 1 - level
        names |= weight_and_bias(f"from_image.{level}.0", f"input{i}")
        if level:
            names |= weight_and_bias(f"blocks.{level}.0", f"layer{2 * i}")
            names[f"blocks.{level}.2.convolution.weight"] = f"layer{2 * i + 1}.weight"
            names[f"blocks.{level}.2.bias"] = f"layer{2 * i + 1}.bias"
    for number, position in enumerate((1, 3, 5)):
        names |= weight_and_bias(f"blocks.0.{position}", f"layer{2 * (levels - 1) + number}")
    logits = state[f"layer{2 * levels}.weight"].shape[0]
    options = discriminator_options(state, levels, told.get("group_size", 4))
    options["num_labels"] = logits if logits > 1 else 0
    weights = as_convolutions(state, names, levels)
    grown = stage(state, "lod", levels)
    return names, Translated(stylegan.Discriminator, options, weights, names, grown)


MAKERS: dict[str, tuple[Make, Make]] = {
    "progan": (progan_generator, progan_discriminator),
    "stylegan": (stylegan_generator, stylegan_discriminator),
}
LAYOUTS = {
    "genforce's PGGAN": (
        *("layer0.weight", "layer0.bias", "layer1.weight", "layer1.bias"),
        *("output0.weight", "output0.bias", "lod"),
    ),
    "genforce's StyleGAN": (*stylegan_names(2, 2, constant=True).values(), "synthesis.lod"),
}
