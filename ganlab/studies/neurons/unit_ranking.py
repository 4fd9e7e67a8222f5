"""The units of a layer in the order in which `study=unit_ablation` switches them off."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from ganlab.metrics import FrechetDistance
from ganlab.networks.base import Generator
from ganlab.nn.randomness import keyed_generator
from ganlab.nn.tracing import recorded
from ganlab.studies.address import Latents, addresses
from ganlab.studies.neurons.ablation_study import AblationStudy
from ganlab.studies.neurons.layers import Layer, as_list, select_layers
from ganlab.studies.neurons.repair import in_order
from ganlab.studies.neurons.units import (
    Moments,
    Region,
    checked_region,
    peaks,
    ranked,
    unit_count,
    unit_fids,
    unit_magnitudes,
    unit_rates,
)
from ganlab.studies.sampling import generate
from ganlab.studies.scores import watched

# ranking -> highest first
RANKINGS = {"rate": False, "magnitude": True, "fid": True, "random": False, "given": False}


class UnitStudy(AblationStudy):
    """A study that knows in which order the units of one layer are to go.

    Rankings: `rate` (mean activation rate, lowest first), `magnitude` (mean |a| in a region,
    highest first), `fid` (FID of the images that activate the unit most, highest first), `random`
    as a control, or `units` as given. Latents that units are ranked on are others than those scored
    unless `ranked_on` names them.

    Raises:
        ValueError: an unknown ranking or layer, a bad region, units that the layer lacks.
    """

    def __init__(
        self,
        *,
        layer: Layer = 0,  # name or position
        ranking: str = "rate",  # rate, magnitude, fid, random; given where `units` is
        units: Sequence[int] | None = None,  # these, in this order
        descending: bool | None = None,  # highest first; None = as the ranking does
        region: Region | None = None,  # top, left, bottom, right in [0, 1]; None = everywhere
        num_ranked: int = 10_000,  # latents of `rate_seed` for magnitude and fid
        num_top: int | None = None,  # images a unit's FID is of; None = a twentieth of them
        ranked_on: Latents = None,  # magnitude: these latents of `seed` instead
        **options: Any,  # of `AblationStudy`
    ) -> None:
        super().__init__(**options)
        self.units = None if units is None else as_list(units)
        self.ranking = "given" if units is not None else ranking
        self.layer, self.descending = layer, descending
        self.region = None if region is None else checked_region(region)
        self.num_ranked = num_ranked
        self.num_top = max(2, num_ranked // 20) if num_top is None else num_top
        self.ranked_on = None if ranked_on is None else addresses(ranked_on, "study.ranked_on")
        self._check()
        self.order: list[int] = []  # units, the first to go first
        self.unit_values: Tensor | None = None  # (C,) what they were ranked by

    def _check(self) -> None:
        if self.ranking not in RANKINGS or (self.ranking == "given" and self.units is None):
            known = [name for name in RANKINGS if name != "given"]
            raise ValueError(
                f"study.ranking must be {', '.join(known)}, or study.units a list of units, "
                f"got {self.ranking}"
            )
        if self.ranking == "fid" and (self.suite is None or self._fid is None):
            raise ValueError(
                "study.ranking=fid compares with reals: choose metrics with a FrechetDistance and "
                "leave study.suite as it is"
            )
        if self.num_ranked < 1:
            raise ValueError(f"study.num_ranked must be at least 1, got {self.num_ranked}")
        if self.ranking == "fid" and not 2 <= self.num_top <= self.num_ranked:
            raise ValueError(
                f"study.num_top={self.num_top} must be from 2 to study.num_ranked={self.num_ranked}"
            )

    @property
    def _fid(self) -> FrechetDistance | None:
        metrics = [] if self.suite is None else list(self.suite.metrics.values())
        return next((each for each in metrics if isinstance(each, FrechetDistance)), None)

    @property
    def detecting(self) -> bool:
        """Units are switched off in any images, by default the first ones."""
        return False

    @property
    def num_images(self) -> int:
        """How many images are scored: those given, else the suite's number, else 1,000."""
        if self.given is not None:
            return len(self.given)
        return 1000 if self.suite is None else self.suite.num_fake

    def layers_of(self, generator: Generator) -> list[str]:
        """The one layer."""
        return select_layers(generator, [self.layer])

    def checked_units(self, generator: Generator) -> int:
        """How many units can be switched off: the layer's, or those given.

        Raises:
            ValueError: a given unit that the layer lacks, or that is given twice.
        """
        (name,) = self.layers_of(generator)
        count = unit_count(generator, name, self.seed, condition_at=self.condition_at)
        if self.units is None:
            return count
        wrong = [unit for unit in self.units if not 0 <= unit < count]
        if wrong or not self.units or len(set(self.units)) < len(self.units):
            raise ValueError(
                f"study.units must be different units of {name}, from 0 to {count - 1}, "
                f"got {self.units}"
            )
        return len(self.units)

    def ranked_units(self, trainer: Trainer, system: Any, layer: str) -> list[int]:
        """Units in the order they go."""
        if self.units is not None:
            return self.units
        generator = system.generator_ema
        if self.ranking == "random":
            rng = keyed_generator("unit ablation", self.seed, layer)
            count = unit_count(generator, layer, self.seed, **self.how(system))
            return torch.randperm(count, generator=rng).tolist()
        if self.ranking == "rate":
            self.unit_values = unit_rates(self.known_rates(trainer, system, [layer]).rates[layer])
        elif self.ranking == "magnitude":
            self.unit_values = self.magnitudes(trainer, system, layer)
        else:
            self.unit_values = self.fids(trainer, system, layer)
        highest_first = RANKINGS[self.ranking] if self.descending is None else self.descending
        return ranked(self.unit_values, highest_first)

    def magnitudes(self, trainer: Trainer, system: Any, layer: str) -> Tensor:
        """Mean |a| of each unit in the region, over all ranks."""
        indices = range(self.num_ranked) if self.ranked_on is None else self.ranked_on
        seed = self.rate_seed if self.ranked_on is None else self.seed
        share = indices[trainer.global_rank :: trainer.world_size]
        total = unit_magnitudes(
            system.generator_ema,
            watched(share, "magnitudes", trainer),
            seed,
            layer,
            self.region,
            self.batch_size,
            **self.how(system),
        )
        joint = trainer.strategy.reduce(total.to(system.device), reduce_op="sum")
        return joint.cpu() / len(indices)

    def fids(self, trainer: Trainer, system: Any, layer: str) -> Tensor:
        """Unit-specific FIDs, from one pass over `num_ranked` latents."""
        share = range(trainer.global_rank, self.num_ranked, trainer.world_size)
        tops, features = [], []
        batches = generate(
            system.generator_ema,
            watched(share, "unit peaks", trainer),
            self.rate_seed,
            batch_size=self.batch_size,
            **self.how(system),
        )
        with recorded(system.generator_ema.layers, [layer]) as activations:
            for images in batches:
                tops.append(peaks(activations[layer]))
                features.append(self.extractor(images.float())["features"])
        units = unit_count(system.generator_ema, layer, self.seed, **self.how(system))
        whole = [
            in_order(torch.cat([torch.empty(0, width, device=system.device), *rows]))
            for width, rows in ((units, tops), (self.extractor.feature_dim, features))
        ]
        return unit_fids(
            whole[0], whole[1], self.real_moments(), self.num_top, self.bar(units, trainer)
        )

    def bar(self, units: int, trainer: Trainer) -> Iterable[int]:
        """The units under a progress bar."""
        return watched(range(units), "unit FIDs", trainer)

    def real_moments(self) -> Moments:
        """Mean and covariance of the reals, as the suite's FID has them."""
        metric = self._fid
        assert metric is not None
        state: Any = metric.real_state()
        num, total = state["real_features_num_samples"], state["real_features_sum"]
        mean = total / num
        scatter = state["real_features_cov_sum"] - total.outer(mean)
        return Moments.of(mean, scatter / (num - 1))

    def described(self, indices: Sequence[int]) -> str:
        """What these latents are, for a note."""
        first = f"the first {len(indices)} latents of seed {self.seed}"
        return first if self.given is None else super().described(indices)

    def ranking_note(self) -> str:
        """By what the units were ranked, and on which latents."""
        drawn = f"{self.num_ranked} latents of seed {self.rate_seed}"
        if self.ranking == "rate":
            return f"mean activation rate, {self.num_latents} latents of seed {self.rate_seed}"
        if self.ranking == "magnitude":
            where = "the whole image" if self.region is None else f"the region {list(self.region)}"
            if self.ranked_on is not None:
                drawn = f"{len(self.ranked_on)} given latents of seed {self.seed}"
            return f"mean |a| in {where}, {drawn}"
        if self.ranking == "fid":
            return f"FID of the {self.num_top} images that activate a unit most, of {drawn}"
        return self.ranking
