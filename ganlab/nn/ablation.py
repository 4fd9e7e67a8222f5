"""Neurons and whole units switched off: edits of a layer's output, to be made by `tracing.edited`.

A neuron is one position (channel, y, x) of a layer's output; it is activated where that is > 0. It
is silenced only there (Choi et al. 2022, IJCAI, Algorithm 1). A unit is a channel, which is set to
zero at every position and whatever its sign (Bau et al., arXiv:1811.10597, section 4.3).

    with edited(generator.layers, {"8x8/0": ablate(mask), "16x16/0": ablate_units([3, 17])}):
        images = generator(latents)
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ganlab.nn.randomness import keyed_generator
from ganlab.nn.tracing import Edit


def silence(activations: Tensor, chosen: Tensor) -> Tensor:
    """Activations whose chosen neurons are zero where they were positive; the input is kept.

    Algorithm 1, line 5: only activated neurons are set to 0, negative values pass.
    """
    return torch.where(chosen & (activations > 0), activations.new_zeros(()), activations)


def ablate(
    mask: Tensor,  # (C, H, W) or (C,) bool: the neurons to switch off
) -> Edit:
    """The edit that switches the masked neurons off in every image."""
    return lambda activations: silence(activations, mask.to(activations.device))


def ablate_units(units: Sequence[int]) -> Edit:
    """The edit that sets these channels of (N, C, ...) to zero; the input is kept."""

    def edit(activations: Tensor) -> Tensor:
        off = torch.zeros(activations.shape[1], dtype=torch.bool)
        off[list(units)] = True
        shape = [1, -1] + [1] * (activations.ndim - 2)
        return activations.masked_fill(off.to(activations.device).view(shape), 0)

    return edit


def random_activated(activations: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Mask of a random `share` (in [0, 1]) of one image's activated neurons, rounded.

    The order in which neurons would be picked depends on `generator` alone.
    """
    active = (activations > 0).flatten()
    order = torch.rand(active.shape, generator=generator, dtype=torch.float64).to(active.device)
    count = round(share * int(active.sum()))
    picked = order.masked_fill(~active, 2.0).argsort()[:count]
    mask = torch.zeros_like(active)
    mask[picked] = True
    return mask.view_as(activations)


def ablate_random(
    indices: Sequence[int],  # addresses of the batch's latents, one per image
    layer: str,  # part of the key: another layer gets another choice
    seed: int,  # the latents' seed
    share: float = 0.3,  # of the activated neurons of each image; Table 1's "Random" row
) -> Edit:
    """The edit that switches off a random share of each image's activated neurons.

    The choice is keyed by (seed, latent index, layer): it is the same in any batch or process.

    Raises:
        ValueError: a batch whose size is not the number of indices.
    """

    def edit(activations: Tensor) -> Tensor:
        if len(activations) != len(indices):
            raise ValueError(f"{layer}: {len(activations)} images, {len(indices)} latent indices")
        masks = [
            random_activated(row, share, keyed_generator("ablation", seed, index, layer))
            for row, index in zip(activations, indices, strict=True)
        ]
        return silence(activations, torch.stack(masks))

    return edit


class Census:
    """Counts the activated neurons that edits meet and how many of them they silence."""

    def __init__(self) -> None:
        self.activated = self.silenced = torch.zeros((), dtype=torch.int64)

    def watching(self, edit: Edit) -> Edit:
        """The same edit, counted; the counts stay on the activations' device."""

        def watched(activations: Tensor) -> Tensor:
            after = edit(activations)
            before_on, after_on = (activations > 0).sum(), (after > 0).sum()
            self.activated = self.activated.to(before_on.device) + before_on
            self.silenced = self.silenced.to(before_on.device) + before_on - after_on
            return after

        return watched

    @property
    def counts(self) -> Tensor:
        """(2,) int64: activated, silenced; sums over batches and processes add up."""
        return torch.stack([self.activated, self.silenced])


def share_silenced(counts: Tensor) -> float:
    """Silenced per activated neuron, in [0, 1]; 0 where nothing was activated."""
    activated, silenced_ = counts.tolist()
    return silenced_ / activated if activated else 0.0
