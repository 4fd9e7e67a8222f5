"""DCGANs of any size and width, whatever their modules are called.

The generator is `ConvTranspose2d, BatchNorm2d, ReLU` repeated, then `ConvTranspose2d, Tanh`; D is
the mirror image, without batch norm at its input; a sigmoid at its end is in the losses here. That
is `networks.dcgan` under other names, and the shapes say which it is:

- the PyTorch tutorial's (https://pytorch.org/tutorials/beginner/dcgan_faces_tutorial.html) and its
  examples': one `nn.Sequential`, `main.0`, `main.1`, `main.3`, ..., with gaps where modules have no
  tensors (ReLU, Dropout);
- pytorch_GAN_zoo's: `formatLayer`, `main.batchNorm0`, `main.convTranspose1`, ..., `main.outlayer`.

A file is the state of a generator, or a dict that holds one under one of the names of `GENERATORS`;
a `module.` of wrappers over devices is no part of a name. A file that says `num_labels` has a
class, as one 1 among so many numbers, after the latent; `class_names` beside it are what the
classes are called. A generator ends in a tanh unless the file says otherwise: by `final_tanh`, or
as pytorch_GAN_zoo does, by a loss that has none.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ganlab.interop.foreign import ForeignFile, Node, checkpoint_of, unwrapped, with_prefix
from ganlab.interop.persistent import attributes_of
from ganlab.networks import dcgan

TITLE = "a DCGAN's, as the PyTorch tutorial's"
GENERATORS = (  # the averaged one first
    *("avgG", "netG_ema", "netG_state_dict", "netG", "generator_state_dict", "generator"),
    *("G_state_dict", "gen_state_dict", "G", "gen", "model_state_dict", "state_dict", "model"),
)
DISCRIMINATORS = (
    *("netD_state_dict", "netD", "discriminator_state_dict", "discriminator"),
    *("D_state_dict", "disc_state_dict", "D", "disc"),
)
LABELS = ("num_labels", "num_classes", "n_classes", "categoryVectorDim")
LINEAR = ("WGANGP", "Logistic")  # losses of pytorch_GAN_zoo whose generators have no tanh
SEQUENTIAL = re.compile(r"main\.(\d+|formatLayer|batchNorm\d+|convTranspose\d+|outlayer)\.\w+")
COUNTER = "num_batches_tracked"
NORM = ("weight", "bias", "running_mean", "running_var", COUNTER)
LAYOUTS = {
    "the PyTorch DCGAN tutorial's": ("main.0.weight", *(f"main.1.{part}" for part in NORM)),
    "pytorch_GAN_zoo's DCGAN": (
        *("formatLayer.weight", *(f"main.batchNorm0.{part}" for part in NORM)),
        *("main.convTranspose1.weight", "main.outlayer.weight"),
    ),
}

State = dict[str, Tensor]


@dataclass(frozen=True)
class Module:
    """A convolution or a batch norm of the file."""

    name: str
    tensors: State  # by the last part of their names

    @property
    def weight(self) -> Tensor:
        """The kernel, or the scales."""
        return self.tensors.get("weight", torch.empty(0))

    @property
    def convolves(self) -> bool:
        """Whether it is a convolution."""
        return self.weight.ndim == 4


def recognises(content: object) -> bool:
    """Whether there is a network of convolutions and batch norms inside, by names and shapes."""
    if not isinstance(content, Mapping):
        return False
    parts = (content, *(content.get(name) for name in (*GENERATORS, *DISCRIMINATORS)))
    wrapped = bool({"netG_state_dict", "netD_state_dict"} & set(content))
    return wrapped or any(_looks_like_one(part) for part in parts)


def checkpoint(file: ForeignFile) -> dict[str, Any]:
    """The generator, and the discriminator where the file has one that is built here.

    Raises:
        ValueError: no generator, or one that is no DCGAN; says which tensor.
    """
    content = file.content
    theirs = _named(content, GENERATORS)
    if theirs is None and _looks_like_one(content):
        theirs = content
    if theirs is None:
        raise file.wrong("has no netG_state_dict, or generator by another name: it makes no images")
    generator, weights = _generator(file, _modules(file, theirs))
    names = _class_names(content, generator["num_labels"])
    weights = with_prefix("generator_ema", weights)
    theirs = _named(content, DISCRIMINATORS)
    if theirs is None:
        return checkpoint_of(file, TITLE, generator, None, weights, label_names=names)
    try:
        critic, found = _discriminator(file, _modules(file, theirs), generator["resolution"])
    except ValueError as error:
        left = [f"discriminator: {error}"]
        return checkpoint_of(file, TITLE, generator, None, weights, left, names)
    weights |= with_prefix("discriminator", found)
    return checkpoint_of(file, TITLE, generator, critic, weights, label_names=names)


def _named(content: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """The first network by one of these names."""
    found = (content.get(name) for name in names)
    return next((each for each in found if isinstance(each, Mapping)), None)


def _looks_like_one(part: object) -> bool:
    if not isinstance(part, Mapping) or not part or not all(isinstance(n, str) for n in part):
        return False
    if all(SEQUENTIAL.fullmatch(unwrapped(name)) for name in part):
        return True
    parts = {name.rpartition(".")[2] for name in part}
    normed = {"running_mean", "running_var", "weight"} <= parts <= set(NORM)
    kernels = [v for v in part.values() if isinstance(v, Tensor) and v.ndim > 1]
    squares = all(v.ndim == 4 and v.shape[2] == v.shape[3] for v in kernels)
    return normed and squares and sum(v.shape[-1] == 4 for v in kernels) > 1


def _modules(file: ForeignFile, found: Mapping[Any, Any]) -> list[Module]:
    """The parts with tensors, input to output: as they are numbered, else as they are listed."""
    modules: dict[str, Module] = {}
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, Tensor) or "." not in name:
            raise file.wrong(
                f"holds {name!r}, which is something else than a tensor called as main.0.weight"
            )
        module, _, part = unwrapped(name).rpartition(".")
        modules.setdefault(module, Module(module, {})).tensors[part] = value
    last = [name.rpartition(".")[2] for name in modules]
    if all(part.isdecimal() for part in last):
        return sorted(modules.values(), key=lambda each: int(each.name.rpartition(".")[2]))
    return list(modules.values())


def _convolutions(file: ForeignFile, modules: list[Module], network: str) -> list[Module]:
    """The convolutions, in order."""
    found = [module for module in modules if module.convolves]
    for module in modules:
        if normed := sorted(module.tensors.keys() & {"weight_orig", "weight_v"}):
            theirs = f"{module.name}.{normed[0]}"
            raise file.wrong(f"has {theirs}: spectral or weight norm, which is not built here")
    if len(found) < 2:
        raise file.wrong(f"has {len(found)} convolutions in its {network}, which is no DCGAN")
    return found


def _refuse_kernels(file: ForeignFile, convolutions: list[Module], first: Module) -> None:
    """Refuse sizes that do not double: all but the one at the latent's end have 4x4 kernels."""
    for module in convolutions:
        k = module.weight.shape[-1]
        if module is not first and k != 4:
            raise file.wrong(f"has {module.name}.weight with a kernel of {k}x{k}, and not 4x4")


