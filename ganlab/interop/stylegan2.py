"""StyleGAN2 in other projects' files: one way in and one way out of `networks.stylegan2`.

A project is a `Dialect`: what it calls each of our tensors, in which shape it keeps it and by which
convention. What a network is built with is read from the shapes; what no shape says (clamps, group
sizes) comes from the file where it has it, else from the project's own defaults. FIR filters are
compared with those computed here, never taken.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ganlab.interop.foreign import ForeignFile, Node, check_options
from ganlab.networks import stylegan2
from ganlab.nn.randomness import latents_at
from ganlab.nn.resample import fir_kernel

State = dict[str, Tensor]
Names = dict[str, str]  # our name of a tensor -> theirs

RESOLUTIONS: list[int] = [2**power for power in range(2, 13)]
LAYERS = 64  # of a mapping network, at most
DENSE = {"weight": "weight", "bias": "bias"}
TAPS = (1.0, 3.0, 3.0, 1.0)
MEAN_OF = 4096  # latents whose mean style stands for one that a file does not have
NETWORKS = {"generator": stylegan2.Generator, "discriminator": stylegan2.Discriminator}


def identity(_: str, value: Tensor) -> Tensor:
    """The same values in the same shape."""
    return value


@dataclass(frozen=True)
class Dialect:
    """How one project keeps the two networks."""

    title: str
    names: Callable[[str, int], Names]  # network, resolution -> all there can be
    filters: Callable[[str, int, str], Mapping[str, float]]  # and architecture -> name, gain
    inward: Callable[[str, Tensor], Tensor] = identity  # our name, their values -> ours
    outward: Callable[[str, Tensor], Tensor] = identity  # and back
    filter_shape: Callable[[Tensor], Tensor] = lambda kernel: kernel
    optional: tuple[str, ...] = ("mean_style", "mean_path_length")  # ends of our names


@dataclass(frozen=True)
class Part:
    """One network of a file."""

    name: str  # in the file, for messages
    state: Mapping[str, Tensor]
    options: Mapping[str, Any] = field(default_factory=dict)  # ours, of what no shape says


def sizes(resolution: int) -> list[int]:
    """Px of the maps, coarse to fine."""
    return [size for size in RESOLUTIONS if size <= resolution]


def pairs(ours: str, theirs: str, leaves: Mapping[str, str]) -> Names:
    """The tensors of one module."""
    return {f"{ours}.{mine}": f"{theirs}.{other}" for mine, other in leaves.items()}


def resolution_of(dialect: Dialect, network: str, state: Mapping[str, Tensor]) -> int:
    """The smallest resolution at which most of the tensors have a name."""
    known = {
        size: len(state.keys() & set(dialect.names(network, size).values())) for size in RESOLUTIONS
    }
    return max(RESOLUTIONS, key=lambda size: (known[size], -size))


def import_network(
    file: ForeignFile, dialect: Dialect, network: str, part: Part
) -> tuple[Node, State]:
    """Config and weights of one of our networks.

    Raises:
        ValueError: names the first tensor that is missing, unknown or of another shape.
    """
    resolution = resolution_of(dialect, network, part.state)
    names = dialect.names(network, resolution)
    described = {"generator": generator_options, "discriminator": discriminator_options}[network]
    try:
        found = {
            mine: dialect.inward(mine, part.state[other]).float()
            for mine, other in names.items()
            if other in part.state
        }
        options = described(found, resolution) | dict(part.options)
    except KeyError as error:
        missing = names.get(error.args[0], error.args[0])
        raise file.wrong(f"lacks {part.name}.{missing} of {dialect.title}") from error
    except IndexError as error:
        raise file.wrong(f"has in {part.name} a tensor of too few dimensions") from error
    check_options(file, NETWORKS[network], options)
    try:
        with torch.device("meta"):
            built: nn.Module = NETWORKS[network](**options)
    except (ValueError, IndexError, RuntimeError, ArithmeticError, TypeError) as error:
        raise file.wrong(f"has in {part.name} a network that is not built here: {error}") from error
    check_shapes(file, dialect, part, built, names, found)
    check_rest(file, dialect, network, part, options, set(names.values()))
    wanted = built.state_dict()
    weights = {mine: value for mine, value in found.items() if mine in wanted}
    if network == "generator":
        weights |= missing_state(built, weights)
    target = f"ganlab.networks.stylegan2.{network.title()}"
    return {"_target_": target, **options}, weights


def check_shapes(
    file: ForeignFile,
    dialect: Dialect,
    part: Part,
    built: nn.Module,
    names: Names,
    found: State,
) -> None:
    """Refuse a network that lacks a tensor or has one of another shape.

    Raises:
        ValueError: names the tensor as the file does.
    """
    wanted = built.state_dict()
    for mine, value in wanted.items():
        if mine not in found and not mine.endswith(dialect.optional):
            raise file.wrong(f"lacks {part.name}.{names[mine]} of {dialect.title}")
        if mine in found and found[mine].shape != value.shape:
            given = list(part.state[names[mine]].shape)
            asked = list(dialect.outward(mine, value).shape)
            raise file.wrong(
                f"has {part.name}.{names[mine]} in shape {given}, where the others ask for {asked}"
            )
    for mine in found.keys() - wanted.keys():
        raise file.wrong(f"has a tensor {part.name}.{names[mine]} that {dialect.title} lacks")


def missing_state(built: nn.Module, weights: State) -> State:
    """What a generator has here besides what its file has."""
    missing = {n: v.shape for n, v in built.state_dict().items() if n not in weights}
    extra = {name: torch.zeros(shape) for name, shape in missing.items()}
    for number, name in enumerate(name for name in missing if name.endswith("noise_const")):
        keyed = torch.Generator().manual_seed(number)  # their noise is drawn anew for each image
        extra[name] = torch.randn(missing[name], generator=keyed)
    if "mean_style" in missing:
        extra["mean_style"] = mean_style(built, weights)
    return extra


def check_rest(
    file: ForeignFile,
    dialect: Dialect,
    network: str,
    part: Part,
    options: Mapping[str, Any],
    known: set[str],
) -> None:
    """Compare FIR filters with those computed; refuse what has no place in the network.

    Raises:
        ValueError: names the tensor.
    """
    filters = dialect.filters(network, options["resolution"], options["architecture"])
    taps = [fir_kernel(each) for each in (options.get("taps", TAPS), TAPS)]
    for name, value in part.state.items():
        if name in known:
            continue
        if name not in filters:
            raise file.wrong(f"has a tensor {part.name}.{name} that {dialect.title} lacks")
        computed = [dialect.filter_shape(filters[name] * kernel) for kernel in taps]
        if not any(is_near(value, kernel) for kernel in computed):
            raise file.wrong(f"has another filter in {part.name}.{name} than [1, 3, 3, 1]")


def is_near(value: Tensor, kernel: Tensor) -> bool:
    """Whether a filter is the one computed, but for rounding."""
    return value.shape == kernel.shape and torch.allclose(value.float(), kernel, atol=1e-5)


def generator_options(state: Mapping[str, Tensor], resolution: int) -> dict[str, Any]:
    """What our generator is built with, by the shapes of its tensors."""
    blocks = {size: f"blocks.{size}x{size}" for size in sizes(resolution)}
    layers = layers_of(state, "mapping")
    labels, embedded = embedding(state, "mapping")
    skip = resolution == 4 or f"{blocks[4]}.to_image.conv.weight" in state
    residual = resolution > 4 and f"{blocks[8]}.skip.weight" in state
    last = {size: f"{block}.convs.{int(size > 4)}" for size, block in blocks.items()}
    widths = {size: state[f"{name}.conv.weight"].shape[0] for size, name in last.items()}
    return {
        "resolution": resolution,
        "channels": state[f"{blocks[resolution]}.to_image.conv.weight"].shape[0],
        "latent_dim": state["mapping.affines.0.weight"].shape[1] - embedded,
        "style_dim": state[f"{last[4]}.affine.weight"].shape[1],
        "widths": widths | {4: state["const"].shape[0]},
        "mapping_layers": layers,
        "num_labels": labels,
        "embed_dim": embedded or None,
        "hidden_dim": state["mapping.affines.0.weight"].shape[0] if layers > 1 else None,
        "architecture": "skip" if skip else "resnet" if residual else "orig",
        "noise": f"{last[4]}.noise_strength" in state,
    }


def discriminator_options(state: Mapping[str, Tensor], resolution: int) -> dict[str, Any]:
    """What our discriminator is built with, by the shapes of its tensors."""
    widths = {
        size // 2: state[f"blocks.{size}x{size}.conv1.weight"].shape[0]
        for size in sizes(resolution)[1:]
    }
    widths[resolution] = state["from_image.weight"].shape[0]
    residual = f"blocks.{resolution}x{resolution}.skip.weight" in state or resolution == 4
    skip = "from_images.4x4.weight" in state
    extra = state["conv.weight"].shape[1] - widths[4]
    labels, embedded = embedding(state, "label_mapping")
    layers = layers_of(state, "label_mapping")
    hidden = state["label_mapping.affines.0.weight"].shape[0] if layers > 1 else None
    outputs = state["to_logit.weight"].shape[0]
    return {
        "resolution": resolution,
        "channels": state["from_image.weight"].shape[1],
        "widths": {size: widths[size] for size in sorted(widths)},
        "group_size": 4 if extra else 0,
        "std_channels": extra or 1,
        "dense_width": state["dense.weight"].shape[0],
        "architecture": "resnet" if residual else "skip" if skip else "orig",
        "num_labels": labels or (outputs if outputs > 1 else 0),
        "mapping_layers": layers,
        "label_dim": outputs if labels else None,
        "embed_dim": embedded or None,
        "hidden_dim": hidden,
        "class_logits": not labels and outputs > 1,
    }


def layers_of(state: Mapping[str, Tensor], mapping: str) -> int:
    """How many dense layers a mapping network has."""
    return sum(f"{mapping}.affines.{i}.weight" in state for i in range(LAYERS))


def embedding(state: Mapping[str, Tensor], mapping: str) -> tuple[int, int]:
    """Classes and width of what labels are embedded by; zeros without."""
    weight = state.get(f"{mapping}.embed.weight")
    return (0, 0) if weight is None else (weight.shape[1], weight.shape[0])


def mean_style(built: nn.Module, weights: State) -> Tensor:
    """The mean style of some thousand latents, of all classes in turn, (W,)."""
    mapping: Any = built.mapping
    inside = {n.removeprefix("mapping."): v for n, v in weights.items() if n.startswith("mapping.")}
    mapping.load_state_dict(inside, assign=True)
    latents = latents_at(built, range(MEAN_OF), seed=0)  # type: ignore[arg-type]
    labels = None
    if mapping.embed is not None:
        number = mapping.embed.weight.shape[1]
        labels = torch.eye(number)[torch.arange(MEAN_OF) % number]
    with torch.no_grad():
        mean: Tensor = mapping(latents, labels).mean(dim=0)
    return mean


def export_state(
    dialect: Dialect, network: str, node: Node, weights: Mapping[str, Tensor]
) -> State:
    """One of our networks' state by their names, FIR filters included.

    Raises:
        ValueError: the project has no place for one of its tensors.
    """
    architecture = node.get("architecture", {"generator": "skip"}.get(network, "resnet"))
    names = dialect.names(network, node["resolution"])
    state = {}
    for mine, value in weights.items():
        if mine in names:
            state[names[mine]] = dialect.outward(mine, value)
        elif mine != "mean_path_length":
            raise ValueError(f"{dialect.title} has no place for {network}.{mine}")
    kernel = fir_kernel(node.get("taps", TAPS))
    for name, gain in dialect.filters(network, node["resolution"], architecture).items():
        state[name] = dialect.filter_shape(gain * kernel)
    return state
