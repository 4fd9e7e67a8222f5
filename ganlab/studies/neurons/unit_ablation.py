"""`study=unit_ablation`: whole channels of a layer switched off by a ranking, step by step.

Bau et al. 2018 (GAN Dissection, arXiv:1811.10597), section 4.3: units that make artifacts are
found and set to zero, and the score improves until units that are needed go too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from numpy.typing import ArrayLike
from torch import Tensor

from ganlab.features import Extractor
from ganlab.metrics.repair import Repair
from ganlab.nn.ablation import Census, ablate_units
from ganlab.report import figures
from ganlab.report.directions import UNSAID, Ways
from ganlab.report.drawings import Drawing
from ganlab.report.tables import Table
from ganlab.scoring.directions import marks
from ganlab.studies.address import Latents
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.neurons import interventions
from ganlab.studies.neurons.ablation_report import SILENCED, repair_notes
from ganlab.studies.neurons.detection import ArtifactChoice
from ganlab.studies.neurons.figures import draw_before_after
from ganlab.studies.neurons.interventions import Interventions
from ganlab.studies.neurons.layers import as_list
from ganlab.studies.neurons.unit_ranking import Ranked, UnitRanking
from ganlab.studies.question import at_least

NAMED = 12  # units of a step that the table names


@dataclass(frozen=True)
class Step:
    """The score with the first `num` units of the ranking switched off."""

    num: int
    values: Mapping[str, float] = field(default_factory=dict)  # metric -> score
    silenced: float = 0.0  # share of the layer's activated neurons that were set to zero
    repair: Repair | None = None  # against the same images with all units


@dataclass(frozen=True, kw_only=True)
class UnitAblation(UnitRanking):
    """Switches off more and more units of one layer and scores the same latents after each step.

    Writes `table.*`, `figures/unit_ablation.png` (the curve) and `figures/units.png` (before and
    after). Units are switched off in any images, by default the first ones.

    Further options: of the units `layer`, `ranking`, `units`, `descending`, `region`, `num_ranked`,
    `num_top` and `ranked_on` (`UnitRanking`), of the rates `num_latents`, `rate_seed`,
    `rates_file`, `save_every` and `noise` (`RateQuestion`).

    Raises:
        ValueError: more units than there are, or what `UnitRanking` refuses.
    """

    steps: Sequence[int] | None = None  # units switched off; None = 1, 2, 4, ... to half
    extractor: Extractor | None = None  # features where `suite` is null; None = compare none
    latents: Latents = None  # scored: addresses, "0:9", a file, a detection run; None = the first
    num_artifacts: int = 1300  # images taken of a detection run, those with most LR neurons
    num_shown: int = 8  # images in the figure of before and after: the first of the latents

    baseline = False  # it is that of the chosen images

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, num_shown=self.num_shown)
        if self.given_steps is not None and (not self.given_steps or self.given_steps[0] < 1):
            raise ValueError(f"study.steps must be numbers of units from 1, got {self.given_steps}")
        _ = self.artifacts

    @cached_property
    def artifacts(self) -> ArtifactChoice:
        """The images, where they are given."""
        most = max(self.num_artifacts, 1)
        return ArtifactChoice(self.count, self.latents, self.num_artifacts, most, (), 0.0, True)

    @cached_property
    def given_steps(self) -> list[int] | None:
        """The steps as given, ascending."""
        return None if self.steps is None else sorted(set(as_list(self.steps)))

    @property
    def indices(self) -> Sequence[int]:
        """The images that are scored: those given, else the suite's number, else 1,000."""
        if self.artifacts.given is not None:
            return self.artifacts.given
        return range(1000 if self.suite is None else self.suite.num_fake)

    def preflight(self) -> None:
        """Raise, before any data is read, if the extractor's weights are not to be had."""
        interventions.preflight(self.suite, self.extractor)

    def check(self, bench: Bench) -> None:
        """Refuse units that are not there, and rates and latents that do not fit."""
        self.count.check(bench, [self.layer_of(bench)])
        self.artifacts.check(bench)
        self.chosen_steps(self.num_units(bench))
        interventions.check(bench, self.extractor, len(self.indices))

    def chosen_steps(self, num_units: int) -> list[int]:
        """Numbers of units to switch off, ascending.

        Raises:
            ValueError: more than there are.
        """
        if self.given_steps is None:
            most = num_units if self.units is not None else max(1, num_units // 2)
            return sorted({2**i for i in range(most.bit_length())} | {most})
        if self.given_steps[-1] > num_units:
            raise ValueError(
                f"study.steps goes to {self.given_steps[-1]}, but there are {num_units} units"
            )
        return self.given_steps

    def run(self, bench: Bench) -> Findings:
        """Rank the units, then score with more and more of them gone; `result` is both."""
        layer = self.layer_of(bench)
        scored = Interventions(bench, self.indices, self.extractor)
        found = self.rank(bench)
        steps = [Step(0, scored.baseline.values, 0.0, scored.baseline.repair)]
        for num in self.chosen_steps(len(found.order)):
            steps.append(self.step(scored, layer, found.order, num))
        if not bench.writes:
            return Findings(result=(found, steps))
        title, monitor = f"Units of {layer} switched off by {self.by}", scored.monitor
        notes, ways = [*scored.left_out(), *self.notes(bench)], bench.scoring.ways
        return Findings(
            tables={"table": step_table(steps, found.order, monitor, title, notes, ways)},
            figures={
                "unit_ablation": draw_steps(steps, found.order, found.values, monitor, title),
                "units": self.draw(bench, layer, found, steps),
            },
            result=(found, steps),
        )

    def step(self, scored: Interventions, layer: str, order: Sequence[int], num: int) -> Step:
        """Score the latents without the first `num` units and record it."""
        census = Census()
        edits = {layer: census.watching(ablate_units(order[:num]))}
        title = f"{num} units of {layer} by {self.by}"
        found = scored.measure(title, edits, census)
        scored.bench.record(found.values, intervention=title)
        return Step(num, found.values, found.silenced, found.repair)

    def draw(self, bench: Bench, layer: str, found: Ranked, steps: Sequence[Step]) -> Drawing:
        """The first images with more and more units gone."""
        shown = self.indices[: self.num_shown]
        pictures = {"all units": bench.sampler.images(shown)}
        for step in steps[1:]:
            edits = {layer: ablate_units(found.order[: step.num])}
            pictures[f"without {step.num}"] = bench.sampler.images(shown, edits)
        return draw_before_after(pictures, shown, [layer])

    def notes(self, bench: Bench) -> list[str]:
        """What a reader of the table must know."""
        images = f"the first {len(self.indices)} latents of seed {self.seed}"
        if self.artifacts.given is not None:
            images = self.artifacts.describe(bench, len(self.indices))
        return [
            f"ranking: {self.ranking_note()}",
            f"images: {images}; no truncation, {self.noise} noise, averaged generator",
            "a unit is set to zero at every position, whatever its sign",
        ]


def step_table(
    steps: Sequence[Step],
    order: Sequence[int],  # units, the first to go first
    monitor: str | None,  # whose best step is marked
    title: str,
    notes: Sequence[str] = (),
    ways: Ways = UNSAID,  # in which the scores improve
) -> Table:
    """One row a step: how many units, which came last, every score, what the images became."""
    rows = [step_row(step, order, steps[i - 1].num if i else 0) for i, step in enumerate(steps)]
    best = marks([str(monitor)], monitor, ways)
    found = steps[-1].repair
    said = [*(repair_notes(found) if found else []), *notes]
    return Table(list(rows[-1]), rows, best, title, said)


def step_row(step: Step, order: Sequence[int], previous: int) -> dict[str, object]:
    """One row of the table."""
    added = [str(unit) for unit in order[previous : step.num]]
    text = ", ".join(added[:NAMED]) + (", ..." if len(added) > NAMED else "")
    row = {"units": step.num, "added": text, SILENCED: step.silenced, **step.values}
    if step.repair is not None:
        row |= {
            "distance": step.repair.distance,
            "spread kept": step.repair.spread_kept,
            "recognized": step.repair.recognized,
        }
    return row


def draw_steps(
    steps: Sequence[Step],
    order: Sequence[int],
    unit_values: Tensor | None,  # (C,) what units were ranked by
    monitor: str | None,  # None = the spread kept, or what is silenced, is drawn
    title: str,
) -> Drawing:
    """The monitored score over the number of units switched off.

    The numbers are those of every step, the order of the units, and what they were ranked by.
    """
    name, heights = monitor or SILENCED, [step.silenced for step in steps]
    if monitor is not None:
        heights = [step.values[monitor] for step in steps]
    elif steps[-1].repair is not None:
        name = "spread kept"
        heights = [step.repair.spread_kept if step.repair else float("nan") for step in steps]
    units = [step.num for step in steps]
    figure, _ = figures.curves(
        {name: (units, heights)}, xlabel="units switched off", ylabel=name, title=title, log=False
    )
    numbers: dict[str, ArrayLike] = {"units": units, name: heights, "order": order}
    numbers[SILENCED] = [step.silenced for step in steps]
    if unit_values is not None:
        numbers["unit_values"] = unit_values
    return Drawing(figure, numbers, title)
