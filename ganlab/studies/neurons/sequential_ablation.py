"""`study=sequential_ablation`: images without some neurons (Choi et al. 2022, Table 1).

One evaluation scores a grid of {LR, HR, random} x rates x layer sets on the same latents: the
artifact images, those that activate most LR neurons, unless others are given. Each cell is one
forward pass a batch in which every layer of the set is ablated before the next one sees it
(Algorithm 1); a set of one layer is the paper's single ablation.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning import Trainer
from torch import Tensor

from ganlab.networks import stylegan2
from ganlab.networks.base import Generator
from ganlab.studies.neurons.ablation import Census, share_silenced
from ganlab.studies.neurons.ablation_figures import draw_before_after
from ganlab.studies.neurons.ablation_grid import (
    KINDS,
    Ablation,
    Outcome,
    ablation_edits,
    ablation_rows,
    neuron_masks,
    share_chosen,
)
from ganlab.studies.neurons.ablation_report import (
    cell_table,
    grid_table,
    paper_table,
    repair_table,
    selection_notes,
)
from ganlab.studies.neurons.ablation_study import AblationStudy
from ganlab.studies.neurons.layers import Layer, as_list, checked_sets, early_layers, select_layers
from ganlab.studies.sampling import EditsAt, images_at

COLUMNS = ((0,), (1,), (2,), (0, 1), (0, 1, 2), (0, 1, 2, 3))  # Table 1's, among the early layers


class SequentialAblation(AblationStudy):
    """Scores every cell of the grid beside the unablated images, and shows before and after.

    Writes `table.*` (Table 1: the monitored score by ablation and layer set), `cells.*` (every
    score of every cell with the shares of neurons chosen and silenced), `repair.*` (repaired or
    replaced), `paper.*` (the printed Table 1 beside ours, for StyleGAN2) and
    `figures/ablation.png`. No truncation (section 4.1).

    Raises:
        ValueError: a bad rate, quantile, kind or share, or a layer that the network lacks.
    """

    def __init__(
        self,
        *,
        rates: Sequence[float] | None = None,  # R: at most this is LR, above HR; None = Table 1's
        high_rates: Sequence[float] | None = None,  # R of the HR rows; None = as `rates`
        quantiles: Sequence[float] = (),  # more rows: R is this quantile of each layer's rates
        layer_sets: Sequence[Sequence[Layer]] | None = None,  # names or positions; None = Table 1's
        rate: float | None = None,  # shorthand for one rate
        layers: Sequence[Layer] | None = None,  # shorthand for one layer set
        kinds: Sequence[str] = KINDS,  # some of low, high, random
        random_share: float = 0.3,  # of each image's activated neurons
        **options: Any,  # of `AblationStudy`
    ) -> None:
        super().__init__(**options)
        given = rates if rate is None else [rate]
        self.ablations = ablation_rows(
            as_list(kinds),
            None if given is None else as_list(given),
            random_share,
            as_list(quantiles),
            None if high_rates is None else as_list(high_rates),
        )
        sets = layer_sets if layers is None else [as_list(layers)]
        self.layer_sets = None if sets is None else checked_sets(sets)
        self.outcomes: list[Outcome] = []  # the result, row by row

    def sets_of(self, generator: Generator) -> list[tuple[str, ...]]:
        """Each layer set by names in network order, none twice.

        Table 1's sets are made of the first layer of each of the four coarsest sizes, which are
        StyleGAN2's 0, 1, 3, 5; in a smaller network those with a layer it lacks are left out.
        """
        if self.layer_sets is None:
            names = early_layers(generator, self.rate_seed, self.condition_at, num_sizes=4)
            fit = [columns for columns in COLUMNS if max(columns) < len(names)]
            return [tuple(names[i] for i in columns) for columns in fit]
        sets = [tuple(select_layers(generator, layers)) for layers in self.layer_sets]
        return list(dict.fromkeys(sets))

    def layers_of(self, generator: Generator) -> list[str]:
        """Every layer of any set, and those artifacts are found by."""
        ablated = [name for names in self.sets_of(generator) for name in names]
        return select_layers(generator, [*ablated, *self.detection_layers_of(generator)])

    def investigate(self, trainer: Trainer, system: Any) -> None:
        """Find rates and latents, score the grid, write tables and figure."""
        generator = system.generator_ema
        sets = self.sets_of(generator)
        rates = self.known_rates(trainer, system, self.layers_of(generator)).rates
        indices = self.latents_of(trainer, system, rates)
        baseline = self.baseline(trainer, system, indices)
        self.outcomes = [
            self.outcome(trainer, system, indices, ablation, layers, rates)
            for ablation in self.ablations
            for layers in sets
        ]
        if self.directory is not None and trainer.is_global_zero:
            self.write_tables(generator, baseline, self.notes(sets, indices))
            shown = sets[-2] if self.layer_sets is None and len(sets) > 5 else sets[-1]
            self.draw(system, shown, rates, indices[: self.num_shown])  # the paper's {0, 1, 3}

    def outcome(
        self,
        trainer: Trainer,
        system: Any,
        indices: Sequence[int],
        ablation: Ablation,
        layers: tuple[str, ...],
        rates: Mapping[str, Tensor],
    ) -> Outcome:
        """Score one cell on the baseline's latents and record it."""
        census = Census()
        edits = self.edits(system, ablation, layers, rates, census)
        title = f"{ablation.label} on {', '.join(layers)}"
        values, features = self.measured(trainer, system, title, indices, edits)
        counts = trainer.strategy.reduce(census.counts.to(system.device), reduce_op="sum")
        chosen = None
        if ablation.kind != "random":
            chosen = share_chosen(neuron_masks(ablation, rates, layers, self.include_dead))
        silenced = share_silenced(counts)
        self.record(values, system, intervention=title, silenced=silenced)
        return Outcome(ablation, layers, values, silenced, chosen, self.compared(features))

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

    def write_tables(
        self, generator: Generator, baseline: Mapping[str, float], notes: Sequence[str]
    ) -> None:
        """Every table, on one rank."""
        directory = self.directory or Path()
        monitor = self.monitor if baseline else None
        grid_table(self.outcomes, baseline, monitor, notes).write(directory)
        cell_table(self.outcomes, baseline, monitor, notes).write(directory, "cells")
        if self.extractor is not None:
            repair_table(self.outcomes, notes).write(directory, "repair")
        if isinstance(generator, stylegan2.Generator):
            names = list(generator.layers)
            paper_table(self.outcomes, baseline, monitor, names).write(directory, "paper")

    def draw(
        self,
        system: Any,
        layers: Sequence[str],
        rates: Mapping[str, Tensor],
        indices: Sequence[int],
    ) -> None:
        """Images before and after every ablation of the last layer set."""
        rows: dict[str, EditsAt | None] = {"not ablated": None}
        rows |= {a.label: self.edits(system, a, layers, rates) for a in self.ablations}
        pictures = {
            label: images_at(
                system.generator_ema, indices, self.seed, edits=edits, **self.how(system)
            ).cpu()
            for label, edits in rows.items()
        }
        path = (self.directory or Path()) / "figures" / "ablation.png"
        draw_before_after(pictures, indices, layers, path)

    def notes(self, sets: Sequence[Sequence[str]], indices: Sequence[int]) -> list[str]:
        """What a reader of the tables must know."""
        dead = "count" if self.include_dead else "do not count"
        by_quantile = any(ablation.quantile is not None for ablation in self.ablations)
        left_out = self.layer_sets is None and len(sets) < len(COLUMNS)
        return [
            *self.unscored(),
            f"LR: rate ≤ R, HR: rate > R; never-activated neurons {dead} as LR",
            *(["q: R is this quantile of each layer's rates"] if by_quantile else []),
            *(["Table 1's sets with layers that this network lacks are left out"] * left_out),
            *selection_notes(self.outcomes),
            f"rates: {self.num_latents} latents of seed {self.rate_seed}",
            f"images: {self.described(indices)}; no truncation, {self.noise} noise, "
            "averaged generator",
            "silenced: share of the layers' activated neurons set to 0, over all images",
        ]
