"""StyleGAN2 as genforce and its successor Hammer keep it: `.pth` of the zoo, of runs, or bare.

Both name layers alike. genforce stores what TensorFlow's networks had: biases of styles without the
1 that is added to them, and convolutions that enlarge turned by 180 degrees against ours. Hammer
stores NVIDIA's. Labels: genforce normalizes latent and label together, and its discriminator
answers the sum of logits times label; its StyleGAN2-ADA and Hammer embed labels as NVIDIA does and
project. What no shape says, Hammer's files have among the arguments of the constructors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from ganlab.checks.ranges import text_of
from ganlab.interop.foreign import ForeignFile, checkpoint_of, unwrapped, with_prefix
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

TITLE = "genforce's StyleGAN2"
ADA = "genforce's StyleGAN2-ADA"
HAMMER = "Hammer's StyleGAN2"
EXTENSION = ".pth"
EMBEDDED = {ADA: "LabelEmbed", HAMMER: "embedding"}  # of labels, in both networks
INITIAL = "model_kwargs_init"  # in a file of Hammer's: network -> arguments of its constructor
MARK = "synthesis.early_layer.const"
STYLED = {
    "affine.weight": "style.weight",
    "affine.bias": "style.bias",
    "conv.weight": "weight",
    "bias": "bias",
    "noise_strength": "noise_strength",
    "noise_const": "noise",
}
IMAGE = {mine: STYLED[mine] for mine in ("affine.weight", "affine.bias", "conv.weight", "bias")}
CLAMP = "conv_clamp"
ARGUMENTS = {  # of a constructor, that no shape says -> ours
    CLAMP: "clamp",
    "mapping_lr_mul": "mapping_lr_multiplier",
    "filter_kernel": "taps",
    "mbstd_groups": "group_size",
}
BUILT: Mapping[str, Any] = {  # arguments that no shape says -> the only value that is built here
    **dict.fromkeys(("repeat_w", "demodulate", "normalize_z", "normalize_embedding"), True),
    **dict.fromkeys(("use_wscale", "mapping_use_wscale", "embedding_use_wscale"), True),
    **dict.fromkeys(("wscale_gain", "mapping_wscale_gain", "embedding_wscale_gian"), 1.0),
    **dict.fromkeys(("lr_mul", "embedding_lr_mul"), 1.0),
    **dict.fromkeys(("final_tanh", "normalize_embedding_latent"), False),
    "noise_type": "spatial",
    "init_res": 4,
}


def models(content: object) -> dict[str, dict[str, Any]]:
    """The state dicts of the zoo's, a run's or a bare file, without prefixes of wrappers."""
    if not isinstance(content, dict):
        return {}
    inner = content.get("models")
    found = inner if isinstance(inner, dict) else content
    if any(isinstance(value, Tensor) for value in found.values()):
        found = {"generator_smooth": found}
    return {
        str(key): {unwrapped(str(name)): each for name, each in value.items()}
        for key, value in found.items()
        if isinstance(value, dict)
    }


def generator_of(content: object) -> str | None:
    """The key of the generator to use: the smoothed one where there is one."""
    found = models(content)
    keys = [key for key in ("generator_smooth", "generator") if key in found]
    return next((key for key in keys if is_styled(found[key])), None)


def is_styled(state: Mapping[str, Any]) -> bool:
    """Whether a generator's constant is modulated, as StyleGAN2's and no other's."""
    return MARK in state and "synthesis.layer0.weight" in state


def recognises(content: object) -> bool:
    """Whether there is a generator with an `early_layer` and a convolution after it."""
    return generator_of(content) is not None


def checkpoint(file: ForeignFile) -> dict[str, Any]:
    """The smoothed generator, and the discriminator where the file has one that is built here.

    Raises:
        ValueError: a tensor that is missing, unknown or of another shape, or an argument that is
            not built here; names it.
    """
    found, name = models(file.content), generator_of(file.content) or ""
    kept = [name, *(["discriminator"] if "discriminator" in found else [])]
    left = {*found, *map(str, file.content)} - {*kept, "models", INITIAL}
    left = left if file.content.keys() & {name, "models"} else set()
    if clamped_images(arguments_of(file.content, "discriminator")):
        left.add("discriminator, whose image at 4x4 is clamped")
        kept = [name]
    parts = [Part(key, file.tensors(found[key], key), options_of(file, key)) for key in kept]
    return read(file, parts, sorted(left))


