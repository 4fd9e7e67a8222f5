"""`study=artifact_detection`: images with many activated LR neurons (Choi et al. 2022, Table 2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ganlab.studies.bench import Bench
from ganlab.studies.findings import Findings
from ganlab.studies.neurons.ablation import low_rate
from ganlab.studies.neurons.artifact_latents import ranked_latents
from ganlab.studies.neurons.detection import FILE, Ranking
from ganlab.studies.neurons.detection_report import (
    Group,
    detection_table,
    draw_detection,
    grid_of_end,
)
from ganlab.studies.neurons.layers import Layer, as_list, early_layers, select_layers
from ganlab.studies.neurons.rate_count import RateCount
from ganlab.studies.neurons.rates import checked_rate
from ganlab.studies.question import Question


@dataclass(frozen=True, kw_only=True)
class ArtifactDetection(Question):
    """Ranks images by their activated LR neurons and scores both ends of the ranking.

    Writes `ranking.npz` (address and count of every latent, sorted), `table.*` (Table 2, with as
    many random images for reference), `figures/artifact_detection.png` (Figure 2) and grids of both
    ends, `figures/top.png` and `figures/bottom.png`. No truncation (section 4.1).

    Raises:
        ValueError: ends that overlap, a bad rate, or a layer that the network lacks.
    """

    layers: Sequence[Layer] | None = None  # names or positions; None = the early ones
    rate: float = 0.3  # R: a neuron activated at most this often has a low rate
    include_dead: bool = True  # never-activated neurons count as LR (the paper's text)
    num_samples: int = 50_000  # ranked latents, addresses 0 .. num_samples-1
    num: int = 2000  # images of either end that are scored
    num_shown: int = 64  # at most so many of either end in a grid
    num_latents: int = 30_000  # N of eq. 1
    rate_seed: int | None = None  # of the counted latents; None = derived from seed
    rates_file: str | Path | None = None  # rates.safetensors or its folder; None = count
    noise: str = "fixed"  # of all images; random = drawn for each, keyed by its latent
    save_every: int = 2000  # latents between two savings of the counts

    noise_told = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.count, checked_rate(self.rate)
        if min(self.num, self.num_shown) < 1 or 2 * self.num > self.num_samples:
            raise ValueError(
                f"study.num={self.num} and study.num_shown={self.num_shown} must be at least 1, "
                f"and both ends must fit into study.num_samples={self.num_samples}"
            )

    @property
    def count(self) -> RateCount:
        """What rates are counted on."""
        given = (self.num_latents, self.seed, self.rate_seed, self.rates_file, self.save_every)
        return RateCount(*given)

    def check(self, bench: Bench) -> None:
        """Refuse layers that are not there, rates that do not fit, and too few images to score."""
        self.count.check(bench, self.layers_of(bench))
        bench.scoring.check_sizes(self.num)

    def layers_of(self, bench: Bench) -> list[str]:
        """The chosen layers, or the early ones."""
        if self.layers is None:
            return early_layers(self.count.sampler(bench))
        return select_layers(bench.generator, as_list(self.layers))

    def run(self, bench: Bench) -> Findings:
        """Count, rank and score both ends; `result` is the ranking and the rows of the table."""
        layers = self.layers_of(bench)
        rates = self.count.rates(bench, layers).rates
        masks = {name: low_rate(rates[name], self.rate, self.include_dead) for name in layers}
        ranking = ranked_latents(bench, masks, self.num_samples)
        groups = self.scored(bench, ranking)
        if not bench.writes:
            return Findings(result=(ranking, groups))
        shown = min(self.num_shown, self.num)
        ends = {"top": ranking.top(shown), "bottom": ranking.bottom(shown)}
        images = {which: bench.sampler.images(indices) for which, indices in ends.items()}
        grids = {
            which: grid_of_end(images[which], which, indices, ranking)
            for which, indices in ends.items()
        }
        drawn = draw_detection(ranking, self.num, images["top"], images["bottom"])
        return Findings(
            tables={"table": detection_table(groups, self.notes(masks))},
            figures={**grids, "artifact_detection": drawn},
            files={FILE: ranking.save},
            result=(ranking, groups),
        )

    def scored(self, bench: Bench, ranking: Ranking) -> list[Group]:
        """The rows of Table 2: the fewest, the most, and the first latents as random ones."""
        counts = torch.empty_like(ranking.count)
        counts[ranking.index] = ranking.count  # by address
        chosen = {
            "bottom": ranking.bottom(self.num),
            "top": ranking.top(self.num),
            "random": list(range(self.num)),
        }
        return [
            Group(f"{name} {self.num}", counts[indices], self.scores(bench, name, indices))
            for name, indices in chosen.items()
        ]

    def scores(self, bench: Bench, name: str, indices: Sequence[int]) -> dict[str, float]:
        """Score these latents and record it; nothing without reals, nothing twice."""
        if bench.suite is None:
            return {}
        if name == "random" and bench.suite.num_fake == self.num:
            return dict(bench.baseline)  # it is of these latents
        title = f"{name} {self.num}"
        values = bench.score(title, indices)
        bench.record(values, intervention=f"{title} of {self.num_samples} by LR neurons")
        return values

    def notes(self, masks: Mapping[str, Tensor]) -> list[str]:
        """What a reader of the table must know."""
        low = sum(int(mask.sum()) for mask in masks.values())
        total = sum(mask.numel() for mask in masks.values())
        dead = "with" if self.include_dead else "without"
        notes = [
            f"{low} of {total} neurons of {', '.join(masks)} are LR: rate ≤ {self.rate:g} on "
            f"{self.num_latents} latents of seed {self.count.counted_seed}, {dead} "
            "never-activated ones",
            f"images: latents 0 to {self.num_samples - 1} of seed {self.seed}, noise {self.noise}, "
            f"no truncation, averaged generator; equal counts rank by index; random: the first "
            f"{self.num}; all addresses are in {FILE}",
        ]
        if low in (0, total):
            order = "the ranking is the order of the indices" if not low else "each counts"
            notes.append(f"study.rate selects {'every' if low else 'no'} neuron: {order}")
        if self.suite is None:
            notes.append("no scores: there are no reals to compare with (study.suite is null)")
        return notes
