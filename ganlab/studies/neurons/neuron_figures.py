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
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from ganlab.networks.base import Generator
from ganlab.studies.address import Latents
from ganlab.studies.neurons.ablation_figures import draw_before_after, draw_figure_5
from ganlab.studies.neurons.ablation_grid import (
    Ablation,
    ablation_edits,
    checked_rates,
    neuron_masks,
)
from ganlab.studies.neurons.artifact_latents import ArtifactStudy, is_detection
from ganlab.studies.neurons.layers import Layer, as_list, early_layers, select_layers
from ganlab.studies.neurons.map_figures import Sample, draw_figure_1, draw_figure_3, draw_figure_4
from ganlab.studies.neurons.neuron_maps import (
    Activated,
    Masks,
    activated_counts,
    neuron_maps,
    passage,
)
from ganlab.studies.neurons.rates import checked_rate
from ganlab.studies.sampling import EditsAt, batched, images_at


class NeuronFigures(ArtifactStudy):
    """Draws Figures 1, 3, 4, 5 and 6 for the images with most and with fewest LR neurons.

    Normal images are those that activate fewest LR neurons of the early layers, artifact images
    those that activate most, unless both are given. Every figure has its numbers beside it.
    """

    def __init__(
        self,
        *,
        latents: Latents = None,  # artifact images, or a detection run; None = found here
        normal: Latents = None,  # normal images, given in the same way; None = found likewise
        rate: float = 0.3,  # R: a neuron activated at most this often is an LR neuron
        layers: Sequence[Layer] | None = None,  # of Figures 1, 3, 5, 6; None = the early ones
        followed: Sequence[Layer] | None = None,  # of Figure 4; None = one of each size
        map_layer: Layer | None = None,  # of Figure 1; None = the last of `layers`
        rates: Sequence[float] = (0.1, 0.3, 0.5, 0.7),  # of Figure 5
        num_compared: int = 200,  # images of each kind in the bars of Figure 1
        num_samples_shown: int = 2,  # images of each kind in Figure 1, samples in Figure 5
        **options: Any,  # of `ArtifactStudy`
    ) -> None:
        super().__init__(latents=latents, detection_rate=checked_rate(rate), **options)
        self.normal = self.read_normal(latents, normal)
        self.rate, self.layers, self.followed = rate, layers, followed
        self.map_layer = map_layer
        self.rates = checked_rates(as_list(rates), "study.rates")
        self.num_compared, self.num_samples_shown = num_compared, num_samples_shown
        if latents is None and 2 * self.num_artifacts > self.num_samples:
            raise ValueError(
                f"study.num_artifacts={self.num_artifacts} of either end need study.num_samples to "
                f"be at least {2 * self.num_artifacts}, not {self.num_samples}"
            )
        if min(num_compared, num_samples_shown) < 1 or not self.rates:
            raise ValueError(
                "study.num_compared and study.num_samples_shown must be at least 1, and "
                "study.rates must hold a rate"
            )

    def read_normal(self, latents: Latents, normal: Latents) -> list[int] | None:
        """Addresses of the normal images where they, or a detection run, are given.

        Raises:
            ValueError: only one of the two kinds of images is given.
        """
        if normal is not None and latents is not None:
            return self.read(normal, "bottom", "study.normal")
        if latents is not None and is_detection(latents):
            return self.read(latents, "bottom")
        if normal is not None or latents is not None:
            raise ValueError(
                "study.latents (artifact images) and study.normal (normal ones) go together: give "
                "both, or a run of study=artifact_detection as study.latents, or neither"
            )
        return None

    def layers_of(self, generator: Generator) -> list[str]:
        """Every layer of any figure, and those artifacts are found by."""
        shown = [*self.ablated_layers(generator), *self.followed_layers(generator)]
        return select_layers(
            generator, [*shown, self.mapped(generator), *self.detection_layers_of(generator)]
        )

    def ablated_layers(self, generator: Generator) -> list[str]:
        """The layers whose neurons are counted and switched off."""
        if self.layers is None:
            return early_layers(generator, self.rate_seed, self.condition_at)
        return select_layers(generator, as_list(self.layers))

    def followed_layers(self, generator: Generator) -> list[str]:
        """The columns of Figure 4: StyleGAN2's 0, 1, 3, 5, 7, or their like."""
        if self.followed is None:
            return early_layers(generator, self.rate_seed, self.condition_at, num_sizes=5)
        return select_layers(generator, as_list(self.followed))

    def mapped(self, generator: Generator) -> str:
        """The layer of Figure 1's maps."""
        if self.map_layer is None:
            return self.ablated_layers(generator)[-1]
        return select_layers(generator, [self.map_layer])[0]

    def investigate(self, trainer: Trainer, system: Any) -> None:
        """Find rates and images, and draw, on one rank."""
        rates = self.known_rates(trainer, system, self.layers_of(system.generator_ema)).rates
        artifacts, normal = self.given, self.normal
        if artifacts is None or normal is None:
            ranking = self.detected(trainer, system, rates)
            artifacts = ranking.top(self.num_artifacts)
            normal = ranking.bottom(self.num_artifacts)
        if self.directory is not None and trainer.is_global_zero:
            self.draw_maps(system, rates, normal, artifacts)
            self.draw_ablations(system, rates, artifacts)

    def draw_maps(
        self,
        system: Any,
        rates: Mapping[str, Tensor],
        normal: Sequence[int],
        artifacts: Sequence[int],
    ) -> None:
        """Figures 1, 3 and 4."""
        generator, folder = system.generator_ema, self.folder
        layers, mapped = self.ablated_layers(generator), self.mapped(generator)
        shown = list(dict.fromkeys([*layers, mapped]))
        low, high = (
            neuron_masks(Ablation(kind, self.rate), rates, shown, self.include_dead)
            for kind in ("low", "high")
        )
        kinds = {"normal": normal, "artifact": artifacts}
        groups = {
            name: [
                self.sample(system, index, low, high) for index in found[: self.num_samples_shown]
            ]
            for name, found in kinds.items()
        }
        of_layers = {name: low[name] for name in layers}
        counts = {
            name: self.counted(system, found[: self.num_compared], of_layers)
            for name, found in kinds.items()
        }
        path = folder / "figure1_rare_neurons.png"
        draw_figure_1(groups, counts, layers, mapped, self.rate, path)
        general, rare = groups["normal"][0], groups["artifact"][0]
        draw_figure_3(general, rare, layers, self.rate, folder / "figure3_low_and_high.png")
        followed = self.followed_layers(generator)
        chosen = neuron_masks(Ablation("low", self.rate), rates, followed, self.include_dead)
        found = passage(generator, artifacts[0], self.seed, chosen, **self.how(system))
        draw_figure_4(found, artifacts[0], self.rate, folder / "figure4_layers.png")

    @property
    def folder(self) -> Path:
        """Where figures go."""
        return (self.directory or Path()) / "figures"

    def sample(self, system: Any, index: int, low: Masks, high: Masks) -> Sample:
        """One image with its maps."""
        low_maps, high_maps = (
            neuron_maps(system.generator_ema, [index], self.seed, masks, **self.how(system))
            for masks in (low, high)
        )
        image = self.images(system, [index])[0]
        first = [{name: found[0] for name, found in maps.items()} for maps in (low_maps, high_maps)]
        return Sample(index, image, *first)

    def counted(self, system: Any, indices: Sequence[int], low: Masks) -> Activated:
        """Counts of these images, in batches."""
        parts = [
            activated_counts(system.generator_ema, batch, self.seed, low, **self.how(system))
            for batch in batched(indices, self.batch_size)
        ]
        return Activated(
            torch.cat([part.activated for part in parts]),
            torch.cat([part.chosen for part in parts]),
        )

    def images(self, system: Any, indices: Sequence[int], edits: EditsAt | None = None) -> Tensor:
        """(N, C, H, W) on the CPU."""
        generator, how = system.generator_ema, self.how(system)
        return images_at(generator, indices, self.seed, edits=edits, **how).cpu()

    def draw_ablations(
        self, system: Any, rates: Mapping[str, Tensor], artifacts: Sequence[int]
    ) -> None:
        """Figures 5 and 6."""
        layers = self.ablated_layers(system.generator_ema)

        def ablated(kind: str, rate: float, indices: Sequence[int]) -> Tensor:
            row = Ablation(kind, rate)
            edits = ablation_edits(row, rates, layers, self.seed, self.include_dead, system.device)
            return self.images(system, indices, edits)

        few = artifacts[: self.num_samples_shown]
        grid = {(k, r): ablated(k, r, few) for k in ("high", "low") for r in self.rates}
        path = self.folder / "figure5_rates.png"
        draw_figure_5(self.images(system, few), grid, few, layers, path)
        shown = artifacts[: self.num_shown]
        rows = {"before": self.images(system, shown), "after": ablated("low", self.rate, shown)}
        draw_before_after(rows, shown, layers, self.folder / "figure6_repaired.png")