def read(
    file: ForeignFile,
    parts: Sequence[Part],  # the generator, and a discriminator where there is one
    left: Sequence[str] = (),  # what else the file holds, by name
) -> dict[str, Any]:
    """A checkpoint of two states; raises as `checkpoint`."""
    dialect = DIALECTS[title_of(parts[0].state)]
    together = {"label_norm": "together"} if "mapping.label_weight" in parts[0].state else {}
    first = replace(parts[0], options={**together, **parts[0].options})
    generator, weights = import_network(file, dialect, "generator", first)
    weights, discriminator = with_prefix("generator_ema", weights), None
    for part in parts[1:]:
        usual = {} if dialect.title == TITLE else {"mapping_lr_multiplier": 0.1}
        part = replace(part, options={**usual, **part.options})
        discriminator, theirs = import_network(file, dialect, "discriminator", part)
        weights |= with_prefix("discriminator", theirs)
    return checkpoint_of(file, dialect.title, generator, discriminator, weights, left)


def clamped_images(arguments: Mapping[str, Any]) -> bool:
    """Whether a discriminator limits what it reads at 4x4, as NVIDIA's, which is ours, does not."""
    return arguments.get("architecture") == "skip" and arguments.get(CLAMP) is not None


def title_of(state: Mapping[str, Any]) -> str:
    """Whose generator it is, by the names that are one project's alone."""
    if "w_avg" in state:
        return HAMMER
    return ADA if "mapping.LabelEmbed.weight" in state else TITLE


def arguments_of(content: Mapping[Any, Any], name: str) -> Mapping[str, Any]:
    """What a network of Hammer's was built with; empty where the file does not say."""
    every = content.get(INITIAL)
    given = every.get(name) if isinstance(every, dict) else None
    return given if isinstance(given, dict) else {}


def options_of(file: ForeignFile, name: str) -> dict[str, Any]:
    """Our options of a network, of its constructor's arguments.

    Raises:
        ValueError: one whose value is not built here; names it.
    """
    given = arguments_of(file.content, name)
    for key, built in BUILT.items():
        value = given.get(key, built)
        if not isinstance(value, bool | int | float | str) or value != built:
            raise file.wrong(f"has {name} with {key}={text_of(value)}; {built} is built here")
    return renamed(given, ARGUMENTS)


