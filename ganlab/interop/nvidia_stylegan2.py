"""StyleGAN2 as NVIDIA's PyTorch repositories pickle it: stylegan2-ada-pytorch and stylegan3.

A `.pkl` of `G`, `D` and `G_ema`. What no shape says is among the arguments of the constructors,
where the two repositories have other places and other defaults: the later one takes the synthesis
network's options directly, and clamps at 256. Networks are computed in float32 here, whatever
`num_fp16_res` says. Plain states by these names are read as well, or a generator's alone; arguments
may stand beside them, `init_kwargs`: network -> options.
"""

from collections.abc import Mapping
from typing import Any

from ganlab.interop.foreign import ForeignFile, checkpoint_of, unwrapped, with_prefix
from ganlab.interop.persistent import Persistent, networks
from ganlab.interop.stylegan2 import (
    DENSE,
    LAYERS,
    Dialect,
    Names,
    Part,
    import_network,
    pairs,
    sizes,
)

TITLE = "NVIDIA's StyleGAN2"
EXTENSION = ".pkl"
INITIAL = "init_kwargs"  # beside plain states: network -> arguments of its constructor
MARK = "synthesis.b4.const"
ARGUMENTS = {  # of a constructor, that no shape says -> ours
    "conv_clamp": "clamp",
    "resample_filter": "taps",
    "lr_multiplier": "mapping_lr_multiplier",
    "mbstd_group_size": "group_size",
}
LATER = "update_emas"  # a name in the source of stylegan3's networks alone
STYLED = {
    "affine.weight": "affine.weight",
    "affine.bias": "affine.bias",
    "conv.weight": "weight",
    "bias": "bias",
    "noise_strength": "noise_strength",
    "noise_const": "noise_const",
}
IMAGE = {mine: STYLED[mine] for mine in ("affine.weight", "affine.bias", "conv.weight", "bias")}
SHAPES = {  # arguments that the shapes of tensors say as well
    *("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "channel_base", "channel_max"),
    *("num_layers", "embed_features", "layer_features", "use_noise", "cmap_dim"),
    *("num_fp16_res", "use_fp16", "fp16_channels_last", "fused_modconv_default", "w_avg_beta"),
    *("architecture", "mbstd_num_channels", "freeze_layers"),
}
NESTED = ("mapping_kwargs", "synthesis_kwargs", "block_kwargs", "epilogue_kwargs")
POSITIONS = {  # arguments by position
    "generator": ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels"),
    "discriminator": ("c_dim", "img_resolution", "img_channels", "architecture"),
}


def recognises(content: object) -> bool:
    """Whether there is a generator with a constant of 4x4 inside."""
    found = networks_of(content)
    return any(MARK in found[key].state for key in ("G_ema", "G") if key in found)


def networks_of(content: object) -> dict[str, Persistent]:
    """Objects and plain states by their keys; a generator's state alone as `G_ema`."""
    if not isinstance(content, Mapping):
        return {}
    alone = any(unwrapped(str(name)) == MARK for name in content)
    told, found = content.get(INITIAL), networks(content)
    for key in ("G", "D", "G_ema"):
        state = content if alone and key == "G_ema" else content.get(key)
        if isinstance(state, Mapping):
            options = told.get(key) if isinstance(told, Mapping) else None
            named = {unwrapped(str(name)): value for name, value in state.items()}
            found[key] = Persistent(
                key, "", (), options if isinstance(options, Mapping) else {}, named
            )
    return found


def checkpoint(file: ForeignFile) -> dict[str, Any]:
    """The averaged generator, and the discriminator where the file has one.

    Raises:
        ValueError: an option or a tensor that is not built here; names it.
    """
    found = networks_of(file.content)
    name = "G_ema" if "G_ema" in found else "G"
    generator, weights = import_network(file, DIALECT, "generator", part(file, found, name))
    weights = with_prefix("generator_ema", weights)
    discriminator = None
    if "D" in found:
        discriminator, theirs = import_network(
            file, DIALECT, "discriminator", part(file, found, "D")
        )
        weights |= with_prefix("discriminator", theirs)
    beside = file.content.keys() if name in file.content else set()
    left = sorted(map(str, beside - {name, "D", INITIAL}))
    return checkpoint_of(file, TITLE, generator, discriminator, weights, left)


def part(file: ForeignFile, found: Mapping[str, Persistent], name: str) -> Part:
    """One network with what its arguments say besides shapes.

    Raises:
        ValueError: an option that is not known, or whose value is not built here.
    """
    network = found[name]
    kind = "discriminator" if name == "D" else "generator"
    state = file.tensors(network.state, name)
    return Part(name, state, options_of(file, network, name, kind))


def options_of(file: ForeignFile, network: Persistent, name: str, kind: str) -> dict[str, Any]:
    """Our options, of their arguments or of their repository's defaults."""
    positions = POSITIONS[kind]
    given = flat(dict(zip(positions, network.arguments, strict=False)) | dict(network.options))
    later = LATER in network.source
    taps = given.pop("resample_filter", [1, 3, 3, 1])
    options: dict[str, Any] = {
        "clamp": given.pop("conv_clamp", 256 if later else None),
        "taps": [*taps] if isinstance(taps, tuple) else taps,
        "mapping_lr_multiplier": given.pop("lr_multiplier", 0.01),
    }
    if "mbstd_group_size" in given:
        group = given.pop("mbstd_group_size")
        options |= {"group_size": group} if given.get("mbstd_num_channels", 1) else {}
    if (activation := given.pop("activation", "lrelu")) != "lrelu":
        raise file.wrong(f"has {name} with activation={activation!r}; lrelu is built here")
    if unknown := sorted(given.keys() - SHAPES):
        raise file.wrong(f"has {name} with the option {unknown[0]}, which is not known here")
    return options


def flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a network and of those within it, in one dict."""
    found: dict[str, Any] = {}
    for key, value in options.items():
        found |= flat(value) if key in NESTED and isinstance(value, dict) else {str(key): value}
    return found


def names(network: str, resolution: int) -> Names:
    """Our names and theirs."""
    return generator(resolution) if network == "generator" else discriminator(resolution)


def generator(resolution: int) -> Names:
    """Blocks `b<size>`; the convolution that enlarges is `conv0`."""
    found = {"const": "synthesis.b4.const", "mean_style": "mapping.w_avg"}
    found |= mapping("mapping")
    for size in sizes(resolution):
        ours, theirs = f"blocks.{size}x{size}", f"synthesis.b{size}"
        for position, number in enumerate((1,) if size == 4 else (0, 1)):
            found |= pairs(f"{ours}.convs.{position}", f"{theirs}.conv{number}", STYLED)
        found |= pairs(f"{ours}.to_image", f"{theirs}.torgb", IMAGE)
        found[f"{ours}.skip.weight"] = f"{theirs}.skip.weight"
    return found


def discriminator(resolution: int) -> Names:
    """Blocks `b<size>`, the last of which has the dense layers."""
    found = pairs("from_image", f"b{resolution}.fromrgb", DENSE) | mapping("label_mapping")
    for size in sizes(resolution):
        ours, theirs = f"blocks.{size}x{size}", f"b{size}"
        if size < resolution:
            found |= pairs(f"from_images.{size}x{size}", f"{theirs}.fromrgb", DENSE)
        if size > 4:
            found |= pairs(f"{ours}.conv0", f"{theirs}.conv0", DENSE)
            found |= pairs(f"{ours}.conv1", f"{theirs}.conv1", DENSE)
            found[f"{ours}.skip.weight"] = f"{theirs}.skip.weight"
    for ours, theirs in (("conv", "conv"), ("dense", "fc"), ("to_logit", "out")):
        found |= pairs(ours, f"b4.{theirs}", DENSE)
    return found


def mapping(ours: str) -> Names:
    """Dense layers and the embedding of labels."""
    found = pairs(f"{ours}.embed", "mapping.embed", DENSE)
    for i in range(LAYERS):
        found |= pairs(f"{ours}.affines.{i}", f"mapping.fc{i}", DENSE)
    return found


def filters(network: str, resolution: int, architecture: str) -> dict[str, float]:
    """Every module keeps its filter, those that do not resample as well."""
    found: dict[str, float] = {}
    for size in sizes(resolution):
        if network == "generator":
            block = f"synthesis.b{size}"
            parts = ["", "conv1."] if size == 4 else ["", "conv0.", "conv1."]
            parts += ["skip."] if architecture == "resnet" and size > 4 else []
        else:
            block = f"b{size}"
            parts = ["conv."] if size == 4 else ["", "conv0.", "conv1."]
            parts += ["skip."] if architecture == "resnet" and size > 4 else []
            parts += ["fromrgb."] if architecture == "skip" or size == resolution else []
        found |= {f"{block}.{part}resample_filter": 1.0 for part in parts}
    return found


DIALECT = Dialect(TITLE, names, filters)
LAYOUTS = {TITLE: tuple(generator(8).values())}
