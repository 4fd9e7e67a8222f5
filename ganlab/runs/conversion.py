"""`python -m ganlab convert in=<ckpt> out=<file>`: a generator into another file.

`out=x.safetensors` is ours, with the recipe in it; `layout=nvidia`, `rosinality`, `genforce` or
`hammer` makes plain state dicts by that project's names of a StyleGAN2.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ganlab.checks.places import free_place
from ganlab.interop import (
    ganlab_safetensors,
    genforce_stylegan2,
    nvidia_stylegan2,
    rosinality_stylegan2,
)
from ganlab.interop.stylegan2 import NETWORKS, TAPS, Dialect, export_state
from ganlab.places import run_of
from ganlab.runs.checkpoint_files import open_named
from ganlab.runs.recipes import rebuild_system
from ganlab.storage.archive import write_archive
from ganlab.storage.atomic import replace_file, temporary
from ganlab.systems.system import System

State = dict[str, Tensor]
STYLEGAN2 = {
    network: f"ganlab.networks.stylegan2.{network.title()}"
    for network in ("generator", "discriminator")
}


@dataclass(frozen=True)
class Layout:
    """Another project's file."""

    dialect: Dialect
    keys: Mapping[str, str]  # our network -> its key in the file
    holds: Mapping[str, Mapping[str, tuple[Any, ...]]]  # what its code builds: network, option
    told: str | None = None  # key of the constructors' arguments, if its files have such
    arguments: Mapping[str, str] = field(default_factory=dict)  # of these, theirs -> ours


UNTOLD = {  # what no tensor says, where a file has no arguments either
    "clamp": (None,),
    "taps": ([*TAPS],),
    "mapping_lr_multiplier": (0.01,),
}
PLAIN = {**UNTOLD, "noise": (True,)}
CRITIC = {**UNTOLD, "group_size": (4,)}
LAYOUTS = {
    "nvidia": Layout(
        nvidia_stylegan2.DIALECT,
        {"generator": "G_ema", "discriminator": "D"},
        {"generator": {"label_norm": ("apart",)}, "discriminator": {"class_logits": (False,)}},
        nvidia_stylegan2.INITIAL,
        nvidia_stylegan2.ARGUMENTS,
    ),
    "rosinality": Layout(
        rosinality_stylegan2.DIALECT,
        {"generator": "g_ema", "discriminator": "d"},
        {
            "generator": PLAIN | {"architecture": ("skip",), "num_labels": (0,)},
            "discriminator": CRITIC | {"architecture": ("resnet",), "num_labels": (0,)},
        },
    ),
    "genforce": Layout(
        genforce_stylegan2.DIALECTS[genforce_stylegan2.TITLE],
        {"generator": "generator_smooth", "discriminator": "discriminator"},
        {
            "generator": PLAIN | {"architecture": ("skip", "orig"), "label_norm": ("together",)},
            "discriminator": CRITIC | {"class_logits": (True,)},
        },
    ),
    "hammer": Layout(
        genforce_stylegan2.DIALECTS[genforce_stylegan2.HAMMER],
        {"generator": "generator_smooth", "discriminator": "discriminator"},
        {"generator": {"label_norm": ("apart",), "noise": (True,)}, "discriminator": {}},
        genforce_stylegan2.INITIAL,
        genforce_stylegan2.ARGUMENTS,
    ),
}
OF_LABELS = ("label_norm", "class_logits")


def convert(source: str, target: Path, layout: str | None = None, extra: Sequence[str] = ()) -> str:
    """Write the generator of a checkpoint, and its discriminator; what was written, in a line.

    Raises:
        ValueError: an unknown layout, a network that it has no place for, or one that is told more
            than a class; a target that is the source, or a run's checkpoint.
        OSError: the file cannot be written.
    """
    refuse_written_over(source, free_place(target, "out"))
    whole = open_named("in", source)
    check_told(rebuild_system(whole, list(extra)), source)  # here, not where the new file is opened
    checkpoint = inference_state(whole)
    model = checkpoint["recipe"]["model"]
    if layout is None and target.suffix != ganlab_safetensors.EXTENSION:
        raise ValueError(
            f"out={target}: say layout={', '.join(LAYOUTS)} for another project's file, or name a "
            f"{ganlab_safetensors.EXTENSION}"
        )
    if layout is None:
        replace_file(target, ganlab_safetensors.content_of(checkpoint))
        return f"{target}: {ganlab_safetensors.TITLE}, {len(checkpoint['state_dict'])} tensors"
    if layout not in LAYOUTS:
        raise ValueError(f"layout={layout} should be one of {', '.join(LAYOUTS)}")
    if target.suffix == ganlab_safetensors.EXTENSION:
        raise ValueError(f"out={target}: layout={layout} is written as torch.save does: name a .pt")
    content = by_layout(LAYOUTS[layout], model, checkpoint["state_dict"])
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = temporary(target)
    write_archive(content, partial)
    partial.replace(target)
    return f"{target}: {LAYOUTS[layout].dialect.title}, {', '.join(content)}"


