"""MSG-GAN as its authors' BMSG-GAN saves it: a state for each network, `GAN_GEN_SHADOW` averaged.

The generator's first layer is a transposed convolution, here a padded one, turned. Convolutions to
images, from images and to the logit have He's gain there and 1 here. Blocks of the discriminator
are counted from 8x8 up; those that ran on several devices are wrapped one by one. A file is the
state of a generator, or a dict of `generator` and `discriminator`.
"""

from collections.abc import Mapping
from typing import Any

from ganlab.interop.foreign import ForeignFile, checkpoint_of, with_prefix
from ganlab.interop.matching import State, Translated, match_network
from ganlab.networks.msg_gan import Discriminator, Generator

TITLE = "BMSG-GAN's"
GAIN = 2**0.5
GENERATORS = ("GAN_GEN_SHADOW", "generator", "GAN_GEN")
DISCRIMINATORS = ("GAN_DIS", "discriminator")
LAYOUTS = {
    TITLE: tuple(
        f"{module}.{part}"
        for module in ("layers.0.conv_1", "layers.0.conv_2", "rgb_converters.0")
        for part in ("weight", "bias")
    )
}
WHOLE_BATCH = 2**20  # a group size: the deviation there is over all samples


def state_of(content: object, names: tuple[str, ...], mark: str) -> dict[str, Any] | None:
    """A network's state without the prefixes of wrappers, if one has the tensor that marks it."""
    if not isinstance(content, Mapping):
        return None
    for each in (content, *(content.get(name) for name in names)):
        if isinstance(each, Mapping) and all(isinstance(name, str) for name in each):
            state = {name.replace("module.", ""): value for name, value in each.items()}
            if mark in state:
                return state
    return None


def generator_of(content: object) -> dict[str, Any] | None:
    """The generator's state."""
    return state_of(content, GENERATORS, "rgb_converters.0.weight")


def recognises(content: object) -> bool:
    """Whether there is a generator with `rgb_converters`."""
    return generator_of(content) is not None


def checkpoint(file: ForeignFile) -> dict[str, Any]:
    """The generator, and the discriminator where the file has one.

    Raises:
        ValueError: a tensor that is missing, unknown or of another shape; names it.
    """
    node, state = read(file, generator_of(file.content) or {}, generator)
    weights = with_prefix("generator_ema", state)
    critic = state_of(file.content, DISCRIMINATORS, "rgb_to_features.0.weight")
    if critic is None:
        return checkpoint_of(file, TITLE, node, None, weights)
    other, state = read(file, critic, discriminator)
    return checkpoint_of(file, TITLE, node, other, weights | with_prefix("discriminator", state))


def read(file: ForeignFile, state: dict[str, Any], make: Any) -> tuple[dict[str, Any], State]:
    """Config and state of one network."""
    state = file.tensors(state, make.__name__)
    try:
        found: Translated = make(state)
    except KeyError as error:
        raise file.wrong(f"lacks {error.args[0]} of {TITLE}") from error
    except (IndexError, RuntimeError) as error:
        raise file.wrong(f"has tensors that do not fit each other: {error}") from error
    known = set(found.theirs.values())
    return match_network(file, TITLE, found, [name for name in state if name not in known])


def weight_and_bias(ours: str, theirs: str) -> dict[str, str]:
    """Weight and bias of a module."""
    return {f"{ours}.{part}": f"{theirs}.{part}" for part in ("weight", "bias")}


def generator(state: State) -> Translated:
    """`layers.{b}.conv_1`, `layers.{b}.conv_2` and `rgb_converters.{b}` of the b-th scale."""
    scales = sum(name.startswith("rgb_converters") for name in state) // 2
    widths = {4 * 2**b: state[f"layers.{b}.conv_2.weight"].shape[0] for b in range(scales)}
    names: dict[str, str] = {}
    for b, size in enumerate(widths):
        for i in (0, 1):
            names |= weight_and_bias(
                f"blocks.{size}x{size}.{i}.convolution", f"layers.{b}.conv_{i + 1}"
            )
        names |= weight_and_bias(f"to_image.{b}", f"rgb_converters.{b}")
    first = state["layers.0.conv_1.weight"]  # (in, out, 4, 4), of a fan-in without the kernel
    weights = {mine: state[name] for mine, name in names.items() if name in state}
    weights["blocks.4x4.0.convolution.weight"] = 4 * first.transpose(0, 1).flip(2, 3)
    weights |= {n: GAIN * v for n, v in weights.items() if n.endswith("weight") and "to_image" in n}
    options = {
        "resolution": max(widths),
        "channels": state["rgb_converters.0.weight"].shape[0],
        "latent_dim": first.shape[0],
        "widths": widths,
        "normalize": False,
        "first_norm": False,
    }
    return Translated(Generator, options, weights, names)


def discriminator(state: State) -> Translated:
    """`rgb_to_features.{i}` and `layers.{i}` of the size 8 * 2^i, and the last block."""
    scales = sum(name.startswith("rgb_to_features") for name in state) // 2
    widths = {8 * 2**i: state[f"layers.{i}.conv_1.weight"].shape[0] for i in range(scales)}
    names = weight_and_bias("from_image.convolution", f"rgb_to_features.{scales - 1}")
    for i in range(scales):
        ours = f"blocks.{scales - 1 - i}"
        names |= weight_and_bias(f"{ours}.first.convolution", f"layers.{i}.conv_1")
        names |= weight_and_bias(f"{ours}.second.0.convolution", f"layers.{i}.conv_2")
        if i < scales - 1:
            names |= weight_and_bias(f"{ours}.combine.before", f"rgb_to_features.{i}")
    names |= weight_and_bias("combine.before", "final_converter") | weight_and_bias(
        "head.3", "final_block.conv_3"
    )
    for i in (1, 2):
        names |= weight_and_bias(f"head.{i}.convolution", f"final_block.conv_{i}")
    weights = {mine: state[name] for mine, name in names.items() if name in state}
    ends = ("combine.before.weight", "head.3.weight")
    weights |= {name: GAIN * value for name, value in weights.items() if name.endswith(ends)}
    options = {
        "resolution": max(widths),
        "channels": state["rgb_to_features.0.weight"].shape[1],
        "widths": {4: state["final_block.conv_1.weight"].shape[0], **widths},
        "combine": "half",
        "group_size": WHOLE_BATCH,
        "deviation": "last",
        "image_activation": False,
    }
    return Translated(Discriminator, options, weights, names)