def _told(content: object) -> list[Mapping[Any, Any]]:
    """Where a file says what no tensor does: beside the networks, and in its options."""
    if not isinstance(content, Mapping):
        return []
    config = content.get("config")
    return [content, config if isinstance(config, Mapping) else attributes_of(config)]


def _labels(content: object) -> int:
    """How many numbers after the latent say the class, if the file tells."""
    given = [place[name] for place in _told(content) for name in LABELS if name in place]
    return next((n for n in given if isinstance(n, int) and n > 0), 0)


def _squashed(content: object) -> bool:
    """Whether images are a tanh of what the last convolution puts out."""
    places = _told(content)
    given = [place["final_tanh"] for place in places if "final_tanh" in place]
    return given[0] is True if given else not any(p.get("lossCriterion") in LINEAR for p in places)


def _class_names(content: Mapping[str, Any], labels: int) -> list[str]:
    """What the classes are called, if the file has a name for each."""
    names = content.get("class_names")
    known = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    return known if len(known) == labels else []


def _generator(file: ForeignFile, modules: list[Module]) -> tuple[Node, State]:
    """Config and weights of `networks.dcgan.Generator`."""
    convolutions = _convolutions(file, modules, "generator")  # (in, out, k, k) each
    kernels = [module.weight for module in convolutions]
    for (one, k), (other, next_) in pairwise(zip(convolutions, kernels, strict=True)):
        if k.shape[1] != next_.shape[0]:
            raise file.wrong(
                f"is no generator: {one.name} puts out {k.shape[1]} maps and {other.name} takes "
                f"{next_.shape[0]}, read as transposed convolutions"
            )
    _refuse_kernels(file, convolutions, convolutions[0])
    labels, incoming = _labels(file.content), kernels[0].shape[0]
    if labels >= incoming:
        raise file.wrong(f"says {labels} labels, and its generator takes {incoming} numbers in all")
    arguments: dict[str, Any] = {
        "resolution": kernels[0].shape[-1] * 2 ** (len(kernels) - 1),
        "channels": kernels[-1].shape[1],
        "latent_dim": incoming - labels,
        "widths": [kernel.shape[1] for kernel in kernels[:-1]],
        "bias": any("bias" in module.tensors for module in convolutions),
        "num_labels": labels,
        "tanh": _squashed(file.content),
    }
    if arguments["channels"] not in (1, 3):
        raise file.wrong(
            f"does not end in an image of 1 or 3 channels but of {arguments['channels']}: it must "
            "be a generator"
        )
    network = _built(file, dcgan.Generator, arguments)
    places = {convolutions[-1].name: "to_image"}
    places |= _stages(file, network, modules, convolutions[:-1])
    weights = _renamed(file, modules, places, network, "generator")
    return {"_target_": "ganlab.networks.dcgan.Generator", **arguments}, weights


