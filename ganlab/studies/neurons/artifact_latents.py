"""The latents of artifact and of normal images: given, read from a detection, or found here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from ganlab.studies.address import Latents, addresses
from ganlab.studies.bench import Bench
from ganlab.studies.neurons.ablation import low_rate
from ganlab.studies.neurons.detection import FILE, Ranking, activated_neurons, read_ranking
from ganlab.studies.neurons.layers import Layer, as_list, early_layers, select_layers
from ganlab.studies.neurons.rate_count import RateCount
from ganlab.studies.neurons.rates import digest
from ganlab.studies.places import place_named


def is_detection(latents: Latents, key: str = "study.latents") -> bool:
    """Whether this names a run of `study=artifact_detection`, or its file."""
    if not isinstance(latents, str):
        return False
    path = place_named(latents, key)
    return path.suffix == Path(FILE).suffix or path.is_dir()


@dataclass(frozen=True)
class ArtifactChoice:
    """Which images a study is about: those that activate most LR neurons of the early layers.

    Section 4.1 of the paper. Latents that are given are taken instead.

    Raises:
        ValueError: latents that are none, a bad rate or number, or a detection on another seed.
    """

    count: RateCount
    latents: Latents  # addresses, "0:1300", a file, a detection run; None = found here
    num_artifacts: int  # images with most LR neurons that are taken
    num_samples: int  # latents of the count's scored seed among which they are found
    layers: Sequence[Layer] | None  # None = the early layers
    rate: float  # R of the neurons counted
    include_dead: bool  # never-activated neurons count as LR

    def __post_init__(self) -> None:
        if not 1 <= self.num_artifacts <= self.num_samples:
            raise ValueError(
                f"study.num_artifacts={self.num_artifacts} must be from 1 to study.num_samples="
                f"{self.num_samples}"
            )
        _ = self.given

    @cached_property
    def given(self) -> list[int] | None:
        """The addresses, where nothing is to be found."""
        return None if self.latents is None else self.read(self.latents, "top")

    def read(
        self, latents: int | Sequence[int] | str, which: str, key: str = "study.latents"
    ) -> list[int]:
        """Given addresses; of a detection run its `num_artifacts` at the top or bottom."""
        if is_detection(latents):
            return read_ranking(str(latents), which, self.num_artifacts, self.count.seed, key)
        return addresses(latents, key)

    def __len__(self) -> int:
        return self.num_artifacts if self.given is None else len(self.given)

    def check(self, bench: Bench) -> None:
        """Refuse early what a detection found on another generator, or with other noise."""
        if not is_detection(self.latents):
            return
        ranking = Ranking.load(str(self.latents))
        if (ranking.generator, ranking.noise) != (digest(bench.generator), bench.sampler.noise):
            raise ValueError(
                f"study.latents={self.latents} ranks images of another generator, or with "
                "other noise; run study=artifact_detection on this one, or leave it out"
            )

    def layers_of(self, bench: Bench) -> list[str]:
        """The layers whose LR neurons are counted, by name; none where nothing is to be found."""
        if self.given is not None:
            return []
        if self.layers is None:
            return early_layers(self.count.sampler(bench))
        return select_layers(bench.generator, as_list(self.layers), "study.detection_layers")

    def found(self, bench: Bench, rates: Mapping[str, Tensor]) -> Sequence[int]:
        """Addresses of the images the study is about, those with most LR neurons first."""
        if self.given is not None:
            return self.given
        return self.ranking(bench, rates).top(self.num_artifacts)

    def ranking(self, bench: Bench, rates: Mapping[str, Tensor]) -> Ranking:
        """All `num_samples` latents by their activated LR neurons; kept as `ranking.npz`."""
        layers = self.layers_of(bench)
        low = {name: low_rate(rates[name], self.rate, self.include_dead) for name in layers}
        ranking = ranked_latents(bench, low, self.num_samples)
        if bench.directory is not None and bench.ranks.first:
            ranking.save(bench.directory / FILE)
        return ranking

    def described(self, bench: Bench, num: int) -> str:
        """What `num` latents are, for a note."""
        if is_detection(self.latents):
            return f"the top {num} latents (seed {self.count.seed}) of {self.latents}"
        if self.given is not None:
            return f"{num} given latents of seed {self.count.seed}"
        return (
            f"the {num} of {self.num_samples} latents of seed {self.count.seed} that activate "
            f"most LR neurons (R = {self.rate:g}) of {', '.join(self.layers_of(bench))}"
        )


def ranked_latents(bench: Bench, masks: Mapping[str, Tensor], num: int) -> Ranking:
    """Latents 0 .. num-1 by how many of the masks' neurons they activate, all ranks together."""
    counts: list[Tensor] = []
    if share := bench.ranks.share(range(num)):
        indices = bench.ranks.watched(share, "LR neurons")
        counts = [activated_neurons(bench.sampler, indices, masks)]
    together = bench.ranks.joined(counts).cpu()
    return Ranking.of(together, bench.seed, digest(bench.generator), bench.sampler.noise)
