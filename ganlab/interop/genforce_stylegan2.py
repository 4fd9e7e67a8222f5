"""StyleGAN2 as genforce and its successor Hammer keep it: `.pth` of the zoo, of runs, or bare.

Both name layers alike. genforce stores what TensorFlow's networks had: biases of styles without the
1 that is added to them, and convolutions that enlarge turned by 180 degrees against ours. Hammer
stores NVIDIA's. Labels: genforce normalizes latent and label together, and its discriminator
answers the sum of logits times label; Hammer embeds labels as NVIDIA does and projects.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor

from ganlab.interop.foreign import ForeignFile, checkpoint_of, with_prefix
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
HAMMER = "Hammer's StyleGAN2"
EXTENSION = ".pth"
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


def models(content: object) -> dict[str, dict[str, Any]]:
    """The state dicts of the zoo's, a run's or a bare file, without prefixes of wrappers."""
    if not isinstance(content, dict):
        return {}
    inner = content.get("models")
    found = inner if isinstance(inner, dict) else content
    if any(isinstance(value, Tensor) for value in found.values()):
        found = {"generator_smooth": found}
    return {
        str(key): {str(name).removeprefix("module."): each for name, each in value.items()}
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
    """The smoothed generator, and the discriminator where the file has one.

    Raises:
        ValueError: a tensor that is missing, unknown or of another shape; names it.
    """
    found, name = models(file.content), generator_of(file.content) or ""
    state = file.tensors(found[name], name)
    dialect = DIALECTS[HAMMER if "w_avg" in state else TITLE]
    together = dialect is DIALECTS[TITLE] and "mapping.label_weight" in state
    options = {"label_norm": "together"} if together else {}
    generator, weights = import_network(file, dialect, "generator", Part(name, state, options))
    weights, discriminator = with_prefix("generator_ema", weights), None
    if "discriminator" in found:
        part = Part("discriminator", file.tensors(found["discriminator"], "discriminator"))
        if dialect is DIALECTS[HAMMER]:
            part = Part(part.name, part.state, {"mapping_lr_multiplier": 0.1})
        discriminator, theirs = import_network(file, dialect, "discriminator", part)
        weights |= with_prefix("discriminator", theirs)
    left = {*found, *map(str, file.content)} - {name, "discriminator", "models"}
    left = left if file.content.keys() & {name, "models"} else set()
    return checkpoint_of(file, dialect.title, generator, discriminator, weights, sorted(left))


def names(hammer: bool, network: str, resolution: int) -> Names:
    """Our names and theirs."""
    make = generator if network == "generator" else discriminator
    return make(resolution, hammer)


def generator(resolution: int, hammer: bool) -> Names:
    """Layer n is our n-th; the image of block b is `output<b>`."""
    found = {"const": MARK, "mean_style": "w_avg" if hammer else "truncation.w_avg"}
    if hammer:
        found |= pairs("mapping.embed", "mapping.embedding", DENSE)
    else:
        found["mapping.embed.weight"] = "mapping.label_weight"
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


def discriminator(resolution: int, hammer: bool) -> Names:
    """Blocks are counted from the finest."""
    found: Names = {}
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
    if hammer:
        found |= pairs("label_mapping.embed", "embedding", DENSE)
        for i in range(LAYERS):
            found |= pairs(f"label_mapping.affines.{i}", f"mapping{i}", DENSE)
    return found


def filters(hammer: bool, network: str, resolution: int, architecture: str) -> dict[str, float]:
    """Filters of layers that resample, and of the image's own."""
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


def of_tensorflow(name: str, value: Tensor, inwards: bool) -> Tensor:
    """genforce's values and ours: turned convolutions, and the 1 of styles."""
    if enlarging(name):
        return value.flip(2, 3)
    if name.endswith(".affine.bias"):
        return value + 1 if inwards else value - 1
    return value.T if name == "mapping.embed.weight" else value


def inward(hammer: bool, name: str, value: Tensor) -> Tensor:
    """Their values in our shapes."""
    value = value if hammer else of_tensorflow(name, value, inwards=True)
    if name.endswith(".noise_const"):
        return value.squeeze(0).squeeze(0)
    return value.squeeze(0) if name == "const" else value


def outward(hammer: bool, name: str, value: Tensor) -> Tensor:
    """Our values in their shapes."""
    value = value if hammer else of_tensorflow(name, value, inwards=False)
    if name.endswith(".noise_const"):
        return value[None, None]
    return value[None] if name == "const" else value


DIALECTS = {
    title: Dialect(
        title,
        partial(names, hammer),
        partial(filters, hammer),
        partial(inward, hammer),
        partial(outward, hammer),
        (lambda kernel: kernel) if hammer else (lambda kernel: kernel[None, None]),
    )
    for title, hammer in ((TITLE, False), (HAMMER, True))
}
LAYOUTS = {
    TITLE: tuple(generator(8, False).values()),
    HAMMER: tuple(generator(8, True).values()),
}
