"""`study=neuron_figures`: the figures of Choi et al. 2022, drawn from any generator.

| file | figure | what it shows |
|---|---|---|
| `figure1_rare_neurons` | 1 | maps of LR neurons of normal and artifact images, and their shares |
| `figure3_low_and_high` | 3, top | LR and HR maps of a general and a rare sample |
| `figure4_layers` | 4 | an artifact image's LR neurons by layer, with earlier layers ablated |
| `figure5_rates` | 5 | HR and LR ablation at several rates |
| `figure6_repaired` | 6 and 3, bottom | artifact images before and after LR ablation |

Figure 2 is a part of `study=artifact_detection`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from ganlab.report.drawings import Drawing
from ganlab.studies.address import Latents
from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.neurons.ablation import Ablation, ablation_edits, checked_rates, neuron_masks
from ganlab.studies.neurons.detection import ArtifactChoice, ArtifactQuestion, is_detection
from ganlab.studies.neurons.figures import (
    Sample,
    draw_before_after,
    draw_figure_1,
    draw_figure_3,
    draw_figure_4,
    draw_figure_5,
)
from ganlab.studies.neurons.layers import Layer, as_list, select_layers
from ganlab.studies.neurons.neuron_maps import (
    Masks,
    activated_counts,
    neuron_maps,
    passage,
)
from ganlab.studies.neurons.rates import checked_rate
from ganlab.studies.question import at_least

Rates = Mapping[str, Tensor]  # layer -> (C, H, W)


@dataclass(frozen=True, kw_only=True)
class NeuronFigures(ArtifactQuestion):
    """Draws Figures 1, 3, 4, 5 and 6 for the images with most and with fewest LR neurons.

    Normal images are those that activate fewest LR neurons of the early layers, artifact images
    those that activate most, unless both are given. Every figure has its numbers beside it.

    Further options: of the images `latents`, `num_artifacts`, `num_samples`, `detection_layers`,
    `include_dead` and `num_shown` (`ArtifactQuestion`; `num_shown` is of Figure 6), of the rates
    `num_latents`, `rate_seed`, `rates_file`, `save_every` and `noise` (`RateQuestion`).
    """

    normal: Latents = None  # normal images, given as `latents` are; None = found likewise
    rate: float = 0.3  # R: a neuron activated at most this often is an LR neuron
    layers: Sequence[Layer] | None = None  # of Figures 1, 3, 5, 6; None = the early ones
    followed: Sequence[Layer] | None = None  # of Figure 4; None = one of each size
    map_layer: Layer | None = None  # of Figure 1; None = the last of `layers`
    rates: Sequence[float] = (0.1, 0.3, 0.5, 0.7)  # of Figure 5
    num_compared: int = 200  # images of each kind in the bars of Figure 1
    num_samples_shown: int = 2  # images of each kind in Figure 1, samples in Figure 5

    def __post_init__(self) -> None:
        super().__post_init__()
        checked_rate(self.rate)
        _ = self.artifacts, self.given_normal, self.shown_rates
        if self.latents is None and 2 * self.num_artifacts > self.num_samples:
            raise ValueError(
                f"study.num_artifacts={self.num_artifacts} of either end need study.num_samples to "
                f"be at least {2 * self.num_artifacts}, not {self.num_samples}"
            )
        at_least(1, num_compared=self.num_compared, num_samples_shown=self.num_samples_shown)
        if not self.shown_rates:
            raise ValueError("study.rates must hold a rate")

    @cached_property
    def artifacts(self) -> ArtifactChoice:
        """The artifact images."""
        return self.choice(self.rate)

    @cached_property
    def shown_rates(self) -> list[float]:
        """R of Figure 5."""
        return checked_rates(as_list(self.rates), "study.rates")

    @cached_property
    def given_normal(self) -> list[int] | None:
        """Addresses of the normal images where they, or a detection run, are given.

        Raises:
            ValueError: only one of the two kinds of images is given.
        """
        if self.normal is not None and self.latents is not None:
            return self.artifacts.read(self.normal, "bottom", "study.normal")
        if self.latents is not None and is_detection(self.latents):
            return self.artifacts.read(self.latents, "bottom")
        if self.normal is not None or self.latents is not None:
            raise ValueError(
                "study.latents (artifact images) and study.normal (normal ones) go together: give "
                "both, or a run of study=artifact_detection as study.latents, or neither"
            )
        return None

    def check(self, bench: Bench) -> None:
        """Refuse layers that are not there, and rates and latents that do not fit."""
        self.count.check(bench, self.counted_layers(bench))
        self.artifacts.check(bench)

    def counted_layers(self, bench: Bench) -> list[str]:
        """Every layer of any figure, and those artifacts are found by."""
        shown = [*self.ablated_layers(bench), *self.followed_layers(bench)]
        others = [self.mapped_layer(bench), *self.artifacts.layers_of(bench)]
        return select_layers(bench.generator, [*shown, *others])

    def ablated_layers(self, bench: Bench) -> list[str]:
        """The layers whose neurons are counted and switched off."""
        return self.count.layers(bench, self.layers)

    def followed_layers(self, bench: Bench) -> list[str]:
        """The columns of Figure 4: StyleGAN2's 0, 1, 3, 5, 7, or their like."""
        return self.count.layers(bench, self.followed, num_sizes=5, key="study.followed")

    def mapped_layer(self, bench: Bench) -> str:
        """The layer of Figure 1's maps."""
        if self.map_layer is None:
            return self.ablated_layers(bench)[-1]
        return self.count.layers(bench, [self.map_layer], key="study.map_layer")[-1]

    def run(self, bench: Bench) -> Findings:
        """Find rates and images, and draw, on the first rank."""
        rates = self.count.rates(bench, self.counted_layers(bench)).rates
        artifacts, normal = self.artifacts.given, self.given_normal
        if artifacts is None or normal is None:
            ranking = self.artifacts.ranking(bench, rates)
            artifacts = ranking.top(self.num_artifacts)
            normal = ranking.bottom(self.num_artifacts)
        if not bench.writes:
            return Findings()
        maps = self.maps(bench, rates, normal, artifacts)
        return Findings(figures=maps | self.ablations(bench, rates, artifacts))

    def maps(
        self, bench: Bench, rates: Rates, normal: Sequence[int], artifacts: Sequence[int]
    ) -> dict[str, Drawing]:
        """Figures 1, 3 and 4."""
        layers, mapped = self.ablated_layers(bench), self.mapped_layer(bench)
        shown = list(dict.fromkeys([*layers, mapped]))
        low, high = (
            neuron_masks(Ablation(kind, self.rate), rates, shown, self.include_dead)
            for kind in ("low", "high")
        )
        kinds = {"normal": normal, "artifact": artifacts}
        groups = {
            name: [sample(bench, index, low, high) for index in found[: self.num_samples_shown]]
            for name, found in kinds.items()
        }
        of_layers = {name: low[name] for name in layers}
        counts = {
            name: activated_counts(bench.sampler, found[: self.num_compared], of_layers)
            for name, found in kinds.items()
        }
        general, rare = groups["normal"][0], groups["artifact"][0]
        followed, first = self.followed_layers(bench), artifacts[0]
        chosen = neuron_masks(Ablation("low", self.rate), rates, followed, self.include_dead)
        passed = passage(bench.sampler, first, chosen)
        return {
            "figure1_rare_neurons": draw_figure_1(groups, counts, layers, mapped, self.rate),
            "figure3_low_and_high": draw_figure_3(general, rare, layers, self.rate),
            "figure4_layers": draw_figure_4(passed, first, self.rate),
        }

    def ablations(self, bench: Bench, rates: Rates, artifacts: Sequence[int]) -> dict[str, Drawing]:
        """Figures 5 and 6."""
        layers, dead = self.ablated_layers(bench), self.include_dead

        def ablated(kind: str, rate: float, indices: Sequence[int]) -> Tensor:
            row = Ablation(kind, rate)
            edits = ablation_edits(row, rates, layers, self.seed, dead, bench.device)
            return bench.sampler.images(indices, edits)

        few, shown = artifacts[: self.num_samples_shown], artifacts[: self.num_shown]
        grid = {(k, r): ablated(k, r, few) for k in ("high", "low") for r in self.shown_rates}
        after = ablated("low", self.rate, shown)
        rows = {"before": bench.sampler.images(shown), "after": after}
        return {
            "figure5_rates": draw_figure_5(bench.sampler.images(few), grid, few, layers),
            "figure6_repaired": draw_before_after(rows, shown, layers),
        }


def sample(bench: Bench, index: int, low: Masks, high: Masks) -> Sample:
    """One image with its maps."""
    maps = [
        {name: found[0] for name, found in neuron_maps(bench.sampler, [index], masks).items()}
        for masks in (low, high)
    ]
    return Sample(index, bench.sampler.images([index])[0], *maps)
