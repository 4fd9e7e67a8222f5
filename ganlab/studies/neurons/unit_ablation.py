"""`study=unit_ablation`: whole channels of a layer switched off by a ranking, step by step.

Bau et al. 2018 (GAN Dissection, arXiv:1811.10597), section 4.3: units that make artifacts are
found and set to zero, and the score improves until units that are needed go too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ganlab.features import Extractor
from ganlab.report.drawings import Drawing
from ganlab.studies.address import Latents
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.neurons import interventions
from ganlab.studies.neurons.ablation import Census
from ganlab.studies.neurons.ablation_figures import draw_before_after
from ganlab.studies.neurons.artifact_latents import ArtifactChoice
from ganlab.studies.neurons.interventions import Interventions, every
from ganlab.studies.neurons.layers import Layer, as_list
from ganlab.studies.neurons.rate_count import RateCount
from ganlab.studies.neurons.unit_ranking import Ranked, UnitRanking
from ganlab.studies.neurons.unit_report import Step, draw_steps, step_table
from ganlab.studies.neurons.units import Region, ablate_units
from ganlab.studies.question import Question


@dataclass(frozen=True, kw_only=True)
class UnitAblation(Question):
    """Switches off more and more units of one layer and scores the same latents after each step.

    Writes `table.*`, `figures/unit_ablation.png` (the curve) and `figures/units.png` (before and
    after). Units are switched off in any images, by default the first ones.

    Raises:
        ValueError: more units than there are, or what `UnitRanking` refuses.
    """

    layer: Layer = 0  # name or position
    ranking: str = "rate"  # rate, magnitude, fid, random; given where `units` is
    units: Sequence[int] | None = None  # these, in this order
    descending: bool | None = None  # highest first; None = as the ranking does
    steps: Sequence[int] | None = None  # units switched off; None = 1, 2, 4, ... to half
    region: Region | None = None  # top, left, bottom, right in [0, 1]; None = everywhere
    num_ranked: int = 10_000  # latents of `rate_seed` for magnitude and fid
    num_top: int | None = None  # images a unit's FID is of; None = a twentieth of them
    ranked_on: Latents = None  # magnitude: these latents of `seed` instead
    extractor: Extractor | None = None  # features where `suite` is null; None = compare none
    latents: Latents = (
        None  # scored: addresses, "0:1300", a file, a detection run; None = the first
    )
    num_artifacts: int = 1300  # images taken of a detection run, those with most LR neurons
    num_shown: int = 8  # images in the figure of before and after: the first of the latents
    noise: str = "fixed"  # of all images; random = drawn for each, keyed by its latent
    num_latents: int = 30_000  # N of eq. 1
    rate_seed: int | None = None  # of the counted latents; None = derived from seed
    rates_file: str | Path | None = None  # rates.safetensors or its folder; None = count
    save_every: int = 2000  # latents between two savings of the counts

    noise_told = True
    baseline = False  # it is that of the chosen images

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_shown < 1:
            raise ValueError(f"study.num_shown={self.num_shown} must be at least 1")
        if self.asked is not None and (not self.asked or self.asked[0] < 1):
            raise ValueError(f"study.steps must be numbers of units from 1, got {self.asked}")
        _ = self.artifacts, self.ranks

    @property
    def count(self) -> RateCount:
        """What rates are counted on."""
        given = (self.num_latents, self.seed, self.rate_seed, self.rates_file, self.save_every)
        return RateCount(*given)

    @cached_property
    def artifacts(self) -> ArtifactChoice:
        """The images, where they are given."""
        most = max(self.num_artifacts, 1)
        return ArtifactChoice(self.count, self.latents, self.num_artifacts, most, (), 0.0, True)

    @cached_property
    def ranks(self) -> UnitRanking:
        """How units are ranked."""
        given = None if self.units is None else as_list(self.units)
        return UnitRanking(
            count=self.count,
            suite=self.suite,
            layer=self.layer,
            by=self.ranking if given is None else "given",
            units=given,
            descending=self.descending,
            region=self.region,
            num_ranked=self.num_ranked,
            num_top=self.num_top,
            ranked_on=self.ranked_on,
        )

    @cached_property
    def asked(self) -> list[int] | None:
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
        self.count.check(bench, [self.ranks.layer_of(bench)])
        self.artifacts.check(bench)
        self.chosen_steps(self.ranks.check(bench))
        interventions.check(bench, self.extractor, len(self.indices))

    def chosen_steps(self, num_units: int) -> list[int]:
        """Numbers of units to switch off, ascending.

        Raises:
            ValueError: more than there are.
        """
        if self.asked is None:
            most = num_units if self.units is not None else max(1, num_units // 2)
            return sorted({2**i for i in range(most.bit_length())} | {most})
        if self.asked[-1] > num_units:
            raise ValueError(
                f"study.steps goes to {self.asked[-1]}, but there are {num_units} units"
            )
        return self.asked

    def run(self, bench: Bench) -> Findings:
        """Rank the units, then score with more and more of them gone; `result` is both."""
        layer, scored = (
            self.ranks.layer_of(bench),
            Interventions(bench, self.indices, self.extractor),
        )
        found = self.ranks.ranked(bench, scored.extractor)
        plain = scored.plain
        steps = [Step(0, plain.values, 0.0, plain.repair)]
        for num in self.chosen_steps(len(found.order)):
            steps.append(self.step(scored, layer, found.order, num))
        if not bench.writes:
            return Findings(result=(found, steps))
        title, monitor = f"Units of {layer} switched off by {self.ranks.by}", scored.monitor
        notes = [*scored.left_out(), *self.notes(bench)]
        return Findings(
            tables={"table": step_table(steps, found.order, monitor, title, notes)},
            figures={
                "unit_ablation": draw_steps(steps, found.order, found.values, monitor, title),
                "units": self.drawn(bench, layer, found, steps),
            },
            result=(found, steps),
        )

    def step(self, scored: Interventions, layer: str, order: Sequence[int], num: int) -> Step:
        """Score the latents without the first `num` units and record it."""
        census = Census()
        edits = every({layer: census.watching(ablate_units(order[:num]))})
        title = f"{num} units of {layer} by {self.ranks.by}"
        found = scored.measured(title, edits, census)
        scored.bench.record(found.values, intervention=title)
        return Step(num, found.values, found.silenced, found.repair)

    def drawn(self, bench: Bench, layer: str, found: Ranked, steps: Sequence[Step]) -> Drawing:
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
            images = self.artifacts.described(bench, len(self.indices))
        return [
            f"ranking: {self.ranks.note()}",
            f"images: {images}; no truncation, {self.noise} noise, averaged generator",
            "a unit is set to zero at every position, whatever its sign",
        ]
