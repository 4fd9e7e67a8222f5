"""The latents of artifact and of normal images: given, read from a detection, or found here."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from ganlab.networks.base import Generator
from ganlab.studies.address import Latents, addresses
from ganlab.studies.neurons.ablation import low_rate
from ganlab.studies.neurons.activation_rates import NeuronStudy
from ganlab.studies.neurons.detection import FILE, Ranking, activated_neurons, read_ranking
from ganlab.studies.neurons.layers import Layer, as_list, early_layers, select_layers
from ganlab.studies.neurons.rates import checked_rate, digest
from ganlab.studies.neurons.repair import in_order
from ganlab.studies.scores import watched


def is_detection(latents: Latents) -> bool:
    """Whether this names a run of `study=artifact_detection`, or its file."""
    if not isinstance(latents, str):
        return False
    path = Path(latents).expanduser()
    return path.suffix == Path(FILE).suffix or path.is_dir()


class ArtifactStudy(NeuronStudy):
    """A study of the images that activate most LR neurons of the early layers (section 4.1).

    Raises:
        ValueError: latents that are none, a bad rate or number, a layer that the network lacks, a
            detection on another generator or another seed.
    """

    def __init__(
        self,
        *,
        latents: Latents = None,  # addresses, "0:1300", a file, a detection run; None = found here
        num_artifacts: int = 1300,  # images with most LR neurons that are taken
        num_samples: int = 50_000,  # latents of `seed` among which they are found
        detection_layers: Sequence[Layer] | None = None,  # None = the early layers
        detection_rate: float = 0.3,  # R of the neurons counted
        include_dead: bool = True,  # never-activated neurons count as LR (the paper's text)
        num_shown: int = 8,  # images in figures of before and after: the first of the latents
        **options: Any,  # of `NeuronStudy`
    ) -> None:
        super().__init__(**options)
        self.num_artifacts, self.num_samples = num_artifacts, num_samples
        self.detection_layers = detection_layers
        self.detection_rate = checked_rate(detection_rate, "study.detection_rate")
        self.include_dead, self.num_shown = include_dead, num_shown
        if not 1 <= num_artifacts <= num_samples or num_shown < 1:
            raise ValueError(
                f"study.num_artifacts={num_artifacts} must be from 1 to study.num_samples="
                f"{num_samples}, and study.num_shown={num_shown} at least 1"
            )
        self.latents = latents
        self.given = None if latents is None else self.read(latents, "top")
        self.counted_layers: list[str] = []  # those a detection here went by

    def read(
        self, latents: int | Sequence[int] | str, which: str, key: str = "study.latents"
    ) -> list[int]:
        """Given addresses; of a detection run its `num_artifacts` at the top or bottom."""
        if is_detection(latents):
            return read_ranking(str(latents), which, self.num_artifacts, self.seed, key)
        return addresses(latents, key)

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse early what a detection found on another generator, or with other noise."""
        super().setup(trainer, pl_module, stage)
        if is_detection(self.latents):
            ranking = Ranking.load(str(self.latents))
            ours = (digest(pl_module.generator_ema), self.noise)
            if (ranking.generator, ranking.noise) != ours:
                raise ValueError(
                    f"study.latents={self.latents} ranks images of another generator, or with "
                    "other noise; run study=artifact_detection on this one, or leave it out"
                )

    def detection_layers_of(self, generator: Generator) -> list[str]:
        """The layers whose LR neurons are counted, by name; none where nothing is to be found."""
        if not self.detecting:
            return []
        if self.detection_layers is None:
            return early_layers(generator, self.rate_seed, self.condition_at)
        return select_layers(generator, as_list(self.detection_layers))

    @property
    def detecting(self) -> bool:
        """Whether the latents have to be found by this study."""
        return self.given is None

    @property
    def num_images(self) -> int:
        """How many images the study is about."""
        return self.num_artifacts if self.given is None else len(self.given)

    def latents_of(
        self, trainer: Trainer, system: Any, rates: Mapping[str, Tensor]
    ) -> Sequence[int]:
        """Addresses of the images the study is about, those with most LR neurons first."""
        if self.given is not None:
            return self.given
        return self.detected(trainer, system, rates).top(self.num_artifacts)

    def detected(self, trainer: Trainer, system: Any, rates: Mapping[str, Tensor]) -> Ranking:
        """All `num_samples` latents by their activated LR neurons; kept as `ranking.npz`."""
        generator = system.generator_ema
        layers = self.detection_layers_of(generator)
        self.counted_layers = layers
        low = {n: low_rate(rates[n], self.detection_rate, self.include_dead) for n in layers}
        counts = torch.empty(0, dtype=torch.int64)
        if share := range(trainer.global_rank, self.num_samples, trainer.world_size):
            indices = watched(share, "LR neurons", trainer)
            how = self.how(system)
            counts = activated_neurons(generator, indices, self.seed, low, self.batch_size, **how)
        together = in_order(counts.to(system.device)).cpu()
        ranking = Ranking.of(together, self.seed, digest(generator), self.noise)
        if self.directory is not None and trainer.is_global_zero:
            ranking.save(self.directory / FILE)
        return ranking

    def how(self, system: Any) -> dict[str, Any]:
        """How images are made: options of `images_at`."""
        return {"device": system.device, "condition_at": self.condition_at, "noise": self.noise}

    def described(self, indices: Sequence[int]) -> str:
        """What these latents are, for a note."""
        if is_detection(self.latents):
            return f"the top {len(indices)} latents (seed {self.seed}) of {self.latents}"
        if self.given is not None:
            return f"{len(indices)} given latents of seed {self.seed}"
        return (
            f"the {len(indices)} of {self.num_samples} latents of seed {self.seed} that activate "
            f"most LR neurons (R = {self.detection_rate:g}) of {', '.join(self.counted_layers)}"
        )
