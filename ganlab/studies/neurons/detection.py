"""Finding artifact images by their activated LR neurons (Choi et al. 2022, section 4.1).

rates = activation_rates(Sampler(generator, seed=1), range(30_000), layers=[0, 1, 3])
masks = {name: low_rate(rate, 0.3) for name, rate in rates.items()}
counts = activated_neurons(Sampler(generator), range(50_000), masks)   # a number for each image
ranking = Ranking.of(counts, seed=0)
worst = Sampler(generator).images(ranking.top(64))                # the most LR neurons first
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganlab.checks.places import place_named
from ganlab.metrics.activation_rate import low_rate
from ganlab.nn.digest import digest, is_digest_of
from ganlab.nn.tracing import recorded
from ganlab.report.figures import npz
from ganlab.sampling import Sampler, checked_noise
from ganlab.storage.arrays import ArrayArchive
from ganlab.storage.atomic import replace_file
from ganlab.studies.address import Latents, addresses
from ganlab.studies.bench import Bench
from ganlab.studies.neurons.layers import Layer
from ganlab.studies.neurons.rate_count import RateCount, RateQuestion
from ganlab.studies.question import at_least

FILE = "ranking.npz"
ENDS = ("top", "bottom")  # the most LR neurons, the fewest


def activated_neurons(
    sampler: Sampler,
    indices: Iterable[int],  # addresses of this process's latents
    masks: Mapping[str, Tensor],  # layer -> (C, H, W) bool: the neurons that are counted
) -> Tensor:
    """How many of the masked neurons each latent activates, (N,) int64 on the CPU.

    The sum over the layers of |[f_R]+| (Choi et al. 2022, section 4.1). The forward pass ends at
    the last of the layers. Nothing but the result grows with the number of latents.

    Raises:
        KeyError: a layer the generator does not have; the message lists those it has.
        ValueError: no indices.
    """
    chosen = {name: mask.to(sampler.place) for name, mask in masks.items()}
    found: list[Tensor] = []
    with recorded(sampler.generator.layers, list(chosen), stop=True) as outputs:
        for _ in sampler.passes(indices):
            active = [((outputs[n] > 0) & mask).flatten(1).sum(1) for n, mask in chosen.items()]
            found.append(torch.stack(active).sum(0).cpu())
    if not found:
        raise ValueError("there are no latents to count on: raise study.num_samples")
    return torch.cat(found)


@dataclass(frozen=True, eq=False)
class Ranking:
    """Latents by the number of LR neurons they activate, the most first, equals by index."""

    index: Tensor  # (N,) int64, addresses of the latents
    count: Tensor  # (N,) int64, their activated LR neurons
    seed: int  # of those latents
    generator: str = ""  # `rates.digest` of the generator
    noise: str = "fixed"  # of its images
    classes: str = ""  # that all of them were told, where chosen

    @classmethod
    def of(
        cls,
        counts: Tensor,
        seed: int,
        generator: str = "",
        noise: str = "fixed",
        classes: str = "",
    ) -> "Ranking":
        """The ranking of latents 0 .. N-1 with these (N,) counts."""
        order = counts.argsort(descending=True, stable=True)
        return cls(order, counts[order], seed, generator, noise, classes)

    def __len__(self) -> int:
        return len(self.index)

    def top(self, num: int) -> list[int]:
        """Addresses of the `num` latents with the most activated LR neurons, from the first on.

        Raises:
            ValueError: there are not so many.
        """
        return self._end(self.index, num)

    def bottom(self, num: int) -> list[int]:
        """Addresses of the `num` latents with the fewest, from the last on; see `top`."""
        return self._end(self.index.flip(0), num)

    def _end(self, ordered: Tensor, num: int) -> list[int]:
        if not 1 <= num <= len(self):
            raise ValueError(f"a ranking of {len(self)} latents has no {num} of an end")
        found: list[int] = ordered[:num].tolist()
        return found

    def save(self, path: str | Path) -> Path:
        """Write `index` and `count`, sorted as here, with what they belong to, as .npz."""
        return replace_file(Path(path), npz(vars(self)))

    @classmethod
    def load(cls, path: str | Path, key: str = "study.latents") -> "Ranking":
        """Read a file of `save`, or `ranking.npz` of a run directory; `key` is for messages.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is no ranking.
        """
        path = place_named(path, key)
        path = path / FILE if path.is_dir() else path
        if not path.is_file():
            raise FileNotFoundError(f"{key}={path}: no such file; run study=artifact_detection")
        try:
            file = ArrayArchive(path)
            index, count = (torch.from_numpy(file[name].copy()) for name in ("index", "count"))
            seed, generator = seed_of(file["seed"]), str(file["generator"])
            check_ranking(index, count)
            classes = str(file["classes"]) if "classes" in file.shapes else ""
            return cls(index, count, seed, generator, checked_noise(str(file["noise"])), classes)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{key}={path} is no ranking of latents ({error}): "
                "make it again with study=artifact_detection"
            ) from error


def seed_of(stored: NDArray[Any]) -> int:
    """The seed that a file keeps; raises ValueError where it is none."""
    if stored.shape or stored.dtype.kind not in "iu" or stored < 0:
        raise ValueError(f"its seed is {np.array2string(stored, threshold=3)}")
    return int(stored)


def check_ranking(index: Tensor, count: Tensor) -> None:
    """Raise ValueError unless these are different latents with counts that never rise."""
    if not all(x.dtype == torch.int64 and x.ndim == 1 and len(x) for x in (index, count)):
        raise ValueError("it holds no lists of whole numbers")
    if len(index) != len(count) or int(index.min()) < 0 or len(index.unique()) < len(index):
        raise ValueError("its addresses are not one for each count, each once")
    if int(count.min()) < 0 or bool((count.diff() > 0).any()):
        raise ValueError("its counts are not sorted from the most to the fewest")


def read_ranking(
    path: str | Path,  # ranking.npz, or the run directory of study=artifact_detection
    which: str = "top",  # or "bottom": the most or the fewest LR neurons
    num: int | None = None,  # so many, the most extreme first; None = all
    seed: int | None = None,  # the reader's; None = do not look
    key: str = "study.latents",  # the option that holds `path`, for messages
) -> list[int]:
    """Addresses of ranked latents, to be drawn again by any other command.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no ranking, has fewer latents, or is of another seed's latents.
    """
    if which not in ENDS:
        raise ValueError(f"study.which must be {' or '.join(ENDS)}, got {which!r}")
    ranking = Ranking.load(path, key)
    if seed is not None and seed != ranking.seed:
        raise ValueError(
            f"{key}={path} ranks latents of seed {ranking.seed}, these are of seed {seed}: "
            f"add seed={ranking.seed}"
        )
    num = len(ranking) if num is None else num
    if not 1 <= num <= len(ranking):
        raise ValueError(f"{key}={path} ranks {len(ranking)} latents, {num} were asked for")
    return ranking.top(num) if which == "top" else ranking.bottom(num)


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

    @property
    def seed(self) -> int:
        """Of the latents."""
        return self.count.options.seed

    def read(
        self, latents: int | Sequence[int] | str, which: str, key: str = "study.latents"
    ) -> list[int]:
        """Given addresses; of a detection run its `num_artifacts` at the top or bottom."""
        if is_detection(latents):
            return read_ranking(str(latents), which, self.num_artifacts, self.seed, key)
        return addresses(latents, key)

    def __len__(self) -> int:
        return self.num_artifacts if self.given is None else len(self.given)

    def check(self, bench: Bench) -> None:
        """Refuse early what a detection found on another generator, or with other noise."""
        if not is_detection(self.latents):
            return
        ranking = Ranking.load(str(self.latents))
        same = is_digest_of(ranking.generator, bench.generator)
        made = bench.sampler.noise, bench.sampler.classes
        if not same or (ranking.noise, ranking.classes) != made:
            raise ValueError(
                f"study.latents={self.latents} ranks images of another generator, or with "
                "other noise or classes; run study=artifact_detection on this one, or leave it out"
            )

    def layers_of(self, bench: Bench) -> list[str]:
        """The layers whose LR neurons are counted, by name; none where nothing is to be found."""
        if self.given is not None:
            return []
        return self.count.layers(bench, self.layers, key="study.detection_layers")

    def choose(self, bench: Bench, rates: Mapping[str, Tensor]) -> Sequence[int]:
        """Addresses of the images the study is about, those with most LR neurons first."""
        if self.given is not None:
            return self.given
        return self.ranking(bench, rates).top(self.num_artifacts)

    def ranking(self, bench: Bench, rates: Mapping[str, Tensor]) -> Ranking:
        """All `num_samples` latents by their activated LR neurons; kept as `ranking.npz`."""
        layers = self.layers_of(bench)
        low = {name: low_rate(rates[name], self.rate, self.include_dead) for name in layers}
        ranking = rank_latents(bench, low, self.num_samples)
        if bench.directory is not None and bench.ranks.first:
            ranking.save(bench.directory / FILE)
        return ranking

    def describe(self, bench: Bench, num: int) -> str:
        """What `num` latents are, for a note."""
        if is_detection(self.latents):
            return f"the top {num} latents (seed {self.seed}) of {self.latents}"
        if self.given is not None:
            return f"{num} given latents of seed {self.seed}"
        return (
            f"the {num} of {self.num_samples} latents of seed {self.seed} that activate "
            f"most LR neurons (R = {self.rate:g}) of {', '.join(self.layers_of(bench))}"
        )


@dataclass(frozen=True, kw_only=True)
class ArtifactQuestion(RateQuestion):
    """A question about the images that activate most LR neurons: which these are."""

    latents: Latents = None  # addresses, "0:1300", a file, a detection run; None = found here
    num_artifacts: int = 1300  # images with most LR neurons that are taken
    num_samples: int = 50_000  # latents of `seed` among which they are found
    detection_layers: Sequence[Layer] | None = None  # None = the early layers
    include_dead: bool = True  # never-activated neurons count as LR (the paper's text)
    num_shown: int = 8  # images in figures of before and after: the first of the latents

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, num_shown=self.num_shown)

    def choice(self, rate: float) -> ArtifactChoice:
        """These images, found by the LR neurons of a rate R."""
        found = (self.num_artifacts, self.num_samples, self.detection_layers, rate)
        return ArtifactChoice(self.count, self.latents, *found, self.include_dead)


def rank_latents(bench: Bench, masks: Mapping[str, Tensor], num: int) -> Ranking:
    """Latents 0 .. num-1 by how many of the masks' neurons they activate, all ranks together."""
    counts: list[Tensor] = []
    if share := bench.ranks.share(range(num)):
        indices = bench.ranks.progress(share, "LR neurons")
        counts = [activated_neurons(bench.sampler, indices, masks)]
    together = bench.ranks.gather(counts).cpu()
    made = digest(bench.generator), bench.sampler.noise, bench.sampler.classes
    return Ranking.of(together, bench.seed, *made)
