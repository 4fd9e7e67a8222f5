"""`study=artifact_detection`: images with many activated LR neurons (Choi et al. 2022, Table 2)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from ganlab.networks.base import Generator
from ganlab.studies.neurons.ablation import low_rate
from ganlab.studies.neurons.activation_rates import NeuronStudy
from ganlab.studies.neurons.detection import FILE, Ranking, activated_neurons
from ganlab.studies.neurons.detection_report import Group, detection_table, draw_detection, save_end
from ganlab.studies.neurons.layers import Layer, as_list, early_layers, select_layers
from ganlab.studies.neurons.rates import checked_rate
from ganlab.studies.sampling import generate, rank_indices
from ganlab.studies.scores import comparing, watched


class ArtifactDetection(NeuronStudy):
    """Ranks images by their activated LR neurons and scores both ends of the ranking.

    Writes `ranking.npz` (address and count of every latent, sorted), `table.*` (Table 2, with as
    many random images for reference), `figures/artifact_detection.png` (Figure 2) and grids of both
    ends, `figures/top.png` and `figures/bottom.png`. No truncation (section 4.1).

    Raises:
        ValueError: ends that overlap, a bad rate, or a layer that the network lacks.
    """

    def __init__(
        self,
        *,
        layers: Sequence[Layer] | None = None,  # names or positions; None = the early ones
        rate: float = 0.3,  # R: a neuron activated at most this often has a low rate
        include_dead: bool = True,  # never-activated neurons count as LR (the paper's text)
        num_samples: int = 50_000,  # ranked latents, addresses 0 .. num_samples-1
        num: int = 2000,  # images of either end that are scored
        num_shown: int = 64,  # at most so many of either end in a grid
        **options: Any,  # of `NeuronStudy`
    ) -> None:
        super().__init__(**options)
        self.layers, self.rate, self.include_dead = layers, checked_rate(rate), include_dead
        if min(num, num_shown) < 1 or 2 * num > num_samples:
            raise ValueError(
                f"study.num={num} and study.num_shown={num_shown} must be at least 1, and both "
                f"ends must fit into study.num_samples={num_samples}"
            )
        self.num_samples, self.num, self.num_shown = num_samples, num, num_shown
        self.ranking: Ranking | None = None  # the result
        self.groups: list[Group] = []  # the rows of the table

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse early what could not be scored: too few images for one of the scores."""
        super().setup(trainer, pl_module, stage)
        if self.suite is not None:
            with comparing(self.suite, self.num):
                pass

    def layers_of(self, generator: Generator) -> list[str]:
        """The chosen layers, or the early ones."""
        if self.layers is None:
            return early_layers(generator, self.rate_seed, self.condition_at)
        return select_layers(generator, as_list(self.layers))

    def investigate(self, trainer: Trainer, system: Any) -> None:
        """Count, rank, score both ends, and write what was found."""
        layers = self.layers_of(system.generator_ema)
        known = self.known_rates(trainer, system, layers)
        masks = {name: low_rate(known.rates[name], self.rate, self.include_dead) for name in layers}
        counts = self.counts(trainer, system, masks)
        self.ranking = Ranking.of(counts, self.seed, known.generator, self.noise)
        self.groups = self.scored(trainer, system, counts, self.ranking)
        if self.directory is not None and trainer.is_global_zero:
            self.write(self.directory, system, self.ranking, self.notes(masks))

    def counts(self, trainer: Trainer, system: Any, masks: Mapping[str, Tensor]) -> Tensor:
        """Activated LR neurons of every latent, (N,) int64, each rank counting its share."""
        rank, world = trainer.global_rank, trainer.world_size
        counts = torch.zeros(self.num_samples, dtype=torch.int64, device=system.device)
        if share := rank_indices(self.num_samples, rank, world):
            counts[rank::world] = activated_neurons(
                system.generator_ema,
                watched(share, "LR neurons", trainer),
                self.seed,
                masks,
                self.batch_size,
                system.device,
                self.condition_at,
                self.noise,
            ).to(system.device)
        together: Tensor = trainer.strategy.reduce(counts, reduce_op="sum")
        return together.cpu()

    def scored(
        self, trainer: Trainer, system: Any, counts: Tensor, ranking: Ranking
    ) -> list[Group]:
        """The rows of Table 2: the fewest, the most, and the first latents as random ones."""
        chosen = {
            "bottom": ranking.bottom(self.num),
            "top": ranking.top(self.num),
            "random": list(range(self.num)),
        }
        return [
            Group(
                f"{name} {self.num}", counts[indices], self.scores(trainer, system, name, indices)
            )
            for name, indices in chosen.items()
        ]

    def scores(
        self, trainer: Trainer, system: Any, name: str, indices: Sequence[int]
    ) -> dict[str, float]:
        """Score these latents and record it; nothing without reals, nothing twice."""
        if self.suite is None:
            return {}
        if name == "random" and self.suite.num_fake == self.num:
            return dict(self.latest)  # the baseline is of these latents
        title = f"{name} {self.num}"
        values = self.score(trainer, system, title, indices=indices)
        self.record(values, system, intervention=f"{title} of {self.num_samples} by LR neurons")
        return values

    def write(self, directory: Path, system: Any, ranking: Ranking, notes: Sequence[str]) -> None:
        """Ranking, table, grids and figure, on one rank."""
        ranking.save(directory / FILE)
        detection_table(self.groups, notes).write(directory)
        shown = min(self.num_shown, self.num)
        top, bottom = ranking.top(shown), ranking.bottom(shown)
        ends = {"top": self.images(system, top), "bottom": self.images(system, bottom)}
        figures = directory / "figures"
        for which, indices in (("top", top), ("bottom", bottom)):
            save_end(ends[which], which, indices, ranking, figures)
        path = figures / "artifact_detection.png"
        draw_detection(ranking, self.num, ends["top"], ends["bottom"], path)

    def images(self, system: Any, indices: Sequence[int]) -> Tensor:
        """Images of these latents, (N, C, H, W) on the CPU."""
        batches = generate(
            system.generator_ema,
            indices,
            self.seed,
            batch_size=self.batch_size,
            device=system.device,
            condition_at=self.condition_at,
            noise=self.noise,
        )
        return torch.cat([batch.cpu() for batch in batches])

    def notes(self, masks: Mapping[str, Tensor]) -> list[str]:
        """What a reader of the table must know."""
        low = sum(int(mask.sum()) for mask in masks.values())
        total = sum(mask.numel() for mask in masks.values())
        dead = "with" if self.include_dead else "without"
        notes = [
            f"{low} of {total} neurons of {', '.join(masks)} are LR: rate ≤ {self.rate:g} on "
            f"{self.num_latents} latents of seed {self.rate_seed}, {dead} never-activated ones",
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
