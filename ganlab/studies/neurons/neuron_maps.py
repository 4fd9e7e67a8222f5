"""Where in its feature maps an image has rarely activated neurons (Choi et al. 2022, Figures 1-4).

    low = {name: low_rate(rates[name], 0.3) for name in ("4x4/0", "8x8/0")}
    maps = neuron_maps(Sampler(generator), [17], low)              # layer -> (1, H, W) in [0, 1]

A map is as large as its layer: at each position the share of the layer's channels whose neuron
there is both activated and chosen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ganlab.nn.ablation import ablate
from ganlab.nn.tracing import recorded
from ganlab.sampling import Edits, EditsAt, Sampler

Masks = Mapping[str, Tensor]  # layer -> (C, H, W) bool: the chosen neurons


def share_map(activations: Tensor, chosen: Tensor) -> Tensor:
    """Share of channels whose chosen neuron is activated, at each position: (N, H, W) in [0, 1].

    From (N, C, H, W) activations and a (C, H, W) mask; a fully connected layer, (N, C), has one
    position.
    """
    shares = ((activations > 0) & chosen.to(activations.device)).float().mean(1)
    return shares if shares.ndim == 3 else shares[:, None, None]


def neuron_maps(
    sampler: Sampler,
    indices: Sequence[int],  # addresses of the latents, one batch of them
    chosen: Masks,  # the neurons shown, by layer
    edits: Edits | EditsAt | None = None,  # an intervention; a layer's own edit is not shown
) -> dict[str, Tensor]:
    """Layer -> `share_map` of its activations, (N, H, W) on the CPU.

    A layer is read before its own edit and after those of the layers before it.
    """
    layers = sampler.generator.layers
    with recorded(layers, list(chosen)) as activations:  # hooked first: sees no own edit
        sampler.batch(indices, edits)
    return {name: share_map(activations[name], mask).cpu() for name, mask in chosen.items()}


@dataclass(frozen=True, eq=False)
class Activated:
    """How many neurons of each layer the images activate, and how many of those are chosen."""

    activated: Tensor  # (N, layers) int64
    chosen: Tensor  # (N, layers) int64

    @property
    def shares(self) -> Tensor:
        """Chosen per activated neuron, (N, layers) float64; 0 where none is activated."""
        return self.chosen.double() / self.activated.clamp(min=1)


def activated_counts(
    sampler: Sampler,
    indices: Sequence[int],  # addresses of the latents
    chosen: Masks,  # the neurons counted, by layer
) -> Activated:
    """Counts for each image and layer, the layers in the order of `chosen`, on the CPU."""
    masks = {name: mask.to(sampler.place).flatten() for name, mask in chosen.items()}
    activated, hit = [], []
    with recorded(sampler.generator.layers, list(chosen)) as activations:
        for _ in sampler.batches(indices):
            on = {name: (activations[name] > 0).flatten(1) for name in chosen}
            activated.append(torch.stack([on[name].sum(1) for name in masks], 1).cpu())
            hit.append(torch.stack([(on[n] & mask).sum(1) for n, mask in masks.items()], 1).cpu())
    return Activated(torch.cat(activated), torch.cat(hit))


@dataclass(frozen=True, eq=False)
class Passage:
    """One image on its way through the layers: Figure 4's three rows, a column a layer."""

    original: Tensor  # (C, H, W) image
    maps: dict[str, Tensor]  # layer -> (H, W) share of chosen neurons, nothing ablated
    maps_after: dict[str, Tensor]  # the same with every layer before it ablated
    images_after: dict[str, Tensor]  # the image with every layer before it ablated


def passage(
    sampler: Sampler,
    index: int,  # address of the latent
    chosen: Masks,  # the neurons shown and ablated, layers in network order
) -> Passage:
    """Follow one image through sequential ablation, layer by layer (section 3.2, Figure 4).

    Layers outside `chosen` are not ablated; the first one's column is without any ablation.
    """
    edits = {name: ablate(mask) for name, mask in chosen.items()}
    names = list(chosen)
    before = {name: {n: edits[n] for n in names[:i]} for i, name in enumerate(names)}
    maps, after = (
        neuron_maps(sampler, [index], chosen, edits=each)
        for each in (None, edits)  # read before its own edit: one pass ablates for all layers
    )
    images = {name: sampler.images([index], before[name])[0] for name in names}
    return Passage(
        images[names[0]],
        {name: found[0] for name, found in maps.items()},
        {name: found[0] for name, found in after.items()},
        images,
    )
