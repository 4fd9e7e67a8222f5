"""Naming the layers of a generator: by name or by position, as the papers do."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import torch

from ganlab.networks.base import Generator
from ganlab.nn.tracing import recorded
from ganlab.report.tables import Table
from ganlab.sampling import Sampler

Layer = int | str


def as_list(value: int | float | str | Iterable[Any]) -> list[Any]:
    """The items of a list; a number, or a name, is a list of one."""
    return [value] if isinstance(value, int | float | str) else list(value)


def checked_sets(layer_sets: Sequence[Any]) -> list[list[Layer]]:
    """Layer sets as lists.

    Raises:
        ValueError: no set, or items that are layers rather than sets of them.
    """
    sets = as_list(layer_sets)
    if not sets or any(isinstance(layers, int | float | str) for layers in sets):
        raise ValueError(
            f"study.layer_sets must be a list of lists such as [[0],[0,1]], got {layer_sets}; "
            "for one set use study.layers=[0,1]"
        )
    return [list(layers) for layers in sets]


def listing(generator: Generator) -> str:
    """`0 = 4x4/0, 1 = 8x8/0, ...`, for messages."""
    return ", ".join(f"{index} = {name}" for index, name in enumerate(generator.layers))


def layer_shapes(
    sampler: Sampler,
    names: Sequence[str] | None = None,  # None = all
) -> dict[str, tuple[int, ...]]:
    """Layer -> shape of its output for one latent, (C, H, W) or (C,)."""
    layers = sampler.generator.layers
    names = list(layers) if names is None else list(names)
    with recorded(layers, names, stop=True) as activations:
        next(sampler.passes([0]))
        return {name: tuple(activations[name].shape[1:]) for name in names}


def describe(sampler: Sampler) -> str:
    """Position, name, shape and number of neurons of every layer, as a Markdown table."""
    columns = ["index", "layer", "shape", "neurons"]
    cells = [
        (index, name, " x ".join(map(str, shape)), prod(shape))
        for index, (name, shape) in enumerate(layer_shapes(sampler).items())
    ]
    return Table.of(columns, cells).markdown()


def select_layers(
    generator: Generator,
    layers: Sequence[Layer],  # by name or by position
    key: str = "study.layers",  # the option that holds them, for messages
) -> list[str]:
    """Names of the chosen layers in network order, each once.

    Raises:
        ValueError: an empty choice, or a layer the network does not have; the message lists those
            there are.
    """
    names = list(generator.layers)
    by_word: dict[Layer, str] = {**dict(enumerate(names)), **{name: name for name in names}}
    known = (isinstance(layer, int | str) and layer in by_word for layer in layers)
    if unknown := [layer for layer, here in zip(layers, known, strict=True) if not here]:
        raise ValueError(f"{key}: no layer {unknown[0]}; this network has {listing(generator)}")
    if not layers:
        raise ValueError(f"{key} is empty; this network has {listing(generator)}")
    chosen = {by_word[layer] for layer in layers}
    return [name for name in names if name in chosen]


def latent_independent(sampler: Sampler, num_latents: int = 4) -> list[str]:
    """Layers whose output is the same, and not all zero, for different latents.

    StyleGAN's constant at 4x4 under fixed noise is one: its neurons have no rate worth the name.
    Noise is fixed here, whatever the sampler's.
    """
    with recorded(sampler.generator.layers) as activations:
        replace(sampler, noise="fixed").batch(range(num_latents))
    return [
        name
        for name, output in activations.items()
        if bool(output.any()) and torch.allclose(output, output[:1].expand_as(output), atol=1e-6)
    ]


def default_layers(sampler: Sampler) -> list[str]:
    """Every layer that depends on the latent, in network order."""
    skipped = set(latent_independent(sampler))
    return [name for name in sampler.generator.layers if name not in skipped]


def early_layers(sampler: Sampler, num_sizes: int = 3) -> list[str]:
    """One layer that depends on the latent at each of the `num_sizes` coarsest sizes.

    It is the first, or the one a generator names by `layer_studied`: layers 0, 1, 3 of StyleGAN2
    and 1, 3, 5 of ProGAN, as in Choi et al. 2022, section 4.1.
    """
    by_size: dict[str, list[str]] = {}
    for name in default_layers(sampler):
        by_size.setdefault(name.rpartition("/")[0], []).append(name)
    studied = sampler.generator.layer_studied
    chosen = [names[min(studied, len(names) - 1)] for names in by_size.values()]
    return chosen[:num_sizes]
