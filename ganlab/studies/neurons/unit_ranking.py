"""The units of a layer in the order in which `study=unit_ablation` switches them off.

| ranking | by | first |
|---|---|---|
| `rate` | mean activation rate | lowest |
| `magnitude` | mean magnitude in a region | highest |
| `fid` | FID of the images that activate the unit most | highest |
| `random` | nothing, as a control | |

Latents that units are ranked on are others than those scored, unless they are named.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ganlab.metrics import FrechetDistance
from ganlab.metrics.frechet import Moments, moments
from ganlab.metrics.units import (
    Region,
    checked_region,
    peaks,
    rank_units,
    unit_count,
    unit_fids,
    unit_magnitudes,
    unit_rates,
)
from ganlab.nn.randomness import keyed_generator
from ganlab.nn.tracing import recorded
from ganlab.studies.address import Latents, addresses
from ganlab.studies.bench import Bench
from ganlab.studies.neurons.layers import Layer, as_list
from ganlab.studies.neurons.rate_count import RateQuestion
from ganlab.studies.question import at_least

# ranking -> highest first
RANKINGS = {"rate": False, "magnitude": True, "fid": True, "random": False, "given": False}


@dataclass(frozen=True)
class Ranked:
    """Units in the order they go."""

    order: list[int]
    values: Tensor | None = None  # (C,) what they were ranked by


@dataclass(frozen=True, kw_only=True)
class UnitRanking(RateQuestion):
    """A question about the units of one layer: how they are ranked, or which are given.

    Raises:
        ValueError: an unknown ranking, a bad region or number, or FIDs without reals.
    """

    layer: Layer = 0  # name or position
    ranking: str = "rate"  # rate, magnitude, fid, random; given where `units` is
    units: Sequence[int] | None = None  # these, in this order
    descending: bool | None = None  # highest first; None = as the ranking does
    region: Region | None = None  # of magnitude: top, left, bottom, right; None = everywhere
    num_ranked: int = 10_000  # latents of `rate_seed` for magnitude and fid
    num_top: int | None = None  # images a unit's FID is of; None = a twentieth of them
    ranked_on: Latents = None  # magnitude: these latents of `seed` instead

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.by not in RANKINGS or (self.by == "given" and self.given_units is None):
            known = [name for name in RANKINGS if name != "given"]
            raise ValueError(
                f"study.ranking must be {', '.join(known)}, or study.units a list of units, "
                f"got {self.by}"
            )
        if self.by == "fid" and self.distance is None:
            raise ValueError(
                "study.ranking=fid compares with reals: choose metrics with a FrechetDistance and "
                "leave study.suite as it is"
            )
        at_least(1, num_ranked=self.num_ranked)
        if self.by == "fid" and not 2 <= self.top <= self.num_ranked:
            raise ValueError(
                f"study.num_top={self.top} must be from 2 to study.num_ranked={self.num_ranked}"
            )
        _ = self.ranking_latents, checked_region(self.region)

    @cached_property
    def given_units(self) -> list[int] | None:
        """The units, where they are given."""
        return None if self.units is None else as_list(self.units)

    @property
    def by(self) -> str:
        """What the units are ranked by, in a word."""
        return self.ranking if self.given_units is None else "given"

    @property
    def top(self) -> int:
        """Images a unit's FID is of."""
        return max(2, self.num_ranked // 20) if self.num_top is None else self.num_top

    @cached_property
    def ranking_latents(self) -> list[int] | None:
        """Addresses that magnitudes are measured on, where they are named."""
        if self.ranked_on is None:
            return None
        return addresses(self.ranked_on, "study.ranked_on")

    @property
    def distance(self) -> FrechetDistance | None:
        """The suite's Fréchet distance."""
        metrics = [] if self.suite is None else list(self.suite.metrics.values())
        return next((each for each in metrics if isinstance(each, FrechetDistance)), None)

    def layer_of(self, bench: Bench) -> str:
        """The layer's name."""
        return self.count.layers(bench, [self.layer], key="study.layer")[0]

    def num_units(self, bench: Bench) -> int:
        """How many units can be switched off: the layer's, or those given.

        Raises:
            ValueError: a given unit that the layer lacks, or that is given twice.
        """
        name = self.layer_of(bench)
        count = unit_count(bench.sampler, name)
        if self.given_units is None:
            return count
        wrong = [unit for unit in self.given_units if not 0 <= unit < count]
        if wrong or not self.given_units or len(set(self.given_units)) < len(self.given_units):
            raise ValueError(
                f"study.units must be different units of {name}, from 0 to {count - 1}, "
                f"got {self.given_units}"
            )
        return len(self.given_units)

    def rank(self, bench: Bench) -> Ranked:
        """The units in the order they go."""
        if self.given_units is not None:
            return Ranked(self.given_units)
        layer = self.layer_of(bench)
        if self.by == "random":
            rng = keyed_generator("unit ablation", bench.seed, layer)
            return Ranked(torch.randperm(unit_count(bench.sampler, layer), generator=rng).tolist())
        if self.by == "rate":
            values = unit_rates(self.count.rates(bench, [layer]).rates[layer])
        elif self.by == "magnitude":
            values = self.magnitudes(bench, layer)
        else:
            values = self.fids(bench, layer)
        highest_first = RANKINGS[self.by] if self.descending is None else self.descending
        return Ranked(rank_units(values, highest_first), values)

    def magnitudes(self, bench: Bench, layer: str) -> Tensor:
        """Mean |a| of each unit in the region, over all ranks."""
        indices: Sequence[int] = range(self.num_ranked)
        sampler = self.count.sampler(bench)
        if self.ranking_latents is not None:
            indices, sampler = self.ranking_latents, bench.sampler
        share = bench.ranks.progress(bench.ranks.share(indices), "magnitudes")
        total = unit_magnitudes(sampler, share, layer, self.region)
        return bench.ranks.sum(total) / len(indices)

    def fids(self, bench: Bench, layer: str) -> Tensor:
        """Unit-specific FIDs, from one pass over `num_ranked` latents."""
        assert self.suite is not None
        assert self.distance is not None
        tops, features = [], []
        sampler = self.count.sampler(bench)
        with recorded(bench.generator.layers, [layer]) as activations:
            for images in bench.images("unit peaks", range(self.num_ranked), sampler=sampler):
                tops.append(peaks(activations[layer]))
                features.append(self.suite.extractor(images.float())["features"])
        units = bench.ranks.progress(range(unit_count(bench.sampler, layer)), "unit FIDs")
        whole, theirs = bench.ranks.gather(tops), bench.ranks.gather(features)
        reals = Moments.of(*moments(self.distance.real_state(), "real"))
        return unit_fids(whole, theirs, reals, self.top, units)

    def ranking_note(self) -> str:
        """By what the units were ranked, and on which latents."""
        seed = self.count.counted_seed
        drawn = f"{self.num_ranked} latents of seed {seed}"
        if self.by == "rate":
            return f"mean activation rate, {self.num_latents} latents of seed {seed}"
        if self.by == "magnitude":
            where = "the whole image" if self.region is None else f"the region {list(self.region)}"
            if self.ranking_latents is not None:
                drawn = f"{len(self.ranking_latents)} given latents of seed {self.seed}"
            return f"mean |a| in {where}, {drawn}"
        if self.by == "fid":
            return f"FID of the {self.top} images that activate a unit most, of {drawn}"
        return self.by
