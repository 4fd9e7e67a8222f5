"""StyleGAN3 as NVIDIA's stylegan3 repository pickles it: configs T and R, and their variations.

A `.pkl` of `G`, `D` and `G_ema`. Layers are called by number, size and channels,
`synthesis.L0_36_512`, the last of which makes the image. What no shape says (cut-offs, clamp, the
scale of the image) is among the constructor's arguments. Filters are computed here and compared
with the file's, never taken. The discriminator is StyleGAN2's.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganlab.interop.foreign import ForeignFile, check_options, checkpoint_of, with_prefix
from ganlab.interop.matching import Translated, match_network
from ganlab.interop.nvidia_stylegan2 import DIALECT, flat, part
from ganlab.interop.persistent import Persistent, networks
from ganlab.interop.stylegan2 import import_network
from ganlab.networks.stylegan3 import Generator

TITLE = "NVIDIA's StyleGAN3"
LAYER = re.compile(r"synthesis\.(L(\d+)_(\d+)_(\d+))\.weight")
POSITIONS = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
OPTIONS = {  # theirs -> ours
    "num_critical": "num_critical",
    "first_cutoff": "first_cutoff",
    "first_stopband": "first_stopband",
    "last_stopband_rel": "last_stopband_rel",
    "margin_size": "margin",
    "output_scale": "output_scale",
    "filter_size": "filter_taps",
    "lrelu_upsampling": "upsampling",
    "lr_multiplier": "mapping_lr_multiplier",
    "conv_clamp": "clamp",
}
SHAPES = {  # arguments that the shapes of tensors say, or that do not act here
    *(*POSITIONS, "channel_base", "channel_max", "num_layers", "conv_kernel"),
    *("use_radial_filters", "num_fp16_res", "magnitude_ema_beta", "w_avg_beta"),
}
STYLED = {"bias": "bias", "affine.weight": "affine.weight", "affine.bias": "affine.bias"}
INPUT = {
    "weight": "weight",
    "affine.weight": "affine.weight",
    "affine.bias": "affine.bias",
    "transform": "transform",
    "frequencies": "freqs",
    "phases": "phases",
}
FILTERS = ("up_filter", "down_filter")


def recognises(content: object) -> bool:
    """Whether there is a generator that begins with frequencies."""
    found = networks(content)
    return any(
        "synthesis.input.freqs" in found[key].state for key in ("G_ema", "G") if key in found
    )


def checkpoint(file: ForeignFile) -> dict[str, Any]:
    """The averaged generator, and the discriminator where the file has one.

    Raises:
        ValueError: an option or a tensor that is not built here; names it.
    """
    found = networks(file.content)
    name = "G_ema" if "G_ema" in found else "G"
    generator, state = read_generator(file, found[name])
    weights: dict[str, Any] = with_prefix("generator_ema", state)
    discriminator = None
    if "D" in found:
        discriminator, theirs = import_network(
            file, DIALECT, "discriminator", part(file, found, "D")
        )
        weights |= with_prefix("discriminator", theirs)
    left = sorted({str(key) for key in file.content} - {name, "D"})
    return checkpoint_of(file, TITLE, generator, discriminator, weights, left)


def read_generator(file: ForeignFile, network: Persistent) -> tuple[dict[str, Any], dict[str, Any]]:
    """Config and state of the generator.

    Raises:
        ValueError: names an option or a tensor.
    """
    state = network.state
    layers = sorted(filter(None, map(LAYER.fullmatch, state)), key=lambda m: int(m[2]))
    names = generator_names([layer[1] for layer in layers], len(state))
    try:
        options = shape_options(state, layers) | told_options(file, network)
        check_options(file, Generator, options)
        filters = filters_of(file, state, layers, options)
    except (KeyError, IndexError) as error:
        raise file.wrong(f"lacks {error.args[0]} of {TITLE}") from error
    weights = {mine: state[theirs] for mine, theirs in names.items() if theirs in state}
    known = {*names.values(), *filters}
    unused = [name for name in state if name not in known]
    return match_network(file, TITLE, Translated(Generator, options, weights, names), unused)


def generator_names(layers: list[str], mapping_layers: int) -> dict[str, str]:
    """Our names and theirs, of all there can be."""
    names = layer_names(layers)
    names |= {f"input.{mine}": f"synthesis.input.{theirs}" for mine, theirs in INPUT.items()}
    names["mean_style"] = "mapping.w_avg"
    for mine in ("weight", "bias"):
        names[f"mapping.embed.{mine}"] = f"mapping.embed.{mine}"
        for i in range(mapping_layers):
            names[f"mapping.affines.{i}.{mine}"] = f"mapping.fc{i}.{mine}"
    return names


def layer_names(layers: list[str]) -> dict[str, str]:
    """Our names and theirs, of the layers and of the one that makes the image."""
    names: dict[str, str] = {}
    for i, layer in enumerate(layers):
        last = i == len(layers) - 1
        ours, theirs = "to_image" if last else f"convs.{i}", f"synthesis.{layer}"
        names |= {f"{ours}.{mine}": f"{theirs}.{other}" for mine, other in STYLED.items()}
        names[f"{ours}.conv.weight" if last else f"{ours}.weight"] = f"{theirs}.weight"
        magnitude = "magnitude" if last else f"{ours}.magnitude"
        names[f"{magnitude}.mean_square"] = f"{theirs}.magnitude_ema"
    return names


def shape_options(state: Mapping[str, Tensor], layers: list[re.Match[str]]) -> dict[str, Any]:
    """What our generator is built with, by the shapes of its tensors."""
    weights = [state[layer[0]] for layer in layers]
    embedding = state.get("mapping.embed.weight", torch.empty(0, 0))
    downs = [state.get(f"synthesis.{layer[1]}.down_filter", torch.empty(0)) for layer in layers]
    return {
        "resolution": int(layers[-1][3]),
        "channels": weights[-1].shape[0],
        "latent_dim": state["mapping.fc0.weight"].shape[1] - embedding.shape[0],
        "style_dim": state["mapping.w_avg"].shape[0],
        "widths": [weight.shape[0] for weight in weights[:-1]],
        "kernel_size": weights[0].shape[-1],
        "radial": any(down.ndim == 2 for down in downs),
        "num_layers": len(layers) - 1,
        "mapping_layers": sum(f"mapping.fc{i}.weight" in state for i in range(len(state))),
        "num_labels": embedding.shape[1],
    }


def told_options(file: ForeignFile, network: Persistent) -> dict[str, Any]:
    """What its arguments say besides, their defaults being ours.

    Raises:
        ValueError: an argument that is not known.
    """
    given = flat(network.options)
    if unknown := sorted(given.keys() - SHAPES - OPTIONS.keys()):
        raise file.wrong(f"has the option {unknown[0]}, which is not known here")
    return {ours: given[theirs] for theirs, ours in OPTIONS.items() if theirs in given}


def filters_of(
    file: ForeignFile,
    state: Mapping[str, Tensor],
    layers: list[re.Match[str]],
    options: Mapping[str, Any],
) -> set[str]:
    """Names of the filters, once they are those computed here.

    Raises:
        ValueError: another filter or size than the options make; names it.
    """
    names: set[str] = set()
    try:
        with torch.random.fork_rng(devices=[]):
            activations = [
                layer.activation for layer in Generator(**options).named_convs().values()
            ]
    except (ValueError, RuntimeError, TypeError) as error:
        raise file.wrong(f"has a network that is not built here: {error}") from error
    for layer, activation in zip(layers, activations, strict=False):  # the image has no filters
        if int(layer[3]) != activation.size:
            raise file.wrong(f"has {layer[1]}, where its options make {activation.size} px of it")
        for leaf, computed in zip(
            FILTERS, (activation.up_filter, activation.down_filter), strict=True
        ):
            name = f"synthesis.{layer[1]}.{leaf}"
            value = state.get(name, torch.ones(1))
            if value.shape != computed.shape or not torch.allclose(value, computed, atol=1e-6):
                raise file.wrong(f"has another filter in {name} than its options make")
            names.add(name)
    return names


LAYOUTS = {TITLE: tuple(generator_names(["L0_36_8", "L1_16_3"], 2).values())}
