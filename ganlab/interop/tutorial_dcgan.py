"""DCGANs in the layout of the PyTorch DCGAN tutorial, of any width and size.

https://pytorch.org/tutorials/beginner/dcgan_faces_tutorial.html: both networks are one
`nn.Sequential` called `main`. G is `ConvTranspose2d(bias=False), BatchNorm2d, ReLU` repeated, then
`ConvTranspose2d(bias=False), Tanh`; D is the mirror image, without batch norm at its input, and
with a sigmoid, which is in the losses here. That is `networks.dcgan` under other names. A file
holds `netG_state_dict` and, if wanted, `netD_state_dict`, or the bare state of G; wrappers of
several devices leave a `module.` before each name.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ganlab.interop.foreign import ForeignFile, Node, checkpoint_of
from ganlab.networks import dcgan

TITLE = "the PyTorch DCGAN tutorial's"
GENERATOR, DISCRIMINATOR = "netG_state_dict", "netD_state_dict"
NAME = re.compile(r"(?:module\.)?(main\.\d+\.\w+)")
COUNTER = "num_batches_tracked"

State = dict[str, Tensor]


def recognised(content: Any) -> bool:
    """Whether there are networks called `main` inside, by the names alone."""
    if not isinstance(content, Mapping):
        return False
    return bool({GENERATOR, DISCRIMINATOR} & set(content)) or _sequential(content)


def checkpoint(file: ForeignFile) -> dict[str, Any]:
    """The generator, and the discriminator where the file has one.

    Raises:
        ValueError: no generator, or a network that is not the tutorial's; says which tensor.
    """
    wrapped = not _sequential(file.content)
    parts = file.content if wrapped else {GENERATOR: file.content}
    if GENERATOR not in parts:
        raise file.wrong(f"has {DISCRIMINATOR} but no {GENERATOR}: it cannot make images")
    generator, weights = _generator(file, _state(file, parts[GENERATOR]))
    weights = {f"generator_ema.{name}": value for name, value in weights.items()}
    if DISCRIMINATOR not in parts:
        return checkpoint_of(file, TITLE, generator, None, weights)
    resolution = generator["resolution"]
    critic, theirs = _discriminator(file, _state(file, parts[DISCRIMINATOR]), resolution)
    weights |= {f"discriminator.{name}": value for name, value in theirs.items()}
    return checkpoint_of(file, TITLE, generator, critic, weights)


def _sequential(content: Mapping[Any, Any]) -> bool:
    return bool(content) and all(isinstance(n, str) and NAME.fullmatch(n) for n in content)


def _state(file: ForeignFile, found: Any) -> State:
    """`main.N.*` without prefixes."""
    if not isinstance(found, Mapping) or not _sequential(found):
        raise file.wrong("holds something else than tensors called main.<number>.<name>")
    state = {str(NAME.fullmatch(name)[1]): value for name, value in found.items()}  # type: ignore[index]
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise file.wrong("holds something else than tensors called main.<number>.<name>")
    return state


def _convolutions(file: ForeignFile, state: State, network: str) -> list[Tensor]:
    """The weights of the convolutions, in order."""
    kernels = {n: v for n, v in state.items() if v.ndim == 4 and n.endswith(".weight")}
    numbers = sorted(int(name.split(".")[1]) for name in kernels)
    if len(numbers) < 2:
        raise file.wrong(f"has {len(numbers)} convolutions in its {network}, which is no DCGAN")
    return [kernels[f"main.{number}.weight"] for number in numbers]


def _generator(file: ForeignFile, state: State) -> tuple[Node, State]:
    """Config and weights of `networks.dcgan.Generator`."""
    kernels = _convolutions(file, state, "generator")  # (in, out, 4, 4) each
    arguments: dict[str, Any] = {
        "resolution": kernels[0].shape[-1] * 2 ** (len(kernels) - 1),
        "channels": kernels[-1].shape[1],
        "latent_dim": kernels[0].shape[0],
        "width": kernels[-1].shape[0],
        "max_width": kernels[0].shape[1],
    }
    if arguments["channels"] not in (1, 3):
        raise file.wrong(
            f"does not end in an image of 1 or 3 channels but of {arguments['channels']}; "
            f"{GENERATOR} must be a generator"
        )
    if kernels[0].shape[-1] != 4:
        raise file.wrong("begins with a map of another size than 4x4, unlike the tutorial's")
    if arguments["resolution"] < 64:  # at 32 px `networks.dcgan` begins with 2x2, as Heikka's
        raise file.wrong(f"makes images of {arguments['resolution']} px; 64, 128, 256 are read")
    network = _built(file, dcgan.Generator, arguments)
    places = {
        f"main.{3 * i + offset}": f"stages.{size}.{part}"
        for i, size in enumerate(network.stages)  # type: ignore[arg-type]
        for offset, part in enumerate(("convolution", "norm"))
    }
    places[f"main.{3 * (len(kernels) - 1)}"] = "to_image"
    weights = _renamed(file, state, places, network, "generator")
    return {"_target_": "ganlab.networks.dcgan.Generator", **arguments}, weights


def _discriminator(file: ForeignFile, state: State, resolution: int) -> tuple[Node, State]:
    """Config and weights of `networks.dcgan.Discriminator`."""
    kernels = _convolutions(file, state, "discriminator")  # (out, in, 4, 4) each
    arguments: dict[str, Any] = {
        "resolution": resolution,
        "channels": kernels[0].shape[1],
        "width": kernels[0].shape[0],
        "max_width": kernels[-1].shape[1],
    }
    network = _built(file, dcgan.Discriminator, arguments)
    places = {"main.0": f"stages.{resolution // 2}x{resolution // 2}.convolution"}
    for i, size in enumerate(network.stages):  # type: ignore[arg-type]
        if i:
            places[f"main.{3 * i - 1}"] = f"stages.{size}.convolution"
            places[f"main.{3 * i}"] = f"stages.{size}.norm"
    places[f"main.{3 * len(network.stages) - 1}"] = "to_logit"  # type: ignore[arg-type]
    weights = _renamed(file, state, places, network, "discriminator")
    return {"_target_": "ganlab.networks.dcgan.Discriminator", **arguments}, weights


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
    state: State,
    places: Mapping[str, str],  # the file's module -> ours
    network: nn.Module,
    title: str,  # of the network, for messages
) -> State:
    """The file's tensors under our names; each name and shape must be the network's."""
    theirs = {ours: module for module, ours in places.items()}
    wanted = {
        f"{theirs[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": name
        for name in network.state_dict()
    }
    if extra := [name for name in state if name not in wanted]:
        raise file.wrong(f"has a tensor {extra[0]} that the tutorial's {title} lacks")
    weights, shapes = {}, network.state_dict()
    for theirs_, ours in wanted.items():
        if theirs_ not in state and not theirs_.endswith(COUNTER):
            raise file.wrong(f"lacks the tensor {theirs_} of the tutorial's {title}")
        value = state.get(theirs_, torch.zeros((), dtype=torch.int64))
        if value.shape != shapes[ours].shape:
            shape = f"{tuple(value.shape)}, not {tuple(shapes[ours].shape)}"
            raise file.wrong(f"has {theirs_} in shape {shape}: widths must halve at each stage")
        weights[ours] = value.to(shapes[ours].dtype)
    return weights
