"""`study=sequential_ablation`: images without some neurons (Choi et al. 2022, Table 1).

One evaluation scores a grid of {LR, HR, random} x rates x layer sets on the same latents: the
artifact images, those that activate most LR neurons, unless others are given. Each cell is one
forward pass a batch in which every layer of the set is ablated before the next one sees it
(Algorithm 1); a set of one layer is the paper's single ablation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from ganlab.features import Extractor
from ganlab.networks import stylegan2
from ganlab.nn.ablation import Census
from ganlab.report.drawings import Drawing
from ganlab.report.tables import Table
from ganlab.sampling import EditsAt
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.neurons import ablation_report, interventions
from ganlab.studies.neurons.ablation import (
    KINDS,
    Ablation,
    Outcome,
    ablation_edits,
    ablation_rows,
    neuron_masks,
    share_chosen,
)
from ganlab.studies.neurons.detection import ArtifactChoice, ArtifactQuestion
from ganlab.studies.neurons.figures import draw_before_after
from ganlab.studies.neurons.interventions import Interventions
from ganlab.studies.neurons.layers import Layer, as_list, checked_sets, early_layers, select_layers
from ganlab.studies.neurons.rates import checked_rate

COLUMNS = ((0,), (1,), (2,), (0, 1), (0, 1, 2), (0, 1, 2, 3))  # Table 1's, among the early layers
Rates = Mapping[str, Tensor]  # layer -> (C, H, W)
Sets = Sequence[tuple[str, ...]]  # layer sets, by names in network order


@dataclass(frozen=True, kw_only=True)
class SequentialAblation(ArtifactQuestion):
    """Scores every cell of the grid beside the unablated images, and shows before and after.

    Writes `table.*` (Table 1: the monitored score by ablation and layer set), `cells.*` (every
    score of every cell with the shares of neurons chosen and silenced), `repair.*` (repaired or
    replaced), `paper.*` (the printed Table 1 beside ours, for StyleGAN2) and
    `figures/ablation.png`. No truncation (section 4.1).

    Further options: of the images `latents`, `num_artifacts`, `num_samples`, `detection_layers`,
    `include_dead` and `num_shown` (`ArtifactQuestion`), of the rates `num_latents`, `rate_seed`,
    `rates_file`, `save_every` and `noise` (`RateQuestion`).

    Raises:
        ValueError: a bad rate, quantile, kind or share, or a layer that the network lacks.
    """

    rates: Sequence[float] | None = None  # R: at most this is LR, above HR; None = Table 1's
    high_rates: Sequence[float] | None = None  # R of the HR rows; None = as `rates`
    quantiles: Sequence[float] = ()  # more rows: R is this quantile of each layer's rates
    layer_sets: Sequence[Sequence[Layer]] | None = None  # names or positions; None = Table 1's
    rate: float | None = None  # shorthand for one rate
    layers: Sequence[Layer] | None = None  # shorthand for one layer set
    kinds: Sequence[str] = KINDS  # some of low, high, random
    random_share: float = 0.3  # of each image's activated neurons
    extractor: Extractor | None = None  # features where `suite` is null; None = compare none
    detection_rate: float = 0.3  # R of the neurons counted

    baseline = False  # it is that of the artifact images

    def __post_init__(self) -> None:
        super().__post_init__()
        checked_rate(self.detection_rate, "study.detection_rate")
        _ = self.artifacts, self.ablations, self.named_sets

    @cached_property
    def artifacts(self) -> ArtifactChoice:
        """The images that are ablated."""
        return self.choice(self.detection_rate)

    @cached_property
    def ablations(self) -> list[Ablation]:
        """The rows of the grid."""
        given = self.rates if self.rate is None else [self.rate]
        return ablation_rows(
            as_list(self.kinds),
            None if given is None else as_list(given),
            self.random_share,
            as_list(self.quantiles),
            None if self.high_rates is None else as_list(self.high_rates),
        )

    @cached_property
    def named_sets(self) -> list[list[Layer]] | None:
        """The layer sets as given; None = Table 1's."""
        sets = self.layer_sets if self.layers is None else [as_list(self.layers)]
        return None if sets is None else checked_sets(sets)

    def preflight(self) -> None:
        """Raise, before any data is read, if the extractor's weights are not to be had."""
        interventions.preflight(self.suite, self.extractor)

    def check(self, bench: Bench) -> None:
        """Refuse layers that are not there, and rates and latents that do not fit."""
        self.count.check(bench, self.counted_layers(bench))
        self.artifacts.check(bench)
        interventions.check(bench, self.extractor, len(self.artifacts))

    def sets_of(self, bench: Bench) -> list[tuple[str, ...]]:
        """Each layer set by names in network order, none twice.

        Table 1's sets are made of the first layer of each of the four coarsest sizes, which are
        StyleGAN2's 0, 1, 3, 5; in a smaller network those with a layer it lacks are left out.
        """
        if self.named_sets is None:
            names = early_layers(self.count.sampler(bench), num_sizes=4)
            fit = [columns for columns in COLUMNS if max(columns) < len(names)]
            return [tuple(names[i] for i in columns) for columns in fit]
        sets = [tuple(select_layers(bench.generator, layers)) for layers in self.named_sets]
        return list(dict.fromkeys(sets))

    def counted_layers(self, bench: Bench) -> list[str]:
        """Every layer of any set, and those artifacts are found by."""
        ablated = [name for names in self.sets_of(bench) for name in names]
        return select_layers(bench.generator, [*ablated, *self.artifacts.layers_of(bench)])

    def run(self, bench: Bench) -> Findings:
        """Find rates and latents and score the grid; `result` is its cells, row by row."""
        sets = self.sets_of(bench)
        rates = self.count.rates(bench, self.counted_layers(bench)).rates
        indices = self.artifacts.choose(bench, rates)
        scored = Interventions(bench, indices, self.extractor)
        _ = scored.baseline  # first on record
        cells = [self.cell(scored, row, layers, rates) for row in self.ablations for layers in sets]
        if not bench.writes:
            return Findings(result=cells)
        notes = [*scored.left_out(), *self.notes(bench, cells, sets, len(indices))]
        shown = sets[-2] if self.named_sets is None and len(sets) > 5 else sets[-1]
        drawing = self.draw(bench, shown, rates, indices[: self.num_shown])
        tables = self.tables(bench, cells, scored, notes)
        return Findings(tables=tables, figures={"ablation": drawing}, result=cells)

    def cell(
        self, scored: Interventions, ablation: Ablation, layers: tuple[str, ...], rates: Rates
    ) -> Outcome:
        """Score one cell on the baseline's latents and record it."""
        census, bench = Census(), scored.bench
        title = f"{ablation.label} on {', '.join(layers)}"
        found = scored.measure(title, self.edits(bench, ablation, layers, rates, census), census)
        chosen = None
        if ablation.kind != "random":
            chosen = share_chosen(neuron_masks(ablation, rates, layers, self.include_dead))
        bench.record(found.values, intervention=title, silenced=found.silenced)
        return Outcome(ablation, layers, found.values, found.silenced, chosen, found.repair)

    def edits(
        self,
        bench: Bench,
        ablation: Ablation,
        layers: Sequence[str],
        rates: Rates,
        census: Census | None = None,
    ) -> EditsAt:
        """The edits of one cell for this study's latents."""
        dead = self.include_dead
        return ablation_edits(ablation, rates, layers, self.seed, dead, bench.device, census)

    def tables(
        self, bench: Bench, cells: Sequence[Outcome], scored: Interventions, notes: Sequence[str]
    ) -> dict[str, Table]:
        """Every table, by the name of its files."""
        plain, monitor, ways = scored.baseline.values, scored.monitor, bench.scoring.ways
        found = {
            "table": ablation_report.grid_table(cells, plain, monitor, notes, ways),
            "cells": ablation_report.cell_table(cells, plain, monitor, notes, ways),
        }
        if scored.extractor is not None:
            found["repair"] = ablation_report.repair_table(cells, notes)
        if plain and isinstance(bench.generator, stylegan2.Generator):
            names = list(bench.generator.layers)
            found["paper"] = ablation_report.paper_table(cells, plain, monitor, names)
        return found

    def draw(
        self, bench: Bench, layers: Sequence[str], rates: Rates, indices: Sequence[int]
    ) -> Drawing:
        """Images before and after every ablation of one layer set: the paper's {0, 1, 3}."""
        pictures = {"not ablated": bench.sampler.images(indices)}
        for row in self.ablations:
            edits = self.edits(bench, row, layers, rates)
            pictures[row.label] = bench.sampler.images(indices, edits)
        return draw_before_after(pictures, indices, layers)

    def notes(self, bench: Bench, cells: Sequence[Outcome], sets: Sets, num: int) -> list[str]:
        """What a reader of the tables must know of `num` ablated images."""
        dead = "count" if self.include_dead else "do not count"
        by_quantile = any(ablation.quantile is not None for ablation in self.ablations)
        left_out = self.named_sets is None and len(sets) < len(COLUMNS)
        return [
            f"LR: rate ≤ R, HR: rate > R; never-activated neurons {dead} as LR",
            *(["q: R is this quantile of each layer's rates"] if by_quantile else []),
            *(["Table 1's sets with layers that this network lacks are left out"] * left_out),
            *ablation_report.selection_notes(cells),
            f"rates: {self.num_latents} latents of seed {self.count.counted_seed}",
            f"images: {self.artifacts.describe(bench, num)}; no truncation, {self.noise} noise, "
            "averaged generator",
            "silenced: share of the layers' activated neurons set to 0, over all images",
        ]
