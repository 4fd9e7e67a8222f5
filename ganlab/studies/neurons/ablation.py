"""Choosing neurons by their activation rate and switching them off: a grid of ablations.

Choi, Chang, Choi: "Can We Find Neurons that Cause Unrealistic Images in Deep Generative Networks?"
(IJCAI 2022), section 3. The sections, equations and tables named in the studies are of that paper.

A neuron is one position (channel, y, x) of a layer's output; it is activated where that is > 0.

    masks = {name: low_rate(rates[name], 0.3) for name in ("4x4/0", "8x8/0")}
    edits = {name: ablate(mask) for name, mask in masks.items()}
    repaired = Sampler(generator, seed).images(indices, edits)  # sequential: one forward pass
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ganlab.nn.randomness import keyed_generator
from ganlab.nn.tracing import Edit
from ganlab.sampling import EditsAt
from ganlab.studies.neurons.rates import checked_rate
from ganlab.studies.neurons.repair import Repair

KINDS = ("low", "high", "random")
# Table 1's rows, as settled: its third row (0.3) and its HR row are named in the text, the others'
# rates and that of the HR row are inferred.
LOW_RATES, HIGH_RATES = (0.7, 0.5, 0.3, 0.1), (0.7,)


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


@dataclass(frozen=True)
class Ablation:
    """Which neurons are switched off: one row of the grid."""

    kind: str  # low, high or random
    rate: float | None = None  # R, the same in all layers; None for random and by quantile
    share: float | None = None  # of the activated neurons; random only
    quantile: float | None = None  # R is this quantile of each layer's rates

    @property
    def label(self) -> str:
        """As in the table: `LR R = 0.3`, `HR R = 0.3`, `LR q = 0.3`, `random 30%`."""
        if self.kind == "random":
            return f"random {self.share:.0%}"
        bound = f"R = {self.rate:g}" if self.quantile is None else f"q = {self.quantile:g}"
        return f"{'LR' if self.kind == 'low' else 'HR'} {bound}"


@dataclass(frozen=True)
class Outcome:
    """One cell of the grid, scored."""

    ablation: Ablation
    layers: tuple[str, ...]  # in network order
    values: Mapping[str, float] = field(default_factory=dict)  # metric -> score
    silenced: float = 0.0  # share of the layers' activated neurons that were set to zero
    chosen: float | None = None  # share of the layers' neurons in the set; None for random
    repair: Repair | None = None  # against the same images unablated; None = not measured

    @property
    def column(self) -> str:
        """The layer set as a column title."""
        return ", ".join(self.layers)


def neuron_masks(
    ablation: Ablation,
    rates: Mapping[str, Tensor],  # layer -> (C, H, W)
    layers: Sequence[str],
    include_dead: bool = True,  # never-activated neurons count as LR
) -> dict[str, Tensor]:
    """Layer -> (C, H, W) bool mask of its LR or HR neurons; together they are all neurons."""

    def mask(values: Tensor) -> Tensor:
        rate = ablation.rate or 0.0
        if ablation.quantile is not None:
            rate = quantile_rate(values, ablation.quantile, include_dead)
        low = ablation.kind == "low"
        return low_rate(values, rate, include_dead) if low else high_rate(values, rate)

    return {name: mask(rates[name]) for name in layers}


def ablation_edits(
    ablation: Ablation,
    rates: Mapping[str, Tensor],  # layer -> (C, H, W); not read for random
    layers: Sequence[str],  # names
    seed: int,  # of the latents: key of the random choice
    include_dead: bool = True,  # never-activated neurons count as LR
    device: torch.device | str | None = None,  # where the masks are kept
    census: Census | None = None,  # counts what is silenced
) -> EditsAt:
    """Edits of Algorithm 1 for a `Sampler`: a function of the batch's latent indices."""
    count = census.watching if census else lambda edit: edit
    if ablation.kind == "random":
        share = ablation.share or 0.0
        return lambda indices: {
            name: count(ablate_random(indices, name, seed, share)) for name in layers
        }
    masks = neuron_masks(ablation, rates, layers, include_dead)
    edits: dict[str, Edit] = {name: count(ablate(m.to(device))) for name, m in masks.items()}
    return lambda indices: edits


def share_chosen(masks: Mapping[str, Tensor]) -> float:
    """Chosen neurons per neuron of these layers, in [0, 1]."""
    return sum(int(m.sum()) for m in masks.values()) / sum(m.numel() for m in masks.values())


def ablation_rows(
    kinds: Sequence[str],
    rates: Sequence[float] | None,  # R of LR and HR; None = Table 1's, which differ
    random_share: float,
    quantiles: Sequence[float] = (),  # of each layer's rates, for LR and HR
    high_rates: Sequence[float] | None = None,  # R of HR where other than `rates`
) -> list[Ablation]:
    """The grid's rows in the order of Table 1: LR by rate and by quantile, HR alike, random once.

    Raises:
        ValueError: an unknown kind, a rate, quantile or share outside [0, 1], or nothing to do.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise ValueError(f"study.kinds must be some of {', '.join(KINDS)}, got {list(kinds)}")
    checked_rate(random_share, "study.random_share")
    low = checked_rates(LOW_RATES if rates is None else rates, "study.rates")
    high = HIGH_RATES if rates is None else rates
    high = checked_rates(high if high_rates is None else high_rates, "study.high_rates")
    by_quantile = checked_rates(quantiles, "study.quantiles")
    rows = []
    for kind, values in (("low", low), ("high", high)):
        if kind in kinds:
            rows += [Ablation(kind, rate) for rate in values]
            rows += [Ablation(kind, quantile=quantile) for quantile in by_quantile]
    rows += [Ablation("random", share=random_share)] * ("random" in kinds)
    if not rows:
        raise ValueError("study.rates is empty, and so is study.quantiles: there is no row to make")
    return rows


def checked_rates(rates: Sequence[float], key: str) -> list[float]:
    """Each rate once, in the order given, all of them in [0, 1]."""
    return [checked_rate(rate, key) for rate in dict.fromkeys(rates)]