def renamed(given: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Those of a network's arguments that have a name here, tuples of them as lists."""
    found = {ours: given[theirs] for theirs, ours in names.items() if theirs in given}
    return {name: [*each] if isinstance(each, tuple) else each for name, each in found.items()}


def names(title: str, network: str, resolution: int) -> Names:
    """Our names and theirs."""
    make = generator if network == "generator" else discriminator
    return make(resolution, title)


def generator(resolution: int, title: str) -> Names:
    """Layer n is our n-th; the image of block b is `output<b>`."""
    hammer = title == HAMMER
    found = {"const": MARK, "mean_style": "w_avg" if hammer else "truncation.w_avg"}
    if title == TITLE:
        found["mapping.embed.weight"] = "mapping.label_weight"
    else:
        found |= pairs("mapping.embed", f"mapping.{EMBEDDED[title]}", DENSE)
    for i in range(LAYERS):
        found |= pairs(f"mapping.affines.{i}", f"mapping.dense{i}", DENSE)
    for b, size in enumerate(sizes(resolution)):
        ours = f"blocks.{size}x{size}"
        for position, number in enumerate([0] if b == 0 else [2 * b - 1, 2 * b]):
            found |= pairs(f"{ours}.convs.{position}", f"synthesis.layer{number}", STYLED)
        found |= pairs(f"{ours}.to_image", f"synthesis.output{b}", IMAGE)
        if hammer:
            found[f"{ours}.skip.weight"] = f"synthesis.residual{b}.weight"
    return found


def discriminator(resolution: int, title: str) -> Names:
    """Blocks are counted from the finest."""
    found, hammer = Names(), title == HAMMER
    descending = sizes(resolution)[::-1]
    for i, size in enumerate(descending):
        ours = "from_image" if i == 0 else f"from_images.{size}x{size}"
        found |= pairs(ours, f"input{i}", DENSE)
        if size > 4:
            block = f"blocks.{size}x{size}"
            found |= pairs(f"{block}.conv0", f"layer{2 * i}", DENSE)
            found |= pairs(f"{block}.conv1", f"layer{2 * i + 1}", DENSE)
            skip = f"residual{i}" if hammer else f"skip_layer{i}"
            found[f"{block}.skip.weight"] = f"{skip}.weight"
    last = 2 * len(descending) - 2
    found |= pairs("conv", f"layer{last}", DENSE) | pairs("dense", f"layer{last + 1}", DENSE)
    found |= pairs("to_logit", "output" if hammer else f"layer{last + 2}", DENSE)
    if title != TITLE:
        found |= pairs("label_mapping.embed", EMBEDDED[title], DENSE)
        for i in range(LAYERS):
            found |= pairs(f"label_mapping.affines.{i}", f"mapping{i}", DENSE)
    return found


def filters(title: str, network: str, resolution: int, architecture: str) -> dict[str, float]:
    """Filters of layers that resample, and of the image's own."""
    hammer = title == HAMMER
    steps = range(len(sizes(resolution)) - 1)
    leaf = "filter" if hammer else "filter.kernel"
    gain = 1.0 if hammer or network == "discriminator" else 4.0
    if network == "generator":
        found = [f"synthesis.layer{2 * b + 1}.{leaf}" for b in steps]
        found += [f"synthesis.residual{b + 1}.{leaf}" for b in steps if architecture == "resnet"]
        whole = "synthesis.filter" if hammer else "synthesis.upsample.kernel"
    else:
        skip = "residual" if hammer else "skip_layer"
        found = [f"layer{2 * i + 1}.{leaf}" for i in steps]
        found += [f"{skip}{i}.{leaf}" for i in steps if architecture == "resnet"]
        whole = "filter" if hammer else "downsample.kernel"
    found += [whole] if architecture == "skip" else []
    return dict.fromkeys(found, gain)


def enlarging(name: str) -> bool:
    """Whether a tensor is the weight of a convolution that enlarges."""
    return name.endswith(".convs.0.conv.weight") and not name.startswith("blocks.4x4.")


def of_tensorflow(title: str, name: str, value: Tensor, inwards: bool) -> Tensor:
    """genforce's values and ours: turned convolutions, and the 1 of styles."""
    if enlarging(name):
        return value.flip(2, 3)
    if name.endswith(".affine.bias"):
        return value + 1 if inwards else value - 1
    return value.T if name == "mapping.embed.weight" and title == TITLE else value


def inward(title: str, name: str, value: Tensor) -> Tensor:
    """Their values in our shapes."""
    value = value if title == HAMMER else of_tensorflow(title, name, value, inwards=True)
    if name.endswith(".noise_const"):
        return value.squeeze(0).squeeze(0)
    return value.squeeze(0) if name == "const" else value


def outward(title: str, name: str, value: Tensor) -> Tensor:
    """Our values in their shapes."""
    value = value if title == HAMMER else of_tensorflow(title, name, value, inwards=False)
    if name.endswith(".noise_const"):
        return value[None, None]
    return value[None] if name == "const" else value


DIALECTS = {
    title: Dialect(
        title,
        partial(names, title),
        partial(filters, title),
        partial(inward, title),
        partial(outward, title),
        (lambda kernel: kernel) if title == HAMMER else (lambda kernel: kernel[None, None]),
    )
    for title in (TITLE, ADA, HAMMER)
}
LAYOUTS = {title: tuple(generator(8, title).values()) for title in DIALECTS}