def refuse_written_over(source: str, target: Path) -> None:
    """Refuse to write a generator over what it is read from, or over a state to go on from.

    Raises:
        ValueError: names the file.
    """
    read = Path(source).expanduser()
    if target.exists() and read.exists() and target.samefile(read):
        raise ValueError(f"out={target} is the file that in= names: give it another name")
    if target.exists() and target.suffix == ".ckpt" and run_of(target) is not None:
        raise ValueError(
            f"out={target} is a checkpoint of a run, from which it could not go on then: name "
            "another file"
        )


def inference_state(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint with nothing but what an evaluation needs: the averaged generator and D.

    What is no tensor of theirs is the stage of a network that grows.
    """
    recipe = checkpoint["recipe"]
    model = {
        "_target_": "ganlab.systems.pretrained.Pretrained",
        "generator": recipe["model"]["generator"],
        "discriminator": recipe["model"].get("discriminator"),
    }
    told = recipe["model"].get("conditioner") or {}
    if names := recipe["model"].get("label_names") or told.get("label_names"):
        model["label_names"] = names
    state = {
        name: value
        for name, value in checkpoint["state_dict"].items()
        if name.startswith(("generator_ema.", "discriminator."))
    }
    node = model["generator"]
    images = {"resolution": node["resolution"], "channels": node["channels"]}
    kept = {
        "model": model,
        "data": {"_target_": "ganlab.data.NoImages", "name": "none", **images},
        "features": None,
        "metrics": None,
        "seed": 0,
        "precision": "32-true",
        "source": recipe.get("source"),
    }
    return {"recipe": kept, "images_seen": checkpoint["images_seen"], "state_dict": state}


def check_told(system: System, ckpt: str) -> None:
    """Refuse a generator that is told more than a class: alone it would paint something else.

    Raises:
        ValueError: names it.
    """
    generator = system.generator_ema
    if system.conditioner.at is not None and not generator.num_labels:
        raise ValueError(
            f"ckpt={ckpt}: {type(generator).__module__} is told what a classifier sees in real "
            "images, without which it does not go into another file"
        )


def options_of(network: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """Every option that one of our StyleGAN2's networks was built with, defaults included."""
    known = inspect.signature(NETWORKS[network]).parameters.values()
    found = {each.name: node.get(each.name, each.default) for each in known}
    return found | {"taps": [*found["taps"]]}


def refuse_unheld(layout: Layout, network: str, node: Mapping[str, Any]) -> None:
    """Refuse a network with an option for which the project has no place.

    Raises:
        ValueError: names the option.
    """
    if not isinstance(node["resolution"], int):
        raise ValueError(f"{layout.dialect.title} has no place for resolution={node['resolution']}")
    for option, values in layout.holds[network].items():
        value = node[option]
        if option in OF_LABELS and not node["num_labels"]:
            continue
        if value not in values:
            raise ValueError(f"{layout.dialect.title} has no place for {network}.{option}={value}")


def by_layout(layout: Layout, model: Mapping[str, Any], state: State) -> dict[str, Any]:
    """The state dicts of another project's file.

    Raises:
        ValueError: names the option or the tensor that it has no place for.
    """
    content: dict[str, Any] = {}
    told: dict[str, Any] = {}
    for network, key in layout.keys.items():
        node = model[network]
        if node is None:
            continue
        if node["_target_"] != STYLEGAN2[network]:
            raise ValueError(f"{layout.dialect.title} holds no {node['_target_']}")
        node = options_of(network, node)
        refuse_unheld(layout, network, node)
        if network == "generator" and key == "g_ema" and node["latent_dim"] != node["style_dim"]:
            raise ValueError(f"{layout.dialect.title} has latents as wide as styles")
        prefix = "generator_ema." if network == "generator" else "discriminator."
        weights = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
        content[key] = export_state(layout.dialect, network, node, weights)
        told[key] = {
            theirs: node[ours] for theirs, ours in layout.arguments.items() if ours in node
        }
    mean = content[layout.keys["generator"]].pop("latent_avg", None)
    content |= {} if mean is None else {"latent_avg": mean}
    return content if layout.told is None else content | {layout.told: told}
