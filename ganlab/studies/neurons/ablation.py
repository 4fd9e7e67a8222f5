"""Choosing neurons by their activation rate and switching them off.

Choi, Chang, Choi: "Can We Find Neurons that Cause Unrealistic Images in Deep Generative Networks?"
(IJCAI 2022), section 3. The sections, equations and tables named in the studies are of that paper.

A neuron is one position (channel, y, x) of a layer's output; it is activated where that is > 0.

    masks = {name: low_rate(rates[name], 0.3) for name in ("4x4/0", "8x8/0")}
    edits = {name: ablate(mask) for name, mask in masks.items()}
    repaired = Sampler(generator, seed).images(indices, edits)  # sequential: one forward pass
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ganlab.nn.randomness import keyed_generator
from ganlab.nn.tracing import Edit


def low_rate(rates: Tensor, rate: float, include_dead: bool = True) -> Tensor:
    """Mask of the LR neurons, R_n <= R (Choi et al. 2022, section 3.1), of the shape of `rates`.

    Without dead neurons it is 0 < R_n <= R, as in the authors' code.
    """
    return (rates <= rate) & ((rates > 0) | include_dead)


def high_rate(rates: Tensor, rate: float) -> Tensor:
    """Mask of the HR neurons, R_n > R (Choi et al. 2022, section 3.1), of the shape of `rates`."""
    return rates > rate


def quantile_rate(rates: Tensor, quantile: float, include_dead: bool = True) -> float:
    """The rate R at which LR neurons are the `quantile`, in [0, 1], of this layer's neurons.

    It is the smallest counted rate with at least that share of neurons at or below it, so equal
    rates fall on one side; -1, which selects none, for 0 or where there is no neuron to choose.
    Without dead neurons the share is of the others. A layer whose neurons are mostly rare, so that
    a rate of 0.3 silences nearly all of it, keeps most of them under a quantile of 0.3.
    """
    known = (rates if include_dead else rates[rates > 0]).flatten().sort().values
    rank = math.ceil(quantile * len(known))
    return float(known[rank - 1]) if rank else -1.0


def silenced(activations: Tensor, chosen: Tensor) -> Tensor:
    """Activations whose chosen neurons are zero where they were positive; the input is kept.

    Algorithm 1, line 5: only activated neurons are set to 0, negative values pass.
    """
    return torch.where(chosen & (activations > 0), activations.new_zeros(()), activations)


def ablate(
    mask: Tensor,  # (C, H, W) or (C,) bool: the neurons to switch off
) -> Edit:
    """The edit that switches the masked neurons off in every image."""
    return lambda activations: silenced(activations, mask.to(activations.device))


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
        return silenced(activations, torch.stack(masks))

    return edit


class Census:
    """Counts the activated neurons that edits meet and how many of them they silence."""

    def __init__(self) -> None:
        self.activated = torch.zeros((), dtype=torch.int64)
        self.silenced = torch.zeros((), dtype=torch.int64)

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
