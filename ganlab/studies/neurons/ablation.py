"""Choosing neurons by their activation rate and switching them off: a grid of ablations.

Choi, Chang, Choi: "Can We Find Neurons that Cause Unrealistic Images in Deep Generative Networks?"
(IJCAI 2022), section 3. The sections, equations and tables named in the studies are of that paper.

A neuron is one position (channel, y, x) of a layer's output; it is activated where that is > 0.

    masks = {name: low_rate(rates[name], 0.3) for name in ("4x4/0", "8x8/0")}
    edits = {name: ablate(mask) for name, mask in masks.items()}
    repaired = Sampler(generator, seed).images(indices, edits)  # sequential: one forward pass
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ganlab.metrics.activation_rate import high_rate, low_rate, quantile_rate
from ganlab.metrics.repair import Repair
from ganlab.nn.ablation import Census, ablate, ablate_random
from ganlab.nn.tracing import Edit
from ganlab.sampling import EditsAt
from ganlab.studies.neurons.rates import checked_rate

KINDS = ("low", "high", "random")
# Table 1's rows, as settled: its third row (0.3) and its HR row are named in the text, the others'
# rates and that of the HR row are inferred.
LOW_RATES, HIGH_RATES = (0.7, 0.5, 0.3, 0.1), (0.7,)


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
