"""Naming the layers of a generator: by name or by position, as the papers do."""

from collections.abc import Sequence

import torch

from ganlab.networks.base import Generator
from ganlab.nn.tracing import recorded
from ganlab.studies.sampling import images_at

Layer = int | str


def listing(generator: Generator) -> str:
    """`0 = 4x4/0, 1 = 8x8/0, ...`, for messages."""
    return ", ".join(f"{index} = {name}" for index, name in enumerate(generator.layers))


def layer_name(generator: Generator, layer: Layer) -> str:
    """The name of a layer given by name or by position.

    Raises:
        ValueError: no such layer; the message lists those there are.
    """
    names = list(generator.layers)
    if isinstance(layer, str) and layer in names:
        return layer
    if isinstance(layer, int) and 0 <= layer < len(names):
        return names[layer]
    raise ValueError(f"study.layers: no layer {layer}; this network has {listing(generator)}")


def select_layers(generator: Generator, layers: Sequence[Layer]) -> list[str]:
    """Names of the chosen layers in network order, each once.

    Raises:
        ValueError: an empty choice, or a layer the network does not have.
    """
    chosen = {layer_name(generator, layer) for layer in layers}
    if not chosen:
        raise ValueError(f"study.layers is empty; this network has {listing(generator)}")
    return [name for name in generator.layers if name in chosen]


@torch.no_grad()
def latent_independent(generator: Generator, seed: int, num_latents: int = 4) -> list[str]:
    """Layers whose output is the same, and not all zero, for different latents.

    StyleGAN's constant at 4x4 under fixed noise is one: its neurons have no rate worth the name.
    """
    with recorded(generator.layers) as activations:
        images_at(generator, range(num_latents), seed)
    return [
        name
        for name, output in activations.items()
        if bool(output.any()) and torch.allclose(output, output[:1].expand_as(output), atol=1e-6)
    ]


def default_layers(generator: Generator, seed: int) -> list[str]:
    """Every layer that depends on the latent, in network order."""
    skipped = set(latent_independent(generator, seed))
    return [name for name in generator.layers if name not in skipped]
