"""StyleGAN2 as rosinality/stylegan2-pytorch keeps it: `g_ema`, `g` and `d`, plain state dicts.

Converted files have the mean style beside the networks, `latent_avg`; files of a training have
arguments and optimizers instead, and the mean is taken here of some thousand styles. Older files
lack the planes of noise, which that project draws anew for every image.
"""

from typing import Any

from torch import Tensor

from ganlab.interop import foreign
from ganlab.interop.foreign import ForeignFile, checkpoint_of, with_prefix
from ganlab.interop.stylegan2 import (
    DENSE,
    LAYERS,
    Dialect,
    Names,
    Part,
    State,
    import_network,
    pairs,
    sizes,
)

TITLE = "rosinality's StyleGAN2"
EXTENSION = ".pt"
MARK = "conv1.conv.modulation.weight"
STYLED = {
    "affine.weight": "conv.modulation.weight",
    "affine.bias": "conv.modulation.bias",
    "conv.weight": "conv.weight",
    "bias": "activate.bias",
    "noise_strength": "noise.weight",
}
IMAGE = {
    "affine.weight": "conv.modulation.weight",
    "affine.bias": "conv.modulation.bias",
    "conv.weight": "conv.weight",
    "bias": "bias",
}
BIASED = {"weight": "0.weight", "bias": "1.bias"}  # of a convolution and its activation


def generator_of(content: object) -> str | None:
    """The key of the generator to use; empty where the content is the generator itself."""
    if not isinstance(content, dict):
        return None
    for key in ("g_ema", "g"):
        if isinstance(content.get(key), dict) and MARK in unwrap(content[key]):
            return key
    return "" if MARK in unwrap(content) else None


def unwrap(state: Any) -> dict[str, Any]:
    """Names without the prefixes of wrappers."""
    return {foreign.unwrapped(str(name)): value for name, value in state.items()}


def recognises(content: object) -> bool:
    """Whether there is a generator whose first layer has a `modulation`."""
    return generator_of(content) is not None


def checkpoint(file: ForeignFile) -> dict[str, Any]:
    """The averaged generator, and the discriminator where the file has one.

    Raises:
        ValueError: a tensor that is missing, unknown or of another shape; names it.
    """
    name = generator_of(file.content) or ""
    whole = file.content if name else {"": file.content}
    state: State = file.tensors(unwrap(whole[name]), name)
    if isinstance(whole.get("latent_avg"), Tensor):
        state = {**state, "latent_avg": whole["latent_avg"].reshape(-1)}
    generator, weights = import_network(file, DIALECT, "generator", Part(name or "g", state))
    weights, discriminator = with_prefix("generator_ema", weights), None
    if isinstance(whole.get("d"), dict):
        part = Part("d", file.tensors(unwrap(whole["d"]), "d"))
        discriminator, theirs = import_network(file, DIALECT, "discriminator", part)
        weights |= with_prefix("discriminator", theirs)
    left = sorted(map(str, whole.keys() - {name, "d", "latent_avg"}))
    return checkpoint_of(file, TITLE, generator, discriminator, weights, left)


def names(network: str, resolution: int) -> Names:
    """Our names and theirs."""
    return generator(resolution) if network == "generator" else discriminator(resolution)


def generator(resolution: int) -> Names:
    """Layers in one list, two a resolution; noise in a list of its own."""
    found = {"const": "input.input", "mean_style": "latent_avg"}
    for i in range(LAYERS):
        found |= pairs(f"mapping.affines.{i}", f"style.{i + 1}", DENSE)
    for i, size in enumerate(sizes(resolution)):
        ours = f"blocks.{size}x{size}"
        layers = ["conv1"] if size == 4 else [f"convs.{2 * i - 2}", f"convs.{2 * i - 1}"]
        for position, theirs in enumerate(layers):
            found |= pairs(f"{ours}.convs.{position}", theirs, STYLED)
            number = max(0, 2 * i - 1) + position
            found[f"{ours}.convs.{position}.noise_const"] = f"noises.noise_{number}"
        image = "to_rgb1" if size == 4 else f"to_rgbs.{i - 1}"
        found |= pairs(f"{ours}.to_image", image, IMAGE)
    return found


def discriminator(resolution: int) -> Names:
    """`convs.0` from the image, then a block a resolution, fine to coarse."""
    found = pairs("from_image", "convs.0", BIASED)
    for i, size in enumerate(reversed(sizes(resolution)[1:])):
        ours, theirs = f"blocks.{size}x{size}", f"convs.{i + 1}"
        found |= pairs(f"{ours}.conv0", f"{theirs}.conv1", BIASED)
        found |= pairs(f"{ours}.conv1", f"{theirs}.conv2", {"weight": "1.weight", "bias": "2.bias"})
        found[f"{ours}.skip.weight"] = f"{theirs}.skip.1.weight"
    found |= pairs("conv", "final_conv", BIASED) | pairs("dense", "final_linear.0", DENSE)
    return found | pairs("to_logit", "final_linear.1", DENSE)


def filters(network: str, resolution: int, architecture: str) -> dict[str, float]:
    """Filters of up-sampling are kept times 4."""
    del architecture  # each network has one
    steps = range(len(sizes(resolution)) - 1)
    if network == "generator":
        return {
            name: 4.0
            for i in steps
            for name in (f"convs.{2 * i}.conv.blur.kernel", f"to_rgbs.{i}.upsample.kernel")
        }
    return {
        name: 1.0
        for i in steps
        for name in (f"convs.{i + 1}.conv2.0.kernel", f"convs.{i + 1}.skip.0.kernel")
    }


def inward(name: str, value: Tensor) -> Tensor:
    """Without the leading dimensions of one that broadcasting takes."""
    if name.endswith(".noise_const"):
        return value.squeeze(0).squeeze(0)
    if name.endswith(".to_image.bias"):
        return value.squeeze(0).squeeze(-1).squeeze(-1)
    whole = name == "const" or name.endswith((".conv.weight", ".noise_strength"))
    return value.squeeze(0) if whole else value


def outward(name: str, value: Tensor) -> Tensor:
    """With them."""
    if name.endswith(".noise_const"):
        return value[None, None]
    if name.endswith(".to_image.bias"):
        return value[None, :, None, None]
    whole = name == "const" or name.endswith((".conv.weight", ".noise_strength"))
    return value[None] if whole else value


OPTIONAL = ("mean_style", "mean_path_length", ".noise_const")
DIALECT = Dialect(TITLE, names, filters, inward, outward, optional=OPTIONAL)
LAYOUTS = {TITLE: tuple(generator(8).values())}
