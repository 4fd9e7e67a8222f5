"""The cells of an ablation grid: neurons x rates x layer sets (Choi et al. 2022, Table 1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ganlab.nn.tracing import Edit
from ganlab.studies.ablation import Census, ablate, ablate_random, high_rate, low_rate
from ganlab.studies.rates import checked_rate
from ganlab.studies.sampling import EditsAt

KINDS = ("low", "high", "random")


@dataclass(frozen=True)
class Ablation:
    """Which neurons are switched off: one row of the grid."""

    kind: str  # low, high or random
    rate: float | None  # R; None for random
    share: float | None = None  # of the activated neurons; random only

    @property
    def label(self) -> str:
        """As in the table: `LR R = 0.3`, `HR R = 0.3`, `random 30%`."""
        if self.kind == "random":
            return f"random {self.share:.0%}"
        return f"{'LR' if self.kind == 'low' else 'HR'} R = {self.rate:g}"


@dataclass(frozen=True)
class Outcome:
    """One cell of the grid, scored."""

    ablation: Ablation
    layers: tuple[str, ...]  # in network order
    values: Mapping[str, float] = field(default_factory=dict)  # metric -> score
    silenced: float = 0.0  # share of the layers' activated neurons that were set to zero
    chosen: float | None = None  # share of the layers' neurons in the set; None for random

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
    """Layer -> (C, H, W) bool mask of the LR or HR neurons."""
    rate = 0.0 if ablation.rate is None else ablation.rate
    if ablation.kind == "low":
        return {name: low_rate(rates[name], rate, include_dead) for name in layers}
    return {name: high_rate(rates[name], rate) for name in layers}


def ablation_edits(
    ablation: Ablation,
    rates: Mapping[str, Tensor],  # layer -> (C, H, W); not read for random
    layers: Sequence[str],  # names
    seed: int,  # of the latents: key of the random choice
    include_dead: bool = True,  # never-activated neurons count as LR
    device: torch.device | str | None = None,  # where the masks are kept
    census: Census | None = None,  # counts what is silenced
) -> EditsAt:
    """Edits of Algorithm 1 for `generate`: a function of the batch's latent indices."""
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
    kinds: Sequence[str], rates: Sequence[float], random_share: float
) -> list[Ablation]:
    """The grid's rows in the order of Table 1: LR by rate, HR by rate, random once.

    Raises:
        ValueError: an unknown kind, a rate or share outside [0, 1], or nothing to do.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise ValueError(f"study.kinds must be some of {', '.join(KINDS)}, got {list(kinds)}")
    if not rates:
        raise ValueError("study.rates is empty")
    checked_rate(random_share, "study.random_share")
    rates = [checked_rate(rate, "study.rates") for rate in dict.fromkeys(rates)]
    by_rate = [Ablation(k, r) for k in ("low", "high") if k in kinds for r in rates]
    return by_rate + [Ablation("random", None, random_share)] * ("random" in kinds)