def _discriminator(file: ForeignFile, modules: list[Module], resolution: int) -> tuple[Node, State]:
    """Config and weights of `networks.dcgan.Discriminator`."""
    convolutions = _convolutions(file, modules, "discriminator")  # (out, in, k, k) each
    kernels = [module.weight for module in convolutions]
    _refuse_kernels(file, convolutions, convolutions[-1])
    if kernels[-1].shape[0] != 1:
        raise file.wrong(f"has a discriminator that answers {kernels[-1].shape[0]} numbers, not 1")
    arguments: dict[str, Any] = {
        "resolution": resolution,
        "channels": kernels[0].shape[1],
        "widths": [kernel.shape[0] for kernel in kernels[-2::-1]],  # coarse to fine
        "bias": any("bias" in module.tensors for module in convolutions),
    }
    network = _built(file, dcgan.Discriminator, arguments)
    places = {convolutions[-1].name: "to_logit"}
    places |= _stages(file, network, modules, convolutions[:-1])
    weights = _renamed(file, modules, places, network, "discriminator")
    return {"_target_": "ganlab.networks.dcgan.Discriminator", **arguments}, weights


def _stages(
    file: ForeignFile, network: nn.Module, modules: list[Module], convolutions: list[Module]
) -> dict[str, str]:
    """The file's modules -> ours: each convolution, and the norm that follows it."""
    places: dict[str, str] = {}
    following = {one.name: other for one, other in pairwise(modules)}
    sizes = list(network.get_submodule("stages").named_children())
    for convolution, (size, stage) in zip(convolutions, sizes, strict=True):
        places[convolution.name] = f"stages.{size}.convolution"
        norm = following.get(convolution.name)
        if "norm" in dict(stage.named_children()):
            if norm is None or norm.convolves:
                raise file.wrong(f"lacks a batch norm after {convolution.name}")
            places[norm.name] = f"stages.{size}.norm"
    return places


def _built(file: ForeignFile, network: Any, arguments: Mapping[str, Any]) -> nn.Module:
    """Without memory and without a random number: only names and shapes are asked for."""
    try:
        with torch.device("meta"):
            built: nn.Module = network(**arguments)
    except ValueError as error:
        raise file.wrong(f"is a DCGAN that is not built here: {error}") from error
    return built


def _renamed(
    file: ForeignFile,
    modules: list[Module],
    places: Mapping[str, str],  # the file's module -> ours
    network: nn.Module,
    title: str,  # of the network, for messages
) -> State:
    """The file's tensors under our names; each name and shape must be the network's."""
    state = {f"{m.name}.{part}": value for m in modules for part, value in m.tensors.items()}
    theirs = {ours: module for module, ours in places.items()}
    shapes = network.state_dict()
    wanted = {
        f"{theirs[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": name for name in shapes
    }
    if extra := [name for name in state if name not in wanted]:
        raise file.wrong(f"has a tensor {extra[0]} that a DCGAN's {title} lacks")
    weights: State = {}
    for name, ours in wanted.items():
        value = state.get(name)
        if value is None and (name.endswith(COUNTER) or _spare(name, state)):
            value = torch.zeros(shapes[ours].shape, dtype=shapes[ours].dtype)
        if value is None:
            raise file.wrong(f"lacks the tensor {name} of a DCGAN's {title}")
        if value.shape != shapes[ours].shape:
            shape = f"{tuple(value.shape)}, not {tuple(shapes[ours].shape)}"
            raise file.wrong(f"has {name} in shape {shape}")
        weights[ours] = value.to(shapes[ours].dtype)
    return weights


def _spare(name: str, state: State) -> bool:
    """Whether this is the bias of a convolution without one, beside others that have it."""
    module, _, part = name.rpartition(".")
    return part == "bias" and f"{module}.weight" in state and state[f"{module}.weight"].ndim == 4
