"""`python -m ganlab info ckpt=<file>`: what a checkpoint of any format is, and what is in it."""

from pathlib import Path
from typing import Any

from torch import nn

from ganlab.features.weights import sha256_of
from ganlab.runs.recipes import open_checkpoint, rebuild_system
from ganlab.sampling import Sampler
from ganlab.studies.neurons.layers import describe
from ganlab.systems.pretrained import Pretrained

OURS = "ganlab's checkpoint"


def describe_checkpoint(ckpt: str, extra: list[str], given: dict[str, Any] | None = None) -> str:
    """Format, model, sizes, labels, state of training, and the table of layers.

    `extra` and `given` are as in `recipes.rebuild_system`.

    Raises:
        CheckpointError, ValueError: it cannot be opened; see `recipes.open_checkpoint`.
    """
    checkpoint = open_checkpoint(ckpt)
    system = rebuild_system(checkpoint, extra, given)
    recipe, source = checkpoint["recipe"], system.recipe.get("source") or {}
    generator, discriminator = system.generator_ema, system.discriminator
    node = recipe["model"]["generator"]
    names = ", ".join(system.conditioner.class_names)
    facts = {
        "format": source.get("format", OURS),
        "file": source.get("file", ckpt),
        "sha256": source.get("sha256") or sha256_of(Path(ckpt).expanduser()),
        "generator": f"{node['_target_']}, {count(generator)}",
        "discriminator": "none" if discriminator is None else count(discriminator),
        "images": " x ".join(map(str, (generator.channels, *generator.image_size))),
        "latents": str(generator.latent_dim),
        "labels": ": ".join(filter(None, [str(generator.num_labels or "none"), names])),
        "training": training_state(checkpoint, system),
        "options": ", ".join(f"{k}={v}" for k, v in node.items() if k != "_target_"),
        "left out": source.get("left_out", "nothing"),
    }
    width = max(map(len, facts))
    lines = [f"{name:<{width}}  {value}" for name, value in facts.items()]
    return "\n".join([*lines, "", describe(Sampler.of(system))])


def count(network: nn.Module) -> str:
    """Trainable numbers of a network."""
    return f"{sum(each.numel() for each in network.parameters()):,} parameters"


def training_state(checkpoint: dict[str, Any], system: object) -> str:
    """How far training came, and whether it can go on."""
    kimg = f"{checkpoint['images_seen'] / 1000:g} kimg"
    if isinstance(system, Pretrained):
        known = kimg if checkpoint["images_seen"] else "trained elsewhere"
        return f"{known}; train.py init= begins a run from it"
    goes_on = "optimizer_states" in checkpoint
    state = "with optimizers, so that it can go on" if goes_on else "without optimizers"
    return f"{kimg}, {state}"
