"""`study=sequential_ablation`: images without some neurons (Choi et al. 2022, Table 1).

One evaluation scores a grid of kinds x rates x layer sets on the same latents. Each cell is one
forward pass a batch in which every layer of the set is ablated before the next one sees it
(Algorithm 1); a set of one layer is the paper's single ablation.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning import Trainer
from torch import Tensor

from ganlab.networks.base import Generator
from ganlab.studies.ablation import Census, share_silenced
from ganlab.studies.ablation_grid import (
    KINDS,
    Ablation,
    Outcome,
    ablation_edits,
    ablation_rows,
    neuron_masks,
    share_chosen,
)
from ganlab.studies.ablation_report import cell_table, grid_table, save_before_after
from ganlab.studies.activation_rates import NeuronStudy
from ganlab.studies.layers import Layer, as_list, checked_sets, select_layers
from ganlab.studies.sampling import EditsAt, images_at


class SequentialAblation(NeuronStudy):
    """Scores every cell of the grid beside the unablated baseline, and shows before and after.

    Writes `table.*` (Table 1: the monitored score by ablation and layer set), `cells.*` (every
    score of every cell with the shares of neurons chosen and silenced) and `figures/ablation.png`.
    No truncation (section 4.1).

    Raises:
        ValueError: a bad rate, kind or share, or a layer that the network lacks.
    """

    def __init__(
        self,
        *,
        rates: Sequence[float] = (0.3, 0.5),  # R: at most this is a low rate, above a high one
        layer_sets: Sequence[Sequence[Layer]] = ((0,), (0, 1)),  # names or positions
        rate: float | None = None,  # shorthand for one rate
        layers: Sequence[Layer] | None = None,  # shorthand for one layer set
        kinds: Sequence[str] = KINDS,  # some of low, high, random
        random_share: float = 0.3,  # of each image's activated neurons
        include_dead: bool = True,  # never-activated neurons count as LR (the paper's text)
        num_shown: int = 8,  # images in the before / after figure: addresses 0 .. num_shown-1
        num_counted: int = 1000,  # images a cell is made of where nothing is scored
        **options: Any,  # of `NeuronStudy`
    ) -> None:
        super().__init__(**options)
        self.ablations = ablation_rows(
            as_list(kinds), as_list(rates if rate is None else rate), random_share
        )
        self.layer_sets = checked_sets(layer_sets if layers is None else [as_list(layers)])
        self.include_dead, self.num_shown = include_dead, num_shown
        self.num_counted = num_counted
        if min(num_shown, num_counted) < 1:
            raise ValueError("study.num_shown and study.num_counted must be at least 1")
        self.outcomes: list[Outcome] = []  # the result, row by row

    def sets_of(self, generator: Generator) -> list[tuple[str, ...]]:
        """Each layer set by names in network order, none twice."""
        sets = [tuple(select_layers(generator, layers)) for layers in self.layer_sets]
        return list(dict.fromkeys(sets))

    def layers_of(self, generator: Generator) -> list[str]:
        """Every layer of any set."""
        return select_layers(
            generator, [name for names in self.sets_of(generator) for name in names]
        )

    def investigate(self, trainer: Trainer, system: Any) -> None:
        """Find the rates, score the grid, write tables and figure."""
        sets = self.sets_of(system.generator_ema)
        rates = self.known_rates(trainer, system, self.layers_of(system.generator_ema)).rates
        baseline = dict(self.latest) if self.suite is not None else {}
        self.outcomes = [
            self.outcome(trainer, system, ablation, layers, rates)
            for ablation in self.ablations
            for layers in sets
        ]
        if self.directory is not None and trainer.is_global_zero:
            self.write(system, baseline, sets, rates)

    def outcome(
        self,
        trainer: Trainer,
        system: Any,
        ablation: Ablation,
        layers: tuple[str, ...],
        rates: Mapping[str, Tensor],
    ) -> Outcome:
        """Score one cell on the baseline's latents and record it."""
        census = Census()
        edits = self.edits(system, ablation, layers, rates, census)
        title = f"{ablation.label} on {', '.join(layers)}"
        values = self.measure(trainer, system, title, edits)
        counts = trainer.strategy.reduce(census.counts.to(system.device), reduce_op="sum")
        chosen = None
        if ablation.kind != "random":
            chosen = share_chosen(neuron_masks(ablation, rates, layers, self.include_dead))
        self.record(values, system, intervention=title)
        return Outcome(ablation, layers, values, share_silenced(counts), chosen)

    def edits(
        self,
        system: Any,
        ablation: Ablation,
        layers: Sequence[str],
        rates: Mapping[str, Tensor],
        census: Census | None = None,
    ) -> EditsAt:
        """The edits of one cell for this study's latents."""
        return ablation_edits(
            ablation, rates, layers, self.seed, self.include_dead, system.device, census
        )

    def measure(
        self, trainer: Trainer, system: Any, title: str, edits: EditsAt
    ) -> dict[str, float]:
        """Scores under the edits; without a suite the images are made for the census alone."""
        if self.suite is not None:
            return self.score(trainer, system, title, edits)
        for _ in self.fakes(trainer, system, title, self.num_counted, edits):
            pass
        return {}

    def write(
        self,
        system: Any,
        baseline: Mapping[str, float],
        sets: Sequence[tuple[str, ...]],
        rates: Mapping[str, Tensor],
    ) -> None:
        """Tables and figure, on one rank."""
        directory = self.directory or Path()
        notes = self.notes()
        grid_table(self.outcomes, baseline, self.monitor, notes).write(directory)
        cell_table(self.outcomes, baseline, self.monitor, notes).write(directory, "cells")
        rows: dict[str, EditsAt | None] = {"original": None}
        rows |= {a.label: self.edits(system, a, sets[-1], rates) for a in self.ablations}
        indices = range(self.num_shown)
        pictures = {
            label: images_at(
                system.generator_ema, indices, self.seed, device=system.device, edits=edits
            )
            for label, edits in rows.items()
        }
        path = directory / "figures" / "ablation.png"
        save_before_after(pictures, indices, sets[-1], path)

    def notes(self) -> list[str]:
        """What a reader of the tables must know."""
        dead = "count" if self.include_dead else "do not count"
        return [
            f"LR: rate ≤ R, HR: rate > R; never-activated neurons {dead} as LR",
            f"rates: {self.num_latents} latents of seed {self.rate_seed}; "
            f"images: latents of seed {self.seed}, no truncation, averaged generator",
            "silenced: share of the layers' activated neurons set to 0, over all images",
        ]
